"""Tune scikit-learn's gradient-boosted trees on the diabetes table.

    parafree tune examples/forest.py --time 60s

A unit is five more trees. A paused trial keeps its trees and goes on from them.
"""

import pickle

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

from parafree import Bool, Int, Real, Space

space = Space(
    learning_rate=Real(0.01, 0.5, log=True, help="how much each tree corrects"),
    max_leaf_nodes=Int(3, 64, log=True, help="leaves of a tree, at most"),
    min_samples_leaf=Int(2, 64, log=True, help="rows that a leaf needs"),
    l2_regularization=Real(1e-3, 100.0, log=True, help="pull of the leaves towards zero"),
    max_features=Real(0.2, 1.0, help="share of the columns that a split looks at"),
    coarse=Bool(help="whether to put the columns into few bins"),
    max_bins=Int(8, 128, log=True, when="coarse", help="bins of a column"),
)

x, y = load_diabetes(return_X_y=True)
y = (y - y.mean()) / y.std()  # a loss of 1 is no better than guessing the mean
x_train, x_valid, y_train, y_valid = train_test_split(x, y, test_size=0.3, random_state=0)


def train(trial):
    """Add five trees at a time, and report how well they predict the rows kept away."""
    saved = trial.load()
    if saved:
        model = pickle.loads(saved["model"].tobytes())
    else:
        settings = {"max_bins": 255, **trial.hparams}
        del settings["coarse"]
        model = HistGradientBoostingRegressor(
            **settings, warm_start=True, early_stopping=False, max_iter=0, random_state=trial.seed
        )
    while model.max_iter < 500:
        model.max_iter += 5
        model.fit(x_train, y_train)
        trial.report(loss=mean_squared_error(y_valid, model.predict(x_valid)))
        trial.save(model=np.frombuffer(pickle.dumps(model), np.uint8))
