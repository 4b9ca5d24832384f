"""Calls of the public functions, and the kernels that each launches, for the tests of the adapters for CUDA."""

import numpy as np

import ksubset

N, K = 9, 4
RNG = np.random.default_rng(3)
LOGITS, OTHER, V = RNG.normal(size=(3, 2, 3, N))
SUBSETS = ksubset.mode(OTHER, K)
SOLVE, JACOBIAN, SAMPLE, DESCEND = "ksubset_solve", "ksubset_jacobian", "ksubset_sample", "ksubset_descend"
TOGETHER = "ksubset_sample_with_marginals"


CALLS: dict[str, tuple[tuple[np.ndarray, ...], list[str]]] = {
    "log_normalizer": ((), [SOLVE]),
    "log_prob_count": ((), [SOLVE]),
    "marginals": ((), [SOLVE]),
    "entropy": ((), [SOLVE]),
    "kl_to_uniform": ((), [SOLVE]),
    "covariance": ((), [JACOBIAN]),
    "mode": ((), []),
    "marginals_jvp": ((V,), [JACOBIAN]),
    "log_prob": ((SUBSETS,), [SOLVE]),
    "sample_from_uniforms": ((RNG.random((5, 2, 3, N - 1)),), [DESCEND]),
}
"""Further arguments of the public functions, and what they launch."""

POTENTIAL = ksubset.between(2, 6)
WEIGHTED: dict[str, tuple[tuple[np.ndarray, ...], list[str]]] = {
    "log_normalizer": ((), [SOLVE]),
    "log_prob_count": ((), [SOLVE]),
    "marginals": ((), [SOLVE]),
    "entropy": ((), [SOLVE]),
    "kl_to_uniform": ((), [SOLVE, SOLVE]),
    "covariance": ((), [SOLVE, JACOBIAN]),
    "mode": ((), []),
    "marginals_jvp": ((V,), [SOLVE, JACOBIAN]),
    "log_prob": ((SUBSETS,), [SOLVE]),
    "sample_from_uniforms": ((RNG.random((5, 2, 3, N)),), [SOLVE, DESCEND]),
}
"""The same under a potential."""
