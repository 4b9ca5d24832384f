"""The features of each backend, declared once: they select the tests, and the documentation prints them.

`tests/api/test_capabilities.py` checks them.
"""

from collections.abc import Iterable
from typing import Literal

import pytest

BACKENDS = {
    "numpy": "NumPy",
    "strict": "other namespaces",
    "torch": "torch",
    "jax": "JAX",
    "cupy": "CuPy",
    "dask": "Dask",
}
FUNCTIONS: dict[str, Literal["value", "gradient"]] = {
    "log_normalizer": "gradient",
    "log_prob_count": "gradient",
    "count_log_pmf": "gradient",
    "count_log_cdf": "gradient",
    "count_log_sf": "gradient",
    "count_quantile": "value",
    "marginals": "gradient",
    "marginals_jvp": "gradient",
    "logits_from_marginals": "gradient",
    "covariance": "gradient",
    "log_prob": "gradient",
    "entropy": "gradient",
    "kl_divergence": "gradient",
    "kl_to_uniform": "gradient",
    "log_prob_indices": "gradient",
    "mode": "value",
    "mode_indices": "value",
    "sample": "value",
    "sample_indices": "value",
    "sample_from_uniforms": "value",
    "rsample": "gradient",
    "sample_with_marginals": "gradient",
}
"""Whether a function has a gradient where the backend has reverse mode."""

WITHOUT_SIZE = tuple(name for name in FUNCTIONS if name.startswith("count_"))
"""Functions that take no k."""

PLAIN = ("numpy", "strict", "cupy", "dask")
NO_AUTODIFF = "no automatic differentiation; `marginals_jvp` is the derivative"
FEATURES: dict[str, dict[str, str]] = {
    "reverse mode": dict.fromkeys(PLAIN, NO_AUTODIFF),
    "forward mode": dict.fromkeys(PLAIN, NO_AUTODIFF),
    "second derivatives": dict.fromkeys(PLAIN, NO_AUTODIFF),
    "vmap": dict.fromkeys(PLAIN, "no such transformation; leading dimensions are a batch"),
    "jit or compile": dict.fromkeys(PLAIN, "no compiler of functions"),
    "compiled CPU kernels": {
        "strict": "they take arrays of NumPy, torch and JAX alone",
        "cupy": "its arrays are on a GPU",
    },
    "CUDA kernels": {
        "numpy": "its arrays are on the CPU",
        "strict": "they take arrays of CuPy and torch alone",
        "jax": "XLA compiles the core",
        "dask": "untried, though chunks of CuPy arrays would take them",
    },
}
"""The backends that lack a feature, with the reason."""


def needs(feature: str) -> pytest.MarkDecorator:
    """Run a test on the backends that have a feature."""
    having = [backend for backend in BACKENDS if backend not in FEATURES[feature]]
    return pytest.mark.backends(*having, reason=f"no {feature} in {'; '.join(_reasons(feature))}")


def functions_table() -> str:
    """Which functions give what where, in Markdown."""
    rows = [[f"{{py:func}}`~ksubset.{name}`", *(_gives(name, b) for b in BACKENDS)] for name in FUNCTIONS]
    return _table(["function", *BACKENDS.values()], rows)


def features_table() -> str:
    """Which backend has what, in Markdown."""
    rows = [[name, *("–" if b in lack else "yes" for b in BACKENDS)] for name, lack in FEATURES.items()]
    return _table(["feature", *BACKENDS.values()], rows)


def reasons() -> str:
    """Why a backend lacks a feature, in Markdown."""
    features: dict[str, list[str]] = {}
    for name in FEATURES:
        for reason in _reasons(name):
            features.setdefault(reason, []).append(name)
    return "\n".join(f"- No {', '.join(names)} in {reason}." for reason, names in features.items())


def _reasons(feature: str) -> list[str]:
    """The backends that lack a feature for the same reason, and the reason."""
    lack = FEATURES[feature]
    where = {reason: ", ".join(BACKENDS[b] for b in lack if lack[b] == reason) for reason in lack.values()}
    return [f"{names}: {reason}" for reason, names in where.items()]


def _gives(function: str, backend: str) -> str:
    return (
        "value, gradient" if FUNCTIONS[function] == "gradient" and backend not in FEATURES["reverse mode"] else "value"
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
