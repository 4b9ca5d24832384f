"""Designs with given inclusion probabilities, and their joint ones: by enumeration, and from a textbook."""

from typing import Any

import numpy as np
import pytest
from cases import Batch, all_sizes, with_infinities
from conftest import Target
from oracle import Enumeration
from transforms import Transforms, differentiable

import ksubset
from ksubset import survey

EAGER = pytest.mark.backends("numpy", "strict", "torch", reason="JAX compiles the same array code anew for every shape")
TILLE = np.array([0.07, 0.17, 0.41, 0.61, 0.83, 0.91])
TILLE_JOINT = np.array(
    [
        [0.07, 0.0049, 0.0130, 0.0215, 0.0447, 0.0559],
        [0.0049, 0.17, 0.0324, 0.0537, 0.1113, 0.1377],
        [0.0130, 0.0324, 0.41, 0.1407, 0.2888, 0.3452],
        [0.0215, 0.0537, 0.1407, 0.61, 0.4691, 0.5351],
        [0.0447, 0.1113, 0.2888, 0.4691, 0.83, 0.7461],
        [0.0559, 0.1377, 0.3452, 0.5351, 0.7461, 0.91],
    ]
)
"""Tillé, Sampling Algorithms (2006), Example 10, page 86."""


def enumerated(row: Enumeration) -> np.ndarray:
    return np.einsum("s,si,sj->ij", row.probabilities, row.subsets, row.subsets)


def test_a_textbook_s_joint_probabilities(target: Target) -> None:
    d = survey.design(target.array(TILLE))
    assert d.k == 3
    np.testing.assert_allclose(target.to_numpy(d.mean), TILLE, rtol=target.tolerance(1e-5, 1e-12))
    joint = target.to_numpy(survey.joint_inclusion_probabilities(d.logits, d.k))
    np.testing.assert_allclose(joint, TILLE_JOINT, rtol=0, atol=5.1e-5)


@EAGER
@pytest.mark.parametrize("case", ["every size", "infinite logits"])
def test_joint_probabilities_by_enumeration(target: Target, case: str) -> None:
    check_joint(target, all_sizes(6) if case == "every size" else with_infinities(4))


def test_joint_probabilities_of_a_small_batch(target: Target) -> None:
    check_joint(target, all_sizes(4, scales=(1.0,)))


def check_joint(target: Target, batch: Batch) -> None:
    logits, k = target.array(batch.logits), target.array(batch.k)
    found = target.to_numpy(survey.joint_inclusion_probabilities(logits, k))
    expected = np.stack([enumerated(row) for row in batch.rows])
    np.testing.assert_allclose(found, expected, rtol=target.tolerance(2e-5, 1e-12), atol=0)
    np.testing.assert_array_equal(found, np.swapaxes(found, -1, -2))
    marginals = target.to_numpy(ksubset.marginals(logits, k))
    np.testing.assert_allclose(np.diagonal(found, axis1=-2, axis2=-1), marginals, rtol=target.tolerance(1e-6, 1e-15))


@EAGER
def test_unlikely_pairs_keep_their_digits(target: Target) -> None:
    """Beside two likely units the others are together once in 1e16 samples, or never."""
    logits = np.array([18.0, 18.0, 0.0, 0.5])
    found = target.to_numpy(survey.joint_inclusion_probabilities(target.array(logits), 2))
    np.testing.assert_allclose(found, enumerated(Enumeration(logits, 2)), rtol=target.tolerance(2e-5, 1e-12))
    single = target.to_numpy(survey.joint_inclusion_probabilities(target.array(logits), 1))
    np.testing.assert_array_equal(single[~np.eye(4, dtype=bool)], 0)


@pytest.mark.backends("numpy", "torch")
def test_blocks_of_a_long_row(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = target.array(np.random.default_rng(0).normal(size=(2, 9)))
    k = target.array([3, 5])
    expected = target.to_numpy(survey.joint_inclusion_probabilities(logits, k))
    monkeypatch.setattr("ksubset._api.covariance.BLOCK", 40)
    found = target.to_numpy(survey.joint_inclusion_probabilities(logits, k))
    np.testing.assert_allclose(found, expected, rtol=target.tolerance(1e-6, 1e-13))


@EAGER
def test_certain_and_impossible_units(target: Target) -> None:
    d = survey.design(target.array([1.0, 0.0, 0.5, 0.25, 0.25]))
    assert (d.k, type(d.k)) == (2, int)
    np.testing.assert_array_equal(target.to_numpy(d.logits)[:2], [np.inf, -np.inf])
    np.testing.assert_allclose(target.to_numpy(d.mean), [1, 0, 0.5, 0.25, 0.25], rtol=target.tolerance(1e-5, 1e-12))


@EAGER
def test_a_batch_with_a_size_for_each_row(target: Target) -> None:
    pi = np.stack([TILLE, 1 - TILLE, np.full(6, 5 / 6)])
    for d in (survey.design(target.array(pi)), survey.design(target.array(pi), target.array([3, 3, 5]))):
        np.testing.assert_array_equal(target.to_numpy(d.k), [3, 3, 5])
        np.testing.assert_allclose(target.to_numpy(d.mean), pi, rtol=target.tolerance(1e-5, 1e-12))


@EAGER
def test_no_units(target: Target) -> None:
    for batch in ((), (2,)):
        d = survey.design(target.array(np.zeros((*batch, 0))))
        assert tuple(d.mean.shape) == (*batch, 0)


@EAGER
def test_rescaled(target: Target) -> None:
    d = survey.design(target.array(TILLE), 2, rescale=True)
    expected = ksubset.marginals(ksubset.logits_from_marginals(TILLE, 2, rescale=True), 2)
    np.testing.assert_allclose(target.to_numpy(d.mean), expected, atol=target.tolerance(1e-6, 1e-12))


@differentiable
def test_compiled_with_a_size_that_is_not_given(target: Target, diff: Transforms) -> None:
    pi = target.array(np.stack([TILLE, np.full(6, 5 / 6)]))

    def joint(pi: Any) -> Any:
        d = survey.design(pi)
        return survey.joint_inclusion_probabilities(d.logits, d.k)

    found = target.to_numpy(diff.compile(joint)(pi))
    np.testing.assert_allclose(found, target.to_numpy(joint(pi)), rtol=1e-9)


@differentiable
def test_derivative_of_the_joint_probabilities(target: Target, diff: Transforms) -> None:
    """∂π_ij/∂θ = Cov(z_i z_j, z), by enumeration."""
    logits = np.array([0.3, -1.0, 2.0, 0.1])
    found = diff.jacrev(lambda x: survey.joint_inclusion_probabilities(x, 2))(target.array(logits))
    row = Enumeration(logits, 2)
    z, p = row.subsets, row.probabilities
    expected = np.einsum("s,si,sj,sl->ijl", p, z, z, z - p @ z)
    np.testing.assert_allclose(target.to_numpy(found), expected, atol=1e-12)


BAD: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "a list": ([0.5, 0.5], None, TypeError, "probabilities must be an array.*got list"),
    "0-d": (1.0, None, ValueError, r"probabilities must have shape \(\.\.\., n\)"),
    "bool": ([True, False], None, TypeError, "probabilities must have a real floating dtype"),
    "NaN": ([0.5, np.nan], None, ValueError, "probabilities must not contain NaN; got NaN"),
    "infinite": ([0.5, np.inf], None, ValueError, r"probabilities must be in \[0, 1\]; got inf"),
    "above 1": ([[0.5, 0.5], [1.5, 0.5]], None, ValueError, r"probabilities must be in \[0, 1\]; got 1\.5 in row 1"),
    "of no size": (
        [0.5, 0.7],
        None,
        ValueError,
        r"probabilities must sum to k to within .*; got k \+0\.2: rescale=True",
    ),
    "another k": ([0.5, 0.5], 2, ValueError, "probabilities must sum to k to within .*; got k -1: rescale=True"),
    "k > n": ([0.5, 0.5], 3, ValueError, r"k must be in \[0, 2\].*got 3"),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(target: Target, name: str) -> None:
    pi, k, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        survey.design(pi if name == "a list" else target.array(pi), k)


def test_errors_of_joint_probabilities(target: Target) -> None:
    with pytest.raises(ValueError, match="logits must not contain NaN"):
        survey.joint_inclusion_probabilities(target.array([np.nan, 1.0]), 1)
    with pytest.raises(TypeError, match=r"k must be an int or an integer array; got ksubset\.Between"):
        survey.joint_inclusion_probabilities(target.array([0.0, 1.0]), ksubset.at_most(1))


@EAGER
def test_rows_that_are_not_checked_are_nan_alone(target: Target) -> None:
    d = survey.design(target.array([[np.nan, 0.5], [0.25, 0.75]]), 1, validate=False)
    joint = survey.joint_inclusion_probabilities(d.logits, 1, validate=False)
    assert np.isnan(target.to_numpy(joint)[0]).all()
    np.testing.assert_allclose(target.to_numpy(joint)[1], [[0.25, 0], [0, 0.75]], atol=1e-6)
