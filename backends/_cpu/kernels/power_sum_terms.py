"""How many terms power sums need, known from the variance. See `ksubset._engine.power_sums.terms`."""

from bisect import bisect_left

import numpy as np

from ksubset._engine.power_sums import FROM, terms
from ksubset.backends._cpu.compiling import inlined
from ksubset.backends._cpu.simd.elementary import least
from ksubset.backends._cpu.simd.vectors import full, where

TERMS = 15
"""No row has more terms than this."""


def _enough(smallest: float, eps: float) -> np.ndarray:
    """For each number of terms, the variance from which on they are enough."""
    variances = [*np.geomspace(smallest, 1e9, 20_000), np.inf]

    def least(count: int) -> float:
        return variances[bisect_left(variances[:-1], True, key=lambda variance: terms(float(variance), eps) <= count)]

    return np.array([least(count) for count in range(TERMS + 1)])


ENOUGH_SINGLE, ENOUGH_DOUBLE = _enough(FROM[32], 2.0**-23), _enough(FROM[64], 2.0**-52)
FROM_SINGLE, FROM_DOUBLE = FROM[32], FROM[64]


@inlined
def enough_terms(spread, few, table):
    """How many terms the rows that are not ``few`` need; 0 where one of them has too little variance."""
    smallest = least(where(few, full(spread, 1e30), spread))
    enough = ENOUGH_SINGLE if table.itemsize == 4 else ENOUGH_DOUBLE
    if not smallest >= (FROM_SINGLE if table.itemsize == 4 else FROM_DOUBLE):
        return 0
    count = 2
    while smallest < enough[count]:
        count += 1
    return count
