"""Rows that have to choose items masked by a finite number: by enumeration of the subsets with the fewest of them."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from capabilities import needs
from conftest import Target
from transforms import Transforms

import ksubset

N, REAL = 6, 3
SCORES = np.array([0.3, -1.2, 0.8, 0.0, 0.0, 0.0])
SUBSETS = np.array(list(product([0, 1], repeat=N)))
MASKS = ["least float", -1e9]
POTENTIALS: dict[str, tuple[list[int], Callable[[Target], Any]]] = {
    "k": ([4], lambda _: 4),
    "k by row": ([5], lambda target: target.array([5])),
    "at most": ([0, 1, 2, 3, 4], lambda _: ksubset.at_most(4)),
    "at least": ([4, 5, 6], lambda _: ksubset.at_least(4)),
    "weights": ([4, 6], lambda target: ksubset.Cardinality(target.array([-np.inf] * 4 + [0.0, -np.inf, 0.0]))),
}
cases = pytest.mark.parametrize("name", POTENTIALS)


class Truth:
    """The subsets of some sizes that have the fewest masked items, all others being as good as impossible."""

    def __init__(self, sizes: list[int]) -> None:
        z = SUBSETS[np.isin(SUBSETS.sum(axis=-1), sizes)]
        masked = z[:, REAL:].sum(axis=-1)
        self.z = z[masked == masked.min()]
        p = np.exp(self.z @ SCORES)
        self.p = p / p.sum()
        self.mu = self.p @ self.z
        self.entropy = -(self.p * np.log(self.p)).sum()
        self.slope = -(self.z - self.mu).T @ (self.p * np.log(self.p))


def row(target: Target, mask: float | str, dtype: str) -> Any:
    low = np.finfo(dtype).min if isinstance(mask, str) else mask
    return target.array(np.where(np.arange(N) < REAL, SCORES, low)[None, :], dtype)


@pytest.mark.backends("numpy", "strict", "torch")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("fast", ["0", "1"])
@cases
def test_functions(
    target: Target, name: str, mask: float | str, dtype: str, fast: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.require(dtype)
    monkeypatch.setenv("KSUBSET_FAST", fast)
    (sizes, make), close = POTENTIALS[name], {"rtol": 0, "atol": 1e-5 if dtype == "float32" else 2e-8}
    truth, x, k = Truth(sizes), row(target, mask, dtype), make(target)
    if isinstance(k, ksubset.Cardinality) and name == "weights":
        k = ksubset.Cardinality(target.array(target.to_numpy(k.log_weights), dtype))
    np.testing.assert_allclose(target.to_numpy(ksubset.marginals(x, k))[0], truth.mu, **close)
    np.testing.assert_allclose(target.to_numpy(ksubset.entropy(x, k)), truth.entropy, **close)
    z = target.array(truth.z[:, None, :], dtype)
    np.testing.assert_allclose(target.to_numpy(ksubset.log_prob(x, k, z))[:, 0], np.log(truth.p), **close)
    np.testing.assert_allclose(target.to_numpy(ksubset.kl_divergence(x, x, k)), 0, **close)
    drawn = target.to_numpy(ksubset.sample(x, k, rng=target.rng(0), sample_shape=(50,)))[:, 0]
    assert {*map(tuple, drawn)} <= {*map(tuple, truth.z)}


@needs("reverse mode")
@pytest.mark.parametrize("mask", MASKS)
@cases
def test_gradient_of_the_entropy(target: Target, diff: Transforms, name: str, mask: float | str) -> None:
    dtype = target.dtypes[-1]
    (sizes, make), x = POTENTIALS[name], row(target, mask, dtype)
    k = make(target)
    found = target.to_numpy(diff.grad(lambda x: ksubset.entropy(x, k, validate=False).sum())(x))[0]
    np.testing.assert_allclose(found, Truth(sizes).slope, rtol=0, atol=2e-6)


@needs("second derivatives")
@pytest.mark.backends("torch")
def test_hessian_of_the_entropy(target: Target, diff: Transforms) -> None:
    """As if those that have to be chosen among were not masked."""

    def entropy(x: Any) -> Any:
        return ksubset.entropy(x, 2, validate=False).sum()

    low = float(np.finfo(target.dtypes[-1]).min)
    found, expected = (diff.hessian(entropy)(target.array([x] * 4)) for x in (low, 0.0))
    np.testing.assert_allclose(target.to_numpy(found), target.to_numpy(expected), atol=1e-12)
