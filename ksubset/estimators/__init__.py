"""Gradient estimators for k-subset sampling: SIMPLE and the estimators it is compared with, for torch and JAX alike.

Two kinds. `simple`, `simple_f`, `simple_b`, `gumbel_topk_st`, `softsub`, `l2x`, `imle` and `aimle` return samples
through which a gradient passes. `score_function`, `simple_unbiased` and `exact_gradient` take the loss, and return its
mean with a gradient. Where a framework has no automatic differentiation, as NumPy has none, each returns the same value
without a gradient, as `ksubset.rsample` does.
"""

from ksubset.estimators._aimle import AIMLEState, aimle
from ksubset.estimators._exact_gradient import exact_gradient
from ksubset.estimators._imle import imle
from ksubset.estimators._l2x import l2x
from ksubset.estimators._noise import Gumbel, SumOfGamma
from ksubset.estimators._score_function import score_function
from ksubset.estimators._simple import simple, simple_b, simple_f
from ksubset.estimators._simple_unbiased import simple_unbiased
from ksubset.estimators._softsub import softsub
from ksubset.estimators._straight_through import gumbel_topk_st

__all__ = [
    "AIMLEState",
    "Gumbel",
    "SumOfGamma",
    "aimle",
    "exact_gradient",
    "gumbel_topk_st",
    "imle",
    "l2x",
    "score_function",
    "simple",
    "simple_b",
    "simple_f",
    "simple_unbiased",
    "softsub",
]
