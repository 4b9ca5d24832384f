"""Mutants of cardinality potentials that no test can notice; see `survivors_engines`."""

from survivors_engines import AXIS, RESHAPE, WIDER
from survivors_functions import DTYPE_ONLY

NO_SIGN = "NaN has no sign, and an infinity minds no 0."
SETTLED = "Only whether all have settled is asked, and not before the first step."
TIE = "At t = 0 both sides are as likely."
EITHER_WAY = "Both ways are tested to agree; which one runs is a matter of speed."
READABLE = "NumPy's arrays can all be read."
SPREAD = "Of tensors spread over processes, whose tests run in several."
BEFOREHAND = "Kernels alone solve beforehand."
COPY = "A superfluous copy."
PATHS = "What kernels would do is asked for where there are some: by tests/backends/cpu/test_fast_cardinality.py."

POTENTIALS: dict[str, dict[str, dict[str, str]]] = {
    "_engine.potential.each_size": {
        "top, above = iota(ops, n, t) >= n - self.k[..., None], t > 0": {"t > 0 → t >= 0": "A t of 0 adds nothing."},
        "best = xp.argmax(xp.where(self.possible, terms, -xp.inf + xp.zeros_like(terms)), axis=-1, keepdims=True)": {
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
        "low = spread.local(self.low, self.names[0], items=False)": {"0 → 1": SPREAD, "False → True": SPREAD},
        "return Between(low, spread.local(self.high, self.names[1], items=False), self.names)": {
            "1 → 2": SPREAD,
            "False → True": SPREAD,
        },
        "return all(not backend.is_array(x) or backend.is_readable(x) for x in (self.low, self.high))": {
            "all → any": READABLE,
        },
    },
    "_api.sampling": {
        "return problem.whole(z, u.ndim - problem.logits.ndim)": {
            "u.ndim - problem.logits.ndim → u.ndim + problem.logits.ndim": SPREAD,
        },
    },
    "_call.cardinality_problem": {
        "reads = backend.is_readable(logits) and k.is_readable(backend) if validate is None else validate": {
            "backend.is_readable(logits) and k.is_readable(backend)"
            " → backend.is_readable(logits) or k.is_readable(backend)": READABLE,
        },
        "theta = logits if logits.dtype == compute else xp.astype(logits, compute)": {
            "logits if logits.dtype == compute else xp.astype(logits, compute) → xp.astype(logits, compute)": COPY,
        },
        "rest = xp.zeros((*x.shape[:-1], counts), dtype=x.dtype, device=device(x))": {
            "1 → 2": "It is broadcast to the batch.",
        },
        "z = direct(self._together, self.k, self.width, rng, sample_shape) if direct else None": {
            "direct(self._together, self.k, self.width, rng, sample_shape) if direct else None"
            " → direct(self._together, self.k, self.width, rng, sample_shape)": "NumPy's adapter always has kernels.",
            "direct(self._together, self.k, self.width, rng, sample_shape) if direct else None → None": EITHER_WAY,
        },
        "log_weights = self.xp.astype(self.log_weights, problem.logits.dtype, copy=False)": {"False → True": COPY},
        "if choose is None:": {"choose is None → choose is not None": PATHS},
        "width = min(self.width, self.logits.shape[-1] - self.k)": {
            "min → max": PATHS,
            "self.logits.shape[-1] - self.k → self.logits.shape[-1] + self.k": PATHS,
            "-1 → 1": PATHS,
            "1 → 2": PATHS,
        },
    },
    "_law.weighted": {
        "return ops.xp.concat([found.unchosen, 1 - found.counts], axis=-1)": {
            "1 - found.counts → 1 + found.counts": "Nobody asks for this part.",
            "1 → 2": "Nobody asks for this part.",
            "-1 → 1": AXIS,
        },
        "return _cross(ops, found, omega, found.counts, ops.xp.where(t > 0, found.unchosen, found.chosen))": {
            "t > 0 → t >= 0": TIE,
        },
        "value = -_cross(ops, found, parts(logits)[1], counts, xp.where(t > 0, 1 - z, z))": {"t > 0 → t >= 0": TIE},
        "unlikely = xp.where(there.tilted > 0, here.unchosen, here.chosen)": {
            "there.tilted > 0 → there.tilted >= 0": TIE,
        },
        "return draw(ops, xp.broadcast_to(theta, (*batch, n)), k, min(high, n - low, n // 2), u[..., 1:])": {
            "min → max": WIDER,
            "n - low → n + low": WIDER,
            "n // 2 → n * 2": WIDER,
            "2 → 3": WIDER,
        },
        "rank = xp.argsort(order, axis=-1, stable=True)": {"True → False": "A permutation has no ties."},
        "k = xp.where(xp.isnan(xp.sum(spread, axis=-1)), xp.full_like(k, -1), k)": {
            "1 → 2": "Any negative size makes the row NaN.",
        },
        'return known | {"reference": moments(arrays[0])} if function is weighted_kl_divergence else known': {
            "known | {'reference': moments(arrays[0])} if function is weighted_kl_divergence else known"
            " → known | {'reference': moments(arrays[0])}": BEFOREHAND,
            "known | {'reference': moments(arrays[0])} if function is weighted_kl_divergence else known"
            " → known": BEFOREHAND,
            "function is weighted_kl_divergence → function is not weighted_kl_divergence": BEFOREHAND,
            "known | {'reference': moments(arrays[0])} → known & {'reference': moments(arrays[0])}": BEFOREHAND,
            "0 → 1": BEFOREHAND,
        },
    },
}
"""By module, by line, by change."""
