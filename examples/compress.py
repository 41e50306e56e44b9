"""Find settings of the LZMA compressor that make real files small without taking long.

    parafree minimize examples/compress.py --time 60s

Whole numbers, options and a rule among them, and a value with noise: the clock has a say in it.
"""

import lzma
import math
import time
from pathlib import Path

from parafree import Choice, Int, Space

space = Space(
    lc=Int(0, 4, help="bits of the byte before that predict a literal"),
    lp=Int(0, 4, help="bits of the position that predict a literal"),
    pb=Int(0, 4, help="bits of the position that predict a match"),
    dict_size=Int(2**12, 2**22, log=True, unit="B", help="how far back matches are looked for"),
    nice_len=Int(5, 273, log=True, help="a match this long is good enough"),
    depth=Int(1, 500, log=True, help="candidates looked at for a match"),
    mode=Choice([lzma.MODE_FAST, lzma.MODE_NORMAL]),
    mf=Choice([lzma.MF_HC3, lzma.MF_HC4, lzma.MF_BT2, lzma.MF_BT3, lzma.MF_BT4]),
    constraints=["lc + lp <= 4"],
)

SECONDS_WEIGH = 0.05  # ten times the time is worth about a tenth of the size

# The sources of Python's standard library that lie beside this module, up to a quarter of a MiB.
_files = sorted(Path(lzma.__file__).parent.glob("*.py"))
text = b"".join(path.read_bytes() for path in _files)[: 2**18]


def objective(config):
    """Return the logarithm of size and time together, both in relation to the text."""
    begin = time.process_time()
    size = len(lzma.compress(text, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, **config}]))
    seconds = max(time.process_time() - begin, 1e-4)
    share = size / len(text)
    return {"loss": math.log(share) + SECONDS_WEIGH * math.log(seconds), "share": share}
