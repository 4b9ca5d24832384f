"""All subsets of a size, for distributions whose support is listed."""

from itertools import chain, combinations
from math import comb
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MOST_SUBSETS = 1_000_000
"""Distributions refuse to list more subsets."""


def subsets(n: int, k: int) -> "np.ndarray":
    """The subsets of k of n items as 0 and 1, (subsets, n), of 8-bit integers, ordered by their items."""
    import numpy as np

    z = np.zeros((comb(n, k), n), np.int8)
    chosen = np.fromiter(chain.from_iterable(combinations(range(n), k)), np.intp, len(z) * k)
    np.put_along_axis(z, chosen.reshape(len(z), k), 1, axis=1)
    return z
