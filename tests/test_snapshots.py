"""An object is one distribution: that of the arrays as they were when it was made."""

from typing import Any

import numpy as np
import pytest
from conftest import Target
from oracle import Enumeration

import ksubset

MUTABLE = pytest.mark.backends("numpy", "strict", "torch", "cupy")
X = np.array([[2.0, 1.0, 0.0, -1.0], [0.5, 0.0, -0.5, 3.0]])


def answers(d: ksubset.KSubset, z: Any) -> list[Any]:
    return [d.mean, d.variance, d.entropy(), d.log_normalizer(), d.log_prob(z), d.mode()]


@MUTABLE
@pytest.mark.parametrize("first", ["mean", "entropy", "nothing"])
def test_changes_in_place_do_not_reach_it(target: Target, first: str) -> None:
    """Whatever had been asked for before."""
    x, k = target.array(X), target.array([1, 3])
    d, z = ksubset.KSubset(x, k), ksubset.mode(target.array(X), target.array([1, 3]))
    if first != "nothing":
        value = getattr(d, first)
        _ = value() if callable(value) else value
    x[:, 0], k[0] = 50.0, 2
    same = ksubset.KSubset(target.array(X), target.array([1, 3]))
    for found, expected in zip(answers(d, z), answers(same, z), strict=True):
        np.testing.assert_allclose(target.to_numpy(found), target.to_numpy(expected), rtol=1e-12)
    assert (target.to_numpy(d.sample(rng=target.rng(0), sample_shape=(50,))).sum(-1) == [1, 3]).all()
    np.testing.assert_array_equal(target.to_numpy(d.logits), X)


@MUTABLE
def test_log_weights_too(target: Target) -> None:
    x, omega = target.array(X[0]), target.array(np.zeros(5))
    potential = ksubset.Cardinality(omega)
    d, e = (ksubset.KSubset(y, potential) for y in (x, target.array(X[1])))
    expected = float(ksubset.entropy(x, potential)), float(d.kl_divergence(e))
    omega[1] = 7.0
    assert (float(d.entropy()), float(d.kl_divergence(e))) == expected
    later = ksubset.KSubset(x, potential)
    assert float(later.entropy()) != expected[0]
    with pytest.raises(ValueError, match="the log-weights were changed"):
        d.kl_divergence(later)


@MUTABLE
def test_a_copy_hides_no_bad_k(target: Target) -> None:
    """Sums make numbers of truth values."""
    with pytest.raises(TypeError, match="k must have an integer dtype"):
        ksubset.KSubset(target.array(X), target.array([True, False]))


@pytest.mark.backends("torch")
def test_gradients_are_those_of_the_array_that_was_given(target: Target) -> None:
    import torch

    x = target.array(X[0]).requires_grad_()
    d = ksubset.KSubset(x, 2)
    with torch.no_grad():
        x += 3 * torch.arange(4)
    d.mean[0].backward()
    np.testing.assert_allclose(x.grad, Enumeration(X[0], 2).covariance[0], atol=1e-12)


@pytest.mark.backends("torch")
@pytest.mark.filterwarnings("ignore:.torch.jit.trace. is deprecated:DeprecationWarning")  # which is still called
def test_a_trace_is_refused(target: Target) -> None:
    """It would hold the numbers of its example."""
    import torch

    for function in (ksubset.marginals, ksubset.rsample, ksubset.entropy, ksubset.mode):
        with pytest.raises(RuntimeError, match=r"use torch.compile or torch.export"):
            torch.jit.trace(lambda x, function=function: function(x, 2), target.array(X))


@pytest.mark.parametrize(("n", "k"), [(0, 0), (10, 10), (10, 0), (20, 3), (300, 2)])
def test_supports_take_no_more_memory_than_they_have(n: int, k: int) -> None:
    import tracemalloc
    from math import comb

    from ksubset._support import subsets

    tracemalloc.start()
    z = subsets(n, k)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert z.shape == (comb(n, k), n)
    assert (z.sum(axis=1) == k).all()
    assert len(np.unique(z, axis=0)) == len(z)
    assert most <= 4 * z.size + 16 * comb(n, k) * k + 10_000
