"""The selector: scikit-learn's own checks, what it finds, its gradient, weights, and its errors."""

import doctest
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the selector is scikit-learn's, which is absent")
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import ksubset
from ksubset.backends.sklearn import SubsetSelector, selector
from ksubset.backends.sklearn.data import Data, prepared
from ksubset.backends.sklearn.training import gradients


@parametrize_with_checks([SubsetSelector(max_iter=50), SubsetSelector(task="regression", max_iter=50)])
def test_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def test_the_example_of_the_docstring() -> None:
    found = doctest.testmod(selector)
    assert found.attempted > 3
    assert not found.failed


def planted(m: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """The signal is in features 0, 3 and 7; 8 to 10 repeat feature 0 with noise, and beat 3 and 7 one by one."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(m, 12))
    X[:, 8:11] = X[:, :1] + 0.2 * rng.normal(size=(m, 3))
    return X, 3 * X[:, 0] + X[:, 3] - X[:, 7] + 0.1 * rng.normal(size=m)


TARGETS = {
    "regression": lambda y: y,
    "two classes": lambda y: y > 0,
    "three classes": lambda y: np.array(["low", "middle", "high"])[np.digitize(y, [-1.5, 1.5])],
}


@pytest.mark.parametrize("name", TARGETS)
def test_chooses_jointly(name: str) -> None:
    X, y = planted()
    selector = SubsetSelector(3, random_state=0).fit(X, TARGETS[name](y))
    assert selector.get_support(indices=True).tolist() == [0, 3, 7]
    alone = np.abs(np.corrcoef(X.T, y)[-1, :-1])
    assert set(np.argsort(-alone)[:3]) <= {0, 8, 9, 10}
    np.testing.assert_array_equal(selector.transform(X), X[:, [0, 3, 7]])
    mu = selector.inclusion_probabilities_
    np.testing.assert_allclose(mu, ksubset.marginals(selector.logits_, 3))
    assert mu.sum() == pytest.approx(3)
    assert selector.n_features_to_select_ == 3


def mean_loss(data: Data, weights: np.ndarray, bias: np.ndarray, z: np.ndarray, alpha: float) -> float:
    share = data.weights / data.weights.sum()
    scores = np.einsum("mn,sn,nc->msc", data.features, z, weights) + bias
    if data.classifies:
        top = scores.max(axis=-1)
        log_sum = top + np.log(np.exp(scores - top[..., None]).sum(axis=-1))
        losses = log_sum - (scores * data.targets[:, None]).sum(axis=-1)
    else:
        losses = ((scores - data.targets[:, None]) ** 2).sum(axis=-1) / 2
    return float(share @ losses.mean(axis=1) + alpha / 2 * (weights**2).sum() / data.weights.sum())


@pytest.mark.parametrize("name", TARGETS)
def test_gradients(name: str) -> None:
    """Of weights and biases against differences; of logits, the Jacobian times the differences in z."""
    X, y = planted(40)
    rng = np.random.default_rng(1)
    data = prepared(X, TARGETS[name](y), rng.random(40), "auto")
    assert data.classifies == (name != "regression")
    columns = data.targets.shape[1]
    logits, weights, bias = rng.normal(size=12), rng.normal(size=(12, columns)), rng.normal(size=columns)
    subset = ksubset.KSubset(logits, 3)
    z = subset.sample(rng=0, sample_shape=(5,))
    found = gradients(data, [logits, weights, bias], subset, z, 0.7)

    def slope(place: int, step: np.ndarray) -> float:
        def loss(sign: float) -> float:
            arrays = [weights, bias, z]
            arrays[place] = arrays[place] + sign * 1e-5 * step
            return mean_loss(data, *arrays, 0.7)

        return (loss(1) - loss(-1)) / 2e-5

    units = np.eye(weights.size).reshape(-1, *weights.shape)
    expected = np.array([slope(0, unit) for unit in units]).reshape(weights.shape)
    np.testing.assert_allclose(found[1], expected, atol=1e-8)
    np.testing.assert_allclose(found[2], [slope(1, unit) for unit in np.eye(columns)], atol=1e-8)
    by_item = np.array([slope(2, np.broadcast_to(unit, z.shape)) for unit in np.eye(12)])
    np.testing.assert_allclose(found[0], ksubset.covariance(logits, 3) @ by_item, atol=1e-8)


@pytest.mark.parametrize("name", TARGETS)
def test_a_weight_is_a_number_of_copies(name: str) -> None:
    X, y = planted(60)
    y = TARGETS[name](y)
    copies = np.random.default_rng(0).integers(0, 4, 60)
    weighted = SubsetSelector(3, random_state=0, max_iter=100).fit(X, y, sample_weight=copies)
    repeated = SubsetSelector(3, random_state=0, max_iter=100).fit(np.repeat(X, copies, axis=0), np.repeat(y, copies))
    alike = SubsetSelector(3, random_state=0, max_iter=100).fit(X, y)
    np.testing.assert_allclose(weighted.logits_, repeated.logits_, rtol=1e-6, atol=1e-6)
    assert np.abs(weighted.logits_ - alike.logits_).max() > 0.01


def test_units_of_features_do_not_matter() -> None:
    X, y = planted(100)
    scale, shift = 10.0 ** np.arange(-6, 6), np.arange(12)
    first = SubsetSelector(3, random_state=0, max_iter=50).fit(X, y)
    second = SubsetSelector(3, random_state=0, max_iter=50).fit(X * scale + shift * scale, 1000 * y - 5)
    np.testing.assert_allclose(first.logits_, second.logits_, rtol=1e-6, atol=1e-6)


def test_constant_features_teach_nothing() -> None:
    X, y = planted(100)
    X[:, 5], X[:, 6] = 0.1, 1e9
    selector = SubsetSelector(3, random_state=0).fit(X, y)
    assert not selector.support_[5:7].any()
    assert np.ptp(selector.logits_[5:7]) < 1e-9


@pytest.mark.parametrize(("dtype", "task"), [(np.float32, "regression"), (np.int8, "classification")])
def test_the_dtype_of_y_decides_the_task(dtype: Any, task: str) -> None:
    X, y = planted(100)
    y = np.rint(y / 3).astype(dtype)
    other = {"regression": "classification", "classification": "regression"}[task]
    found, same, differs = (
        SubsetSelector(3, task=t, random_state=0, max_iter=20).fit(X, y).logits_ for t in ("auto", task, other)
    )
    np.testing.assert_array_equal(found, same)
    assert np.abs(found - differs).max() > 1e-3


def test_in_a_pipeline_and_a_search() -> None:
    X, y = planted()
    steps = make_pipeline(SubsetSelector(max_iter=300, random_state=0), LogisticRegression())
    search = GridSearchCV(steps, {"subsetselector__n_features_to_select": [1, 3]}, cv=3).fit(X, y > 0)
    assert search.best_params_ == {"subsetselector__n_features_to_select": 3}
    assert search.score(X, y > 0) > 0.95
    copy = clone(search.best_estimator_[0])
    assert copy.get_params() == search.best_estimator_[0].get_params()
    assert not hasattr(copy, "logits_")


def test_names_of_features() -> None:
    pandas = pytest.importorskip("pandas", reason="the tables of this test are pandas', which is absent")
    X, y = planted()
    table = pandas.DataFrame(X, columns=[f"x{i}" for i in range(12)])
    selector = SubsetSelector(3, random_state=0).set_output(transform="pandas").fit(table, y)
    assert selector.feature_names_in_.tolist() == list(table.columns)
    assert selector.get_feature_names_out().tolist() == ["x0", "x3", "x7"]
    pandas.testing.assert_frame_equal(selector.transform(table), table[["x0", "x3", "x7"]])


@pytest.mark.parametrize(("wanted", "k"), [(None, 6), (0.3, 3), (0.01, 1), (12, 12), (np.int64(2), 2)])
def test_the_number_of_features(wanted: Any, k: int) -> None:
    X, y = planted(50)
    selector = SubsetSelector(wanted, max_iter=5, random_state=0).fit(X, y)
    assert selector.n_features_to_select_ == selector.get_support().sum() == k


def test_repeatable() -> None:
    X, y = planted(50)
    fits = [
        SubsetSelector(3, random_state=r, max_iter=20).fit(X, y).logits_ for r in (0, 0, 1, np.random.RandomState(0))
    ]
    np.testing.assert_array_equal(fits[0], fits[1])
    np.testing.assert_array_equal(fits[0], fits[3])
    assert np.abs(fits[0] - fits[2]).max() > 1e-3


def test_stops_when_all_is_decided() -> None:
    X, y = planted()
    selector = SubsetSelector(3, random_state=0, tol=0.05).fit(X, y)
    mu = selector.inclusion_probabilities_
    assert 10 < selector.n_iter_ < 1000
    assert np.minimum(mu, 1 - mu).max() < 0.05
    assert SubsetSelector(3, random_state=0, tol=0.05, max_iter=7).fit(X, y).n_iter_ == 7
    assert SubsetSelector(3, random_state=0, tol=0, max_iter=400).fit(X, y).n_iter_ == 400


GOOD = np.array([[0.0, 1.0, 3.0], [1.0, 0.5, 2.0], [2.0, 0.0, 0.0], [0.5, 4.0, 1.0]])
BAD: dict[str, tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = {
    "sparse": ({}, {"X": csr_array(GOOD)}, TypeError, "[Ss]parse data was passed"),
    "NaN": ({}, {"X": np.full((4, 3), np.nan)}, ValueError, "Input X contains NaN"),
    "no target": ({}, {"y": None}, ValueError, "requires y to be passed"),
    "one class": ({}, {"y": [1, 1, 1, 1]}, ValueError, "y must hold at least two classes .*; got 1 class"),
    "one class with a weight": ({}, {"sample_weight": [1, 1, 0, 0]}, ValueError, "y must hold at least two classes"),
    "numbers as classes": (
        {"task": "classification"},
        {"y": [0.1, 0.2, 0.3, 0.4]},
        ValueError,
        "Unknown label type: continuous",
    ),
    "classes as numbers": (
        {"task": "regression"},
        {"y": list("abab")},
        ValueError,
        "y must hold numbers for regression",
    ),
    "weights below 0": ({}, {"sample_weight": [1, 1, 1, -1]}, ValueError, r"sample_weight must .*smallest of -1\.0"),
    "weights of 0": ({}, {"sample_weight": [0] * 4}, ValueError, "not 0 for all|at least one non-zero number"),
    "task": ({"task": "ranking"}, {}, ValueError, "task must be 'auto', 'classification', 'regression'; got 'ranking'"),
    "k too large": ({"n_features_to_select": 4}, {}, ValueError, r"n_features_to_select must be in \[1, 3\].*; got 4"),
    "k zero": ({"n_features_to_select": 0}, {}, ValueError, r"n_features_to_select must be in \[1, 3\].*; got 0"),
    "k a share": ({"n_features_to_select": 1.5}, {}, ValueError, r"n_features_to_select must be between.*; got 1\.5"),
    "k a string": ({"n_features_to_select": "auto"}, {}, TypeError, "n_features_to_select must be an int, .* 'auto'"),
    "alpha": ({"alpha": -1.0}, {}, ValueError, r"alpha must be at least 0 and finite; got -1\.0"),
    "tol": ({"tol": np.nan}, {}, ValueError, "tol must be at least 0 and finite; got nan"),
    "learning_rate": ({"learning_rate": "fast"}, {}, TypeError, "learning_rate must be a number; got 'fast'"),
    "n_draws": ({"n_draws": 0}, {}, ValueError, "n_draws must be at least 1 and finite; got 0"),
    "max_iter": ({"max_iter": 1.5}, {}, TypeError, r"max_iter must be an int; got 1\.5"),
    "a bool": ({"max_iter": True}, {}, TypeError, "max_iter must be an int; got True"),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name: str) -> None:
    parameters, arguments, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        SubsetSelector(**parameters).fit(**{"X": GOOD, "y": [0, 0, 1, 1], **arguments})
