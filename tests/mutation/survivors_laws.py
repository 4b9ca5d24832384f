"""Mutants of laws, of calls around them and of surveys that no test can notice; see `survivors_engines`."""

from survivors_engines import RESHAPE, WIDER
from survivors_potentials import COPY

PROMOTED = "NumPy compares integers with floats; array-api-strict refuses, in the tests of values."

LAWS: dict[str, dict[str, dict[str, str]]] = {
    "_law.fixed_size": {
        "return xp.sum(z, axis=-1) != (self.k if isinstance(self.k, int) else xp.astype(self.k, z.dtype))": {
            "self.k if isinstance(self.k, int) else xp.astype(self.k, z.dtype) → self.k": PROMOTED,
        },
        "return xp.reshape(xp.take(table, xp.reshape(smaller, (-1,)), axis=0), tuple(smaller.shape))": {
            "1 → 2": RESHAPE,
        },
    },
    "_law.surprisals": {
        "unlikely = xp.where(t > 0, mean.unchosen, mean.chosen)": {"t > 0 → t >= 0": "A t of 0 costs nothing."},
    },
    "_law.counts": {
        "given = each_size.every(ops, logits, fill(ops, (n + 1,), 0.0, logits), 0, n)": {
            "1 → 2": WIDER,
            "0.0 → 1.0": "Only whether a count has a weight is used.",
        },
    },
    "_call.prepare": {
        "flat = xp.reshape(k, (-1,))": {"1 → 2": RESHAPE},
        "theta = logits if logits.dtype == compute else xp.astype(logits, compute)": {
            "logits if logits.dtype == compute else xp.astype(logits, compute) → xp.astype(logits, compute)": COPY,
        },
        "logits = logits if dtype == compute else xp.astype(logits, compute)": {
            "logits if dtype == compute else xp.astype(logits, compute) → xp.astype(logits, compute)": COPY,
        },
    },
}
"""By module, by line, by change."""
