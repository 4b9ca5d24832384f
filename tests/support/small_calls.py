"""Small calls of both frameworks, and their values by the short way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Target

import ksubset
from ksubset._law import functions
from ksubset._law.counts import count_log_pmf
from ksubset.backends import find

readable = pytest.mark.backends("numpy", "torch")
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "marginals": ksubset.marginals,
    "entropy": ksubset.entropy,
    "log_normalizer": ksubset.log_normalizer,
    "kl_to_uniform": ksubset.kl_to_uniform,
    "kl_divergence": lambda logits, k, **settings: ksubset.kl_divergence(logits, logits / 2, k, **settings),
    "count_log_pmf": lambda logits, k, **settings: ksubset.count_log_pmf(logits, **settings),
}
NAMED = {name: getattr(functions, name, count_log_pmf) for name in FUNCTIONS}


def rows(target: Target, shape: tuple[int, ...], dtype: str = "float64") -> Any:
    return target.array(np.random.default_rng(len(shape)).normal(size=shape), dtype)


def at_once(name: str, logits: Any, k: int = 2, z: Any = None) -> Any:
    """The value of a small call, None if the call is left to the ordinary way."""
    function = functions.log_prob if name == "log_prob" else NAMED[name]
    z = logits / 2 if name == "kl_divergence" else z
    return find(logits, "logits").at_once(function, logits, 0 if name == "count_log_pmf" else k, z)


def assert_same(target: Target, found: Any, expected: Any) -> None:
    """To the bit, and of the same type."""
    assert type(found) is type(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(target.to_numpy(found), target.to_numpy(expected))
