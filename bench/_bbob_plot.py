"""Draws shares of targets against evaluations."""

from __future__ import annotations

import numpy as np

from _bbob_solvers import SOLVERS
from _strokes import stroke

_LEFT, _WIDTH, _TOP, _HEIGHT = 50, 480, 20, 300


def plot(suite: str, budgets: np.ndarray, curves: dict[str, np.ndarray]) -> str:
    """Return a picture in SVG: a line for each solver, on a logarithmic axis of evaluations."""
    body = [_axes(suite, budgets)]
    for place, (solver, shares) in enumerate(curves.items()):
        line = stroke(list(SOLVERS).index(solver))  # the same in every picture
        points = " ".join(
            f"{_across(budget, budgets):.1f},{_up(share):.1f}"
            for budget, share in zip(budgets, shares, strict=True)
        )
        y = _TOP + 10 + 16 * place
        body.append(f'<polyline points="{points}" {line}/>')
        body.append(f'<path d="M{_LEFT + _WIDTH + 16} {y - 4}h22" {line}/>')
        body.append(f'<text x="{_LEFT + _WIDTH + 44}" y="{y}">{solver}</text>')
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 370" '
        'font-family="sans-serif" font-size="11">\n'
        '<rect width="760" height="370" fill="white"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _across(budget: float, budgets: np.ndarray) -> float:
    return float(_LEFT + _WIDTH * np.log(budget / budgets[0]) / np.log(budgets[-1] / budgets[0]))


def _up(share: float) -> float:
    return _TOP + _HEIGHT * (1 - float(share))


def _axes(suite: str, budgets: np.ndarray) -> str:
    bottom = _TOP + _HEIGHT
    marks = [
        f'<text x="{_across(b, budgets):.0f}" y="{bottom + 16}" text-anchor="middle">{b:g}</text>'
        f'<path d="M{_across(b, budgets):.1f} {_TOP}v{_HEIGHT}" stroke="#eee"/>'
        for b in (1, 3, 10, 30, 100, 300, 1000, 3000)
        if budgets[0] <= b <= budgets[-1]
    ]
    marks += [
        f'<text x="{_LEFT - 6}" y="{_up(share) + 4:.0f}" text-anchor="end">{share:g}</text>'
        f'<path d="M{_LEFT} {_up(share):.0f}h{_WIDTH}" stroke="#ddd"/>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    title = f"{suite}: share of targets reached after so many evaluations for each dimension"
    middle = _LEFT + _WIDTH // 2
    marks.append(f'<text x="{middle}" y="{bottom + 34}" text-anchor="middle">{title}</text>')
    return "".join(marks)
