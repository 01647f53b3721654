"""What runs in the environment of river and scikit-learn: score the rows of DATA.npz one by one.

Prints JSON: for each detector the time of every row, us, and its scores. Half-space trees learn on,
as river's do; the isolation forest stands as it was fitted, and scores a batch of one.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 1


def half_space_trees(train: Any, columns: int) -> Callable[[Any], float]:
    """Return river's: values are scaled to [0, 1] as it asks for, 25 trees of height 15."""
    anomaly = importlib.import_module("river.anomaly")
    scaler = importlib.import_module("river.preprocessing").MinMaxScaler()
    trees = anomaly.HalfSpaceTrees(n_trees=25, height=15, window_size=250, seed=SEED)
    names = [str(i) for i in range(columns)]

    def score(row: Any) -> float:
        x = dict(zip(names, row.tolist(), strict=True))
        scaler.learn_one(x)
        scaled = scaler.transform_one(x)
        found = float(trees.score_one(scaled))
        trees.learn_one(scaled)
        return found

    for row in train:
        score(row)
    return score


def isolation_forest(train: Any, _: int) -> Callable[[Any], float]:
    """Return scikit-learn's with its defaults: 100 trees."""
    forest = importlib.import_module("sklearn.ensemble").IsolationForest(random_state=SEED)
    forest.fit(train)
    return lambda row: -float(forest.score_samples(row[None])[0])


def main() -> None:
    """Score."""
    with np.load(sys.argv[1]) as kept:
        train, test = kept["train"], kept["test"]
    told = {}
    for name, make in (
        ("river half-space trees", half_space_trees),
        ("scikit-learn isolation forest", isolation_forest),
    ):
        score = make(train, train.shape[1])
        took, scores = [], []
        for row in test:
            began = time.perf_counter_ns()
            scores.append(score(row))
            took.append((time.perf_counter_ns() - began) / 1000)
        told[name] = {"us": took, "scores": scores}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
