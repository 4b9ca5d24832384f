"""Mutants of cardinality potentials that no test can notice; see `survivors_engines`."""

from survivors_engines import RESHAPE
from survivors_functions import DTYPE_ONLY

NO_SIGN = "NaN has no sign, and an infinity minds no 0."
SETTLED = "Only whether all have settled is asked, and not before the first step."
TIE = "At t = 0 both sides are as likely."
EITHER_WAY = "Both ways are tested to agree; which one runs is a matter of speed."
READABLE = "NumPy's arrays can all be read."
SPREAD = "Of tensors spread over processes, whose tests run in several."
COPY = "A superfluous copy."

POTENTIALS: dict[str, dict[str, dict[str, str]]] = {
    "_engine.potential.each_size": {
        "top, above = iota(ops, n, t) >= n - self.k[..., None], t > 0": {"t > 0 → t >= 0": "A t of 0 adds nothing."},
        "best = xp.argmax(xp.where(self.possible, terms, -xp.inf + xp.zeros_like(terms)), axis=-1, keepdims=True)": {
            "-xp.inf + xp.zeros_like(terms) → -xp.inf - xp.zeros_like(terms)": NO_SIGN,
        },
        "terms = xp.where(self.possible, terms + self.partitions(ops, found, t), -xp.inf + xp.zeros_like(terms))": {
            "-xp.inf + xp.zeros_like(terms) → -xp.inf - xp.zeros_like(terms)": NO_SIGN,
        },
        "xp, n, whole = ops.xp, logits.shape[-1], iota(ops, 1, logits).dtype": {"1 → 2": DTYPE_ONLY},
        "possible = (count >= always) & (count <= most) & (weights > -xp.inf)": {
            "weights > -xp.inf → weights >= -xp.inf": "A weight of 0 adds nothing.",
        },
        "mean = xp.sum(v * found.chosen, axis=-1) + xp.where(given.possible, u[..., low : high + 1], 0 * chances)": {
            "0 → 1": "What has no share may have any mean.",
        },
        "apart = xp.where(found.chosen > found.unchosen, -unchosen, chosen)": {
            "found.chosen > found.unchosen → found.chosen >= found.unchosen": TIE,
        },
    },
    "_call.cardinality": {
        "return not backend.is_array(self.log_weights) or backend.is_readable(self.log_weights)": {
            "not backend.is_array(self.log_weights) → backend.is_array(self.log_weights)": READABLE,
        },
        "return xp.broadcast_to(xp.astype(x, logits.dtype, copy=False), (*logits.shape[:-1], n + 1)), low, high": {
            "False → True": COPY,
        },
        "used = xp.any(xp.reshape(values, (-1, n + 1)) > -xp.inf, axis=0)": {"1 → 2": RESHAPE},
        "low = shards.local(self.low, self.names[0], items=False)": {"0 → 1": SPREAD, "False → True": SPREAD},
        "return Between(low, shards.local(self.high, self.names[1], items=False), self.names)": {
            "1 → 2": SPREAD,
            "False → True": SPREAD,
        },
        "return all(not backend.is_array(x) or backend.is_readable(x) for x in (self.low, self.high))": {
            "all → any": READABLE,
        },
    },
    "_call.cardinality_problem": {
        "log_weights = self.xp.astype(self.log_weights, problem.logits.dtype, copy=False)": {"False → True": COPY},
    },
}
"""By module, by line, by change."""
