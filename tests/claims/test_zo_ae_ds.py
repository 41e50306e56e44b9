"""The claim of ZO-AE-DS: what it counts, where the answer is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from parafree.blackbox import TrueGradient
from parafree.claims import _data, zo_ae_ds
from parafree.claims.zo_ae_ds import _FAST, _FULL, _RADII, Defence, Owned

_IDENTITY = [{"w": jnp.eye(4), "b": jnp.zeros(4)}]


def split(n=6):
    x = np.eye(4, dtype=np.float32)[np.arange(n) % 4]
    y = (np.arange(n) % 4).astype(np.int32)
    return _data.Split(x, y, x, y)


def figures(changes):
    """Three seeds that hold, but for what is given."""
    levels = {"ZO-AE-DS (CGE)": 0.7, "ZO-AE-DS (RGE)": 0.7, "ZO-DS (RGE)": 0.6, "FO-AE-DS": 0.75}
    return [{name: np.full(len(_RADII), level) for name, level in (levels | changes).items()}] * 3


def test_the_guard_begins_by_changing_nothing():
    owned = Owned(_IDENTITY, _IDENTITY, None)
    x = jnp.asarray(split().train_x)
    p = zo_ae_ds.start(owned, 4, 0, coded=True)
    np.testing.assert_array_equal(zo_ae_ds.denoise(p, x), x)
    np.testing.assert_array_equal(zo_ae_ds.encode(p, x), x)
    assert set(zo_ae_ds.start(owned, 4, 0, coded=False)) == {"denoiser"}


def test_labels_are_those_that_the_box_gives_clean_images():
    """A box that always says the last class: its own answers are learned, not the truth."""
    box = [{"w": jnp.zeros((4, 4)), "b": jnp.arange(4.0)}]
    objective = zo_ae_ds.stability(Owned(box, None, None), split().train_x, coded=False)
    np.testing.assert_array_equal(objective.data[1], 3)


def test_certified_is_what_is_right_and_far_enough_away():
    """A box whose first class always wins is certain of it: right for a quarter of the images."""
    box = [{"w": jnp.zeros((4, 4)), "b": jnp.array([1.0, 0, 0, 0])}]
    owned = Owned(box, None, None)
    p = zo_ae_ds.start(owned, 4, 0, coded=False)
    size = _FULL._replace(held=8, draws=1000)
    found = zo_ae_ds.certified(owned, p, split(8), size, 0)
    np.testing.assert_array_equal(found, 0.25)
    few = zo_ae_ds.certified(owned, p, split(8), size._replace(draws=20), 0)
    assert few[0] == 0.25 and few[-1] == 0  # 20 draws show 0.5 Phi^-1(0.001^(1/20)) = 0.27


def test_all_that_query_do_so_equally_often_and_codes_are_short():
    for size, pixels in ((_FULL, 196), (_FAST, 64)):
        known = zo_ae_ds.defences(size, pixels)
        spent = {}
        for name, (defence, steps) in known.items():
            length = size.code if defence.coded else pixels
            spent[name] = steps * defence.estimate.calls(length)
        budget = size.steps * (1 + 2 * size.code)
        queried = {name: spent[name] for name in spent if name.startswith("ZO")}
        assert all(0.95 * budget <= each <= budget for each in queried.values())
    assert [name for name in known if name.startswith("FO")] == ["FO-DS", "FO-AE-DS"]


def test_more_pixels_keep_all_lengths():
    data = _data.digits()
    more = zo_ae_ds.wider(data)
    assert more.train_x.shape == (1300, 256)
    gap = lambda x: np.linalg.norm(x[:50, None] - x[None, :50], axis=-1)  # noqa: E731
    np.testing.assert_allclose(gap(more.train_x), gap(data.train_x), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 0),
        ({"ZO-DS (RGE)": 0.65}, 4),  # 5 points ahead are not 10
        ({"FO-AE-DS": 0.76}, 4),
        ({"ZO-AE-DS (RGE)": 0.71}, 4),
    ],
)
def test_every_part_of_the_threshold_can_fail(changes, expected):
    found = zo_ae_ds.together(figures(changes))
    assert len(zo_ae_ds.failures(found)) == expected
    measurement = zo_ae_ds.judge(figures(changes), [], _FAST, 64)
    assert measurement.holds == (expected == 0)


def test_a_guard_that_may_look_inside_learns_to_see_through_noise():
    data = _data.digits()
    owned = zo_ae_ds.prepare(data, 8, 600, 0)
    none = zo_ae_ds.certified(owned, zo_ae_ds.start(owned, 64, 0, False), data, _FAST, 0)
    p = zo_ae_ds.guard(owned, data, Defence(False, TrueGradient()), 200, (3e-3,), 0)
    assert zo_ae_ds.certified(owned, p, data, _FAST, 0)[1] > none[1] + 0.1
