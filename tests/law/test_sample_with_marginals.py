"""A sample with its marginals: the values of two calls, and the gradient of their sum by one product."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from capabilities import needs
from conftest import Target
from transforms import Transforms

import ksubset
from ksubset.backends import find

SIZES: dict[str, Callable[[Target], Any]] = {
    "int": lambda target: 2,
    "each its own": lambda target: target.array(np.array([1, 4, 0])),
    "potential": lambda target: ksubset.at_most(3),
}
size = pytest.mark.parametrize("k", SIZES.values(), ids=SIZES)


@size
def test_values(target: Target, rng: np.random.Generator, k: Callable[[Target], Any]) -> None:
    logits = target.array(rng.normal(size=(3, 5)))
    z, mu = ksubset.sample_with_marginals(logits, k(target), rng=target.rng(1), sample_shape=(4,))
    expected = ksubset.sample(logits, k(target), rng=target.rng(1), sample_shape=(4,))
    assert (target.to_numpy(z) == target.to_numpy(expected)).all()
    assert (target.to_numpy(mu) == target.to_numpy(ksubset.marginals(logits, k(target)))).all()


@needs("reverse mode")
@size
def test_gradient_is_that_of_both(
    target: Target, diff: Transforms, rng: np.random.Generator, k: Callable[[Target], Any]
) -> None:
    v, w = (target.array(rng.normal(size=(3, 5))) for _ in range(2))

    def together(x: Any) -> Any:
        z, mu = ksubset.sample_with_marginals(x, k(target), rng=target.rng(1), sample_shape=(4,))
        return (z * v).sum() + (mu * w).sum()

    def apart(x: Any) -> Any:
        z = ksubset.rsample(x, k(target), rng=target.rng(1), sample_shape=(4,))
        return (z * v).sum() + (ksubset.marginals(x, k(target)) * w).sum()

    logits = target.array(rng.normal(size=(3, 5)))
    found, expected = (target.to_numpy(diff.grad(loss)(logits)) for loss in (together, apart))
    np.testing.assert_allclose(found, expected, atol=target.tolerance(1e-5, 1e-12))


@pytest.mark.backends("torch")
def test_backward_takes_one_product(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    from ksubset._law.fixed_size import FixedSize

    monkeypatch.setenv("KSUBSET_FAST", "0")
    products, product = [], FixedSize.product

    def counted(*given: Any) -> Any:
        products.append(given)
        return product(*given)

    monkeypatch.setattr(FixedSize, "product", counted)
    logits = target.array(np.zeros((3, 5))).requires_grad_()
    z, mu = ksubset.sample_with_marginals(logits, 2)
    ((z * mu).sum() + z.sum()).backward()
    assert len(products) == 1


def test_object(target: Target, rng: np.random.Generator) -> None:
    logits = target.array(rng.normal(size=(3, 5)))
    z, mu = ksubset.KSubset(logits, 2).sample_with_marginals(rng=target.rng(1))
    assert (target.to_numpy(z) == target.to_numpy(ksubset.sample(logits, 2, rng=target.rng(1)))).all()
    np.testing.assert_allclose(target.to_numpy(mu), target.to_numpy(ksubset.marginals(logits, 2)), rtol=1e-6)


def test_an_adapter_that_finds_both_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its samples and marginals are returned, in the dtype of the logits."""
    logits = np.zeros((3, 5), np.float16)
    z, mu = np.ones((2, 3, 5), np.float32), np.full((3, 5), 0.25, np.float32)
    asked = []

    def draw(*arguments: Any) -> tuple[np.ndarray, np.ndarray]:
        asked.append(arguments[2:])
        return z, mu

    monkeypatch.setattr(find(logits, "logits"), "draw_with_marginals", draw)
    found = ksubset.sample_with_marginals(logits, 2, rng=7, sample_shape=(2,))
    assert asked == [(7, (2,))]
    for ours, theirs in zip(found, (z, mu), strict=True):
        assert ours.dtype == np.float16
        np.testing.assert_array_equal(ours, theirs)
