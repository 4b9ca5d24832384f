"""The declaration of what works where is true: each promise holds, and nothing is there without one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from capabilities import FEATURES, FUNCTIONS, WITHOUT_SIZE
from conftest import Target
from transforms import Transforms

import ksubset
from ksubset._law.fixed_size import FixedSize
from ksubset.backends import find

LOGITS, DIRECTION, SUBSET = np.array([1.0, 0.3, -0.5, 0.0]), np.array([0.5, -1.0, 2.0, 0.1]), np.array([1.0, 1.0, 0, 0])
EXTRA: dict[str, Callable[[Target], dict[str, Any]]] = {
    "marginals_jvp": lambda target: {"v": target.array(DIRECTION)},
    "count_quantile": lambda target: {"q": 0.3},
    "log_prob": lambda target: {"z": target.array(SUBSET)},
    "kl_divergence": lambda target: {"other": target.array(DIRECTION)},
    "log_prob_indices": lambda target: {"indices": target.array(np.array([0, 1]))},
    "sample": lambda target: {"rng": target.rng(0)},
    "sample_indices": lambda target: {"rng": target.rng(0)},
    "sample_with_marginals": lambda target: {"rng": target.rng(0)},
    "rsample": lambda target: {"rng": target.rng(0)},
    "sample_from_uniforms": lambda target: {"u": target.array(np.array([0.1, 0.7, 0.3]))},
}
"""The arguments besides logits and k."""

OBJECTS = {"KSubset", "MaskWarning", "Cardinality", "at_least", "at_most", "between", "show_config"}
"""Public names that are no function of logits."""


def call(target: Target, name: str, x: Any) -> Any:
    x = ksubset.marginals(x, k=2) if name == "logits_from_marginals" else x
    size = {} if name in WITHOUT_SIZE else {"k": 2}
    return getattr(ksubset, name)(x, **size, **EXTRA.get(name, lambda _: {})(target))


def test_every_function_is_declared() -> None:
    assert set(FUNCTIONS) == set(ksubset.__all__) - OBJECTS


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.backends("torch")
def test_gradients_as_declared(target: Target, diff: Transforms, name: str) -> None:
    """In torch, where that takes no compiler; `test_grad.py` checks the values of gradients, in JAX too."""
    weights = {
        (4,): target.array(DIRECTION),
        (5,): target.array(np.append(DIRECTION, 1.0)),
        (4, 4): target.array(np.outer(DIRECTION, SUBSET)),
    }

    def loss(x: Any) -> Any:
        y = call(target, name, x)
        y = y[0] if isinstance(y, tuple) else y
        return (y * weights.get(tuple(y.shape), 1)).sum() + 0 * x.sum()

    slope = target.to_numpy(diff.grad(loss)(target.array(LOGITS)))
    assert (np.abs(slope).max() > 1e-3) == (FUNCTIONS[name] == "gradient")


def test_backends_lack_what_they_are_said_to_lack(target: Target) -> None:
    backend = find(target.array(LOGITS), "logits")
    assert backend.differentiates == (target.backend not in FEATURES["reverse mode"])
    kernels = [target.backend not in FEATURES[name] for name in ("compiled CPU kernels", "CUDA kernels")]
    path = backend.path(FixedSize(2, 2), "marginals", target.array(LOGITS))
    assert any(kernels) or isinstance(path, str)
