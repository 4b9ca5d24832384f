"""The comparison of selectors is what its page says, and its table holds what its results say."""

import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the selectors compared are scikit-learn's, which is absent")
pytest.importorskip("tqdm", reason="the comparison shows its progress with tqdm")
import select_features
from select_features import DATA, END, PAGE, SEEDS, SELECTORS, START
from sklearn.feature_selection import SelectKBest
from support import RESULTS

SAVED = json.loads((RESULTS / "select_features.json").read_text())


def test_the_table_of_the_page() -> None:
    shown = PAGE.read_text().partition(START)[2].partition(END)[0].strip()
    assert shown == select_features.table(SAVED["results"])
    assert SAVED["seeds"] == list(SEEDS)


@pytest.mark.parametrize("method", SELECTORS)
def test_every_selector_keeps_k_features(method: str) -> None:
    data = DATA["wine"]
    X, y = data.load(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    assert SELECTORS[method](data, 0).fit(X, y).get_support().sum() == data.k


@pytest.mark.parametrize("name", DATA)
def test_selectors_see_three_fifths_standardised(name: str) -> None:
    data, seen = DATA[name], []

    def spy(data: Any, seed: int) -> Any:
        return SelectKBest(lambda X, y: seen.append(X) or np.arange(X.shape[1]), k=data.k)

    found = select_features.run(data, spy, 0)
    (X,) = seen
    assert len(X) == int(0.6 * len(data.load(return_X_y=True)[1]))
    np.testing.assert_allclose(X.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(X.std(axis=0), 1)
    assert -1 < found["score"] <= 1
    assert found["seconds"] > 0
