"""Grow a decision tree that errs little and stays small: two objectives, and what lies between.

    parafree minimize examples/tree.py --objectives error,leaves --evaluations 300

The answer is a front: for each number of leaves, the tree that errs least.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold
from sklearn.tree import DecisionTreeClassifier

from parafree import Choice, Int, Real, Space

space = Space(
    max_leaf_nodes=Int(2, 64, log=True, help="leaves, at most"),
    min_samples_leaf=Int(1, 64, log=True, help="rows that a leaf needs"),
    max_features=Real(0.1, 1.0, help="share of the columns that a split looks at"),
    min_impurity_decrease=Real(1e-5, 1e-1, log=True, help="what a split must be worth"),
    criterion=Choice(["gini", "entropy"]),
)

x, y = load_breast_cancer(return_X_y=True)
folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(x, y))


def objective(config):
    """Return the share of wrong answers on rows kept away, and the number of leaves."""
    errors, leaves = [], []
    for train, test in folds:
        tree = DecisionTreeClassifier(**config, random_state=0).fit(x[train], y[train])
        errors.append(np.mean(tree.predict(x[test]) != y[test]))
        leaves.append(tree.get_n_leaves())
    return {"error": np.mean(errors), "leaves": np.mean(leaves)}
