"""Calls whose memory is measured, and how much each may take."""

from collections.abc import Callable
from typing import Any

import numpy as np
from conftest import Target

import ksubset

MEASURED = {
    "the core on numpy-cpu": {
        "log_normalizer": (18.6, 11.4, 11.3),
        "log_prob_count": (18.6, 11.4, 11.3),
        "log_prob": (18.7, 11.4, 11.3),
        "marginals": (18.6, 11.4, 11.3),
        "entropy": (18.6, 12.6, 12.5),
        "kl_to_uniform": (18.6, 12.6, 12.5),
        "kl_divergence": (21.7, 14.5, 14.3),
        "marginals_jvp": (20.9, 15.7, 12.3),
        "mode": (3.3, 3.3, 3.3),
        "sample": (29.8, 32.7, 37.7),
        "rsample": (29.8, 32.7, 37.7),
        "sample_from_uniforms": (28.8, 31.7, 36.7),
    },
    "the fast path on numpy-cpu": {
        "log_normalizer": (2.5, 0.6, 0.6),
        "log_prob_count": (11.0, 11.1, 11.1),
        "log_prob": (2.5, 0.8, 0.8),
        "entropy": (2.5, 0.6, 0.6),
        "kl_to_uniform": (4.5, 2.6, 2.6),
        "kl_divergence": (14.8, 12.9, 12.8),
        "marginals": (3.5, 1.5, 1.2),
        "marginals_jvp": (3.4, 1.5, 1.2),
        "sample": (3.5, 1.5, 1.2),
        "rsample": (3.5, 1.5, 1.2),
    },
    "the core on torch-cpu": {
        "log_normalizer": (22.6, 13.4, 13.3),
        "log_prob_count": (22.6, 13.4, 13.3),
        "log_prob": (21.3, 12.0, 12.0),
        "marginals": (24.7, 17.4, 14.3),
        "entropy": (23.7, 16.4, 13.3),
        "kl_to_uniform": (23.7, 16.5, 13.3),
        "kl_divergence": (23.7, 16.5, 14.3),
        "marginals_jvp": (329.7, 328.9, 327.9),
        "mode": (4.5, 4.5, 4.5),
        "sample": (30.0, 32.9, 38.0),
        "rsample": (30.1, 33.0, 38.0),
        "sample_from_uniforms": (29.8, 32.7, 37.7),
    },
    "the fast path on torch-cpu": {
        "log_normalizer": (4.5, 2.6, 2.6),
        "log_prob_count": (15.3, 15.6, 15.1),
        "log_prob": (6.5, 4.8, 4.8),
        "entropy": (5.8, 3.9, 3.8),
        "kl_to_uniform": (8.3, 3.9, 3.8),
        "kl_divergence": (17.3, 12.9, 12.8),
        "marginals": (5.5, 3.5, 3.2),
        "marginals_jvp": (384.5, 381.7, 380.5),
        "sample": (3.5, 1.5, 1.2),
        "rsample": (5.5, 4.0, 3.3),
    },
}
"""At each of `SHAPES`; on torch with the backward pass, which for `marginals_jvp` is a second derivative.

The fast path's contain the scratch memory that a thread keeps, for vectors of AVX-512.
"""


def calls(target: Target, rows: int, n: int, k: int) -> tuple[Any, dict[str, Callable[[Any], Any]]]:
    """Logits in float32, and every public function of them."""
    rng = np.random.default_rng(0)
    x, v = (target.array(rng.normal(size=(rows, n)), "float32") for _ in range(2))
    z, u = ksubset.mode(x, k), target.array(rng.random((rows, n - 1)), "float32")
    return x, {
        "log_normalizer": lambda x: ksubset.log_normalizer(x, k),
        "log_prob_count": lambda x: ksubset.log_prob_count(x, k),
        "log_prob": lambda x: ksubset.log_prob(x, k, z),
        "marginals": lambda x: ksubset.marginals(x, k),
        "entropy": lambda x: ksubset.entropy(x, k),
        "kl_to_uniform": lambda x: ksubset.kl_to_uniform(x, k),
        "kl_divergence": lambda x: ksubset.kl_divergence(x, v, k),
        "marginals_jvp": lambda x: ksubset.marginals_jvp(x, k, v),
        "mode": lambda x: ksubset.mode(x, k),
        "sample": lambda x: ksubset.sample(x, k, rng=target.rng(0)),
        "rsample": lambda x: ksubset.rsample(x, k, rng=target.rng(0)),
        "sample_from_uniforms": lambda x: ksubset.sample_from_uniforms(x, k, u),
    }
