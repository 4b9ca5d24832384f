"""Functions and what the core makes of them, for the tests of kernels in JAX's programs."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import ksubset
from ksubset._engine import inference
from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset.backends.array_api import NUMPY
from ksubset.backends.jax import ADAPTER

SINGLE, DOUBLE = 1e-5, 5e-14
X = np.random.default_rng(0).normal(size=(2, 3, 9))
K = np.array([[0, 1, 9], [4, 5, 8]])
V = np.random.default_rng(1).normal(size=X.shape)


def answers(logits: Any, k: Any, v: Any) -> tuple[Any, Any, Any]:
    """μ, 1 − μ and J · v by JAX."""
    other = ADAPTER.evaluate(functions.unchosen, FixedSize(k, logits.shape[-1] // 2), logits)
    return ksubset.marginals(logits, k), other, ksubset.marginals_jvp(logits, k, v)


def core(logits: np.ndarray, k: Any, v: np.ndarray) -> tuple[Any, Any, Any]:
    """The same by the core, in float64."""
    logits, v = logits.astype(float), v.astype(float)
    with np.errstate(all="ignore"):
        found = inference.moments(NUMPY, logits, k)
        product = inference.jacobian_product(NUMPY, logits, k, v)
    return found.chosen, found.unchosen, product


def check(found: tuple[Any, ...], expected: tuple[Any, ...], tolerance: float = DOUBLE) -> None:
    """Both marginals to their relative accuracy, the product to that of its norm."""
    for ours, theirs in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=1e-30)
    size = np.maximum(np.linalg.norm(expected[2], axis=-1, keepdims=True), 1e-3)
    np.testing.assert_allclose(found[2] / size, expected[2] / size, atol=tolerance)


def kernels(function: Callable[..., Any], *arguments: Any) -> int:
    """How many foreign calls of kernels are in the program of a function."""
    return str(jax.jit(function).lower(*arguments).as_text()).count("@ksubset_")


def scalars(logits: Any, k: Any) -> tuple[Any, Any]:
    return ksubset.entropy(logits, k), ksubset.log_normalizer(logits, k)
