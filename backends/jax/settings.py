"""Settings of JAX that find faults in a user's own program, and have no business in the library."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
R = TypeVar("R")


def by_own_settings(function: Callable[P, R]) -> Callable[P, R]:
    """Let arrays of any rank and dtype meet, and numbers be NaN that no result contains unless its row is bad."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        ranks, dtypes = jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard")
        with ranks, dtypes, jax.debug_nans(False):
            return function(*args, **kwargs)

    return wrapped
