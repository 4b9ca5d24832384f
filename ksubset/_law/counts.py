"""The distribution of the number of chosen items, if this number is not prescribed: the Poisson binomial."""

from ksubset._engine.arrays import fill
from ksubset._engine.ops import Array, Ops
from ksubset._engine.potential import each_size, mixture
from ksubset._law.fixed_size import FixedSize
from ksubset._law.functions import Known, log_prob_count
from ksubset._law.size_weighted import SizeWeighted


def count_log_pmf(ops: Ops, law: SizeWeighted, logits: Array, *, solution: Known = None) -> Array:
    """The log-probability of every count of independent items with logits (..., n): (..., n + 1)."""
    if ops.sweeps:
        return mixture.count_log_probabilities(ops, logits)
    xp, n = ops.xp, logits.shape[-1]
    given = each_size.every(ops, logits, fill(ops, (n + 1,), 0.0, logits), 0, n)
    value = log_prob_count(ops, FixedSize(given.k, n), given.logits)
    return xp.where(given.possible | xp.isnan(value), value, fill(ops, (), -float("inf"), value))
