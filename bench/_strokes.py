"""How the lines of a picture are told apart, on whatever page."""

COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#edae49", "#6a4c93", "#00798c", "#8d6a4f", "#555555")


def stroke(rank: int) -> str:
    """Return the colour and dashes of a line, as attributes in SVG."""
    dashes = ("", ' stroke-dasharray="5 3"', ' stroke-dasharray="2 2"')
    colour = COLOURS[rank % len(COLOURS)]
    dash = dashes[rank // len(COLOURS) % len(dashes)]
    return f'fill="none" stroke="{colour}" stroke-width="1.6"{dash}'
