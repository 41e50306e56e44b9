"""The claim of ASHA, where the answer is known."""

import numpy as np

from parafree.claims import asha


def test_without_anything_to_promote_the_speed_up_is_the_number_of_workers():
    # One unit a trial, and the last of 40 is the best: 40 units of time for one worker, and ten
    # workers take four at a time.
    curves = np.arange(40.0, 0.0, -1.0)[:, None]
    found = asha.compare(curves, workers=10)
    assert found.speedup == 10.0 and found.trainings == 4.0 and found.busy == 1.0


def test_no_number_of_workers_is_faster_than_one_training():
    rank = np.random.default_rng(0).permutation(600)[:, None]
    curves = np.where(np.arange(1, 10) < 9, 1.0 + rank, rank / 1000)  # below 1 only at the end
    found = asha.compare(curves, workers=60)
    assert found.trainings >= 1.0
    assert 1.0 < found.speedup <= 60
    assert 0.0 < found.busy <= 1.0
