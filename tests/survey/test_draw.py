"""Samples of tables: positions, rows of arrays and of DataFrames; and columns of tables as arguments."""

import pickle
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from conftest import Target
from significance import check_frequencies

import ksubset
from ksubset import survey

PI = np.array([1.0, 0.7, 0.2, 0.1])


def test_positions(target: Target) -> None:
    d = survey.design(target.array(PI))
    found = [target.to_numpy(survey.draw(4, d, rng=target.rng(seed))).tolist() for seed in range(20)]
    assert all(units == sorted(set(units)) and len(units) == 2 and units[0] == 0 for units in found)
    assert len({tuple(units) for units in found}) > 1


@pytest.mark.backends("numpy")
def test_the_law_of_the_positions(target: Target) -> None:
    rng, d = np.random.default_rng(0), survey.design(np.array([0.9, 0.6, 0.3, 0.2]))
    pairs = list(combinations(range(4), 2))
    counts = np.zeros(6)
    for _ in range(2000):
        counts[pairs.index(tuple(survey.draw(4, d, rng=rng).tolist()))] += 1
    z = np.array([[float(i in pair) for i in range(4)] for pair in pairs])
    check_frequencies(counts, np.exp(ksubset.log_prob(d.logits, 2, z)))


def test_rows_of_an_array(target: Target) -> None:
    d = survey.design(target.array(PI))
    table = target.array(np.arange(12.0).reshape(4, 3))
    units = target.to_numpy(survey.draw(4, d, rng=target.rng(3)))
    rows = target.to_numpy(survey.draw(table, d, rng=target.rng(3)))
    np.testing.assert_array_equal(rows, target.to_numpy(table)[units])


def test_rows_of_a_dataframe(target: Target) -> None:
    pandas = pytest.importorskip("pandas", reason="the tables of this test are pandas', which is absent")
    towns = pandas.DataFrame({"name": list("abcd"), "size": [10, 7, 2, 1]}, index=[5, 5, 6, 7])
    d = survey.design(target.array(PI))
    units = target.to_numpy(survey.draw(4, d, rng=target.rng(3)))
    pandas.testing.assert_frame_equal(survey.draw(towns, d, rng=target.rng(3)), towns.iloc[units])


def test_columns_of_a_dataframe() -> None:
    """From sizes to an estimate, as with the arrays that the columns hold."""
    pandas = pytest.importorskip("pandas", reason="the tables of this test are pandas', which is absent")
    sizes, y = np.array([10, 7, 2, 1]), np.array([30, 19, 8, 2])
    towns = pandas.DataFrame({"size": sizes, "y": y})
    towns["pi"] = survey.inclusion_probabilities(towns["size"], 2)
    np.testing.assert_array_equal(towns["pi"], survey.inclusion_probabilities(sizes, 2))
    d = survey.design(towns["pi"])
    joint = survey.joint_inclusion_probabilities(d.logits, d.k)
    sample = survey.draw(towns, d, rng=1)
    pairs = joint[np.ix_(sample.index, sample.index)]
    found = survey.horvitz_thompson(sample["y"], sample["pi"], pandas.DataFrame(pairs))
    values = [sample[name].to_numpy().astype(float) for name in ("y", "pi")]
    assert found == survey.horvitz_thompson(*values, pairs)


def test_columns_that_are_no_numbers() -> None:
    pandas = pytest.importorskip("pandas", reason="the tables of this test are pandas', which is absent")
    with pytest.raises(TypeError, match="sizes must have a real floating dtype; got object"):
        survey.inclusion_probabilities(pandas.Series([1, "x"], dtype=object), 1)


BAD: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "probabilities for the design": (4, PI, TypeError, "design must be a KSubset; got numpy.ndarray: survey.design"),
    "a potential": (4, ksubset.KSubset(np.zeros(4), ksubset.at_most(2)), TypeError, "design must have a fixed size"),
    "a batch": (
        4,
        ksubset.KSubset(np.zeros((3, 4)), 2),
        ValueError,
        r"design must be of one .* shape \(3,\): draw from",
    ),
    "another number of units": (5, survey.design(PI), ValueError, "table must have 4 rows, .*; got 5"),
    "a table of another length": (np.zeros((3, 2)), survey.design(PI), ValueError, "table must have 4 rows, .*; got 3"),
    "a list": (
        [1, 2, 3, 4],
        survey.design(PI),
        TypeError,
        "table must be an array of the same framework as the design",
    ),
    "a bool": (True, survey.design(PI), TypeError, "table must be an array of the same framework as the design"),
    "0-d": (np.array(1.0), survey.design(PI), ValueError, r"table must have shape \(n, \.\.\.\)"),
    "NaN": (2, ksubset.KSubset(np.full(2, np.nan), 1, validate=False), ValueError, "design must .*; got NaN"),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name: str) -> None:
    table, design, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        survey.draw(table, design, rng=0)


def test_estimates_survive_a_pickle() -> None:
    """By the public name of their class, so that later versions find it."""
    found = survey.horvitz_thompson(np.array([3.0, 5.0]), np.array([0.5, 0.25]))
    assert survey.Estimate.__module__ == "ksubset.survey"
    assert pickle.loads(pickle.dumps(found)) == found
