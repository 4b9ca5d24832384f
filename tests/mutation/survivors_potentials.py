"""Mutants of cardinality potentials that no test can notice; see `survivors_engines`."""

from survivors_engines import AXIS, RESHAPE, WIDER
from survivors_functions import DTYPE_ONLY, EQUAL_LENGTHS, SIGNS

NO_SIGN = "NaN has no sign, and an infinity minds no 0."
MARGIN = "Between what is within reach and what rounding notices are many decades."
PASSES = "Stricter than need be: at worst a further tilt, which gives the same to rounding."
NOTHING_YET = "What was there before the first part has no share in the result."
SLOW_FLOATS = "It only spares the processor subnormal numbers."
SETTLED = "Only whether all have settled is asked, and not before the first step."
TIE = "At t = 0 both sides are as likely."
EITHER_WAY = "Both ways are tested to agree; which one runs is a matter of speed."
READABLE = "NumPy's arrays can all be read."
SPREAD = "Of tensors spread over processes, whose tests run in several."
BEFOREHAND = "Kernels alone solve beforehand."
COPY = "A superfluous copy."
DIFFERENTIATES = "NumPy does not differentiate; the tests of torch and JAX notice."
PATHS = "What kernels would do is asked for where there are some: by tests/test_fast_cardinality.py."
CENTRE = "A constant taken off does not change a covariance; this one keeps the numbers small."

POTENTIALS: dict[str, dict[str, dict[str, str]]] = {
    "_parts": {
        "HEAVIEST = {32: log(1e6), 64: log(1e90)}": {
            "1000000.0 → 2000000.0": MARGIN,
            "1e+90 → 2e+90": MARGIN,
        },
        "mean = xp.round(xp.where(xp.isnan(mean), xp.astype(state[0], mean.dtype), mean))": {
            "0 → 1": "No count at all is in reach of the first tilt then: any other may be next.",
        },
        "return ops.repeat(refine, (target, flat), 1)[0]": {
            "1 → 2": "Rows have settled after one; where that is not looked at, a second finds much the same mean.",
        },
        "peak = xp.max(xp.where(waiting & reach, slanted + xp.log(at.probabilities), nowhere), axis=0)": {
            "waiting & reach → waiting | reach": "Counts that wait no more are in the log-total so far.",
        },
        "rest = xp.max(xp.where(waiting & ~reach, slanted, nowhere), axis=0)": {
            "waiting & ~reach → waiting | ~reach": PASSES,
        },
        "enough = rest - xp.maximum(peak, so_far - volume - base) <= heaviest": {
            "rest - xp.maximum(peak, so_far - volume - base) <= heaviest"
            " → rest - xp.maximum(peak, so_far - volume - base) < heaviest": MARGIN,
            "xp.maximum → xp.minimum": PASSES,
            "so_far - volume - base → so_far - volume + base": PASSES,
        },
        "done = waiting & (reach | enough) & (peak > -xp.inf)": {
            "peak > -xp.inf → peak >= -xp.inf": "Without a count in reach none is worth leaving out, so none is done.",
        },
        "middle = weighted_mean(ops, at.p * at.q, v)": {"at.p * at.q → at.p / at.q": CENTRE},
        "tangents = _tree.inside_tangents(ops, full, levels, _tree.leaves(ops, push, -push, empty=0.0))": {
            "0.0 → 1.0": "A spare item that grows adds to all outcomes alike, and drops out of the quotient.",
        },
        "return -column_sums(ops, xp.where(at.above() == (theta > 0), xp.zeros_like(theta), xp.abs(theta)))": {
            "theta > 0 → theta >= 0": "A logit of 0 adds nothing.",
        },
        "u = u - column_sums(ops, part.counts * u)": {
            "u - column_sums(ops, part.counts * u) → u + column_sums(ops, part.counts * u)": CENTRE,
        },
    },
    "_tilts": {
        "FLOOR = 2.0**-512": {"2.0 → 4.0": SLOW_FLOATS, "512 → 513": SLOW_FLOATS},
        "REACH = 2.0**-400": {"400 → 401": MARGIN},
        "xp, whole = ops.xp, iota(ops, 1, self.p).dtype": {"1 → 2": DTYPE_ONLY},
        "return float(limits.smallest_normal) / float(limits.eps) ** 2": {
            "float(limits.eps) ** 2 → float(limits.eps) * 2": "NumPy keeps subnormal numbers, for which the margin is.",
            "2 → 3": PASSES,
        },
        "return (self.probabilities >= self.reach(ops)) | (counts(ops, self.rows, self.p) == self.target)": {
            "self.probabilities >= self.reach(ops) → self.probabilities > self.reach(ops)": MARGIN,
        },
        "if not ops.eager_on_cpu or ops.xp.finfo(like.dtype).bits < 64:": {
            "not ops.eager_on_cpu → ops.eager_on_cpu": SLOW_FLOATS,
            "ops.xp.finfo(like.dtype).bits < 64 → ops.xp.finfo(like.dtype).bits <= 64": SLOW_FLOATS,
            "64 → 65": SLOW_FLOATS,
        },
        "return Rows(items_first(ops, by_row), by_row, 0, sign, max(1, width))": {
            "0 → 1": "Rows of several sizes have no count that is read.",
        },
        "whole = iota(ops, 1, theta).dtype": {"1 → 2": DTYPE_ONLY},
        "return xp.astype(xp.round(xp.where(xp.isnan(mean), xp.zeros_like(mean), mean)), iota(ops, 1, mean).dtype)": {
            "1 → 2": DTYPE_ONLY,
        },
        "marks = xp.astype(wanted, iota(ops, 1, wanted).dtype)": {"1 → 2": DTYPE_ONLY},
        "return (*found, xp.astype(first, target.dtype), waiting, ~xp.any(waiting, axis=0))": {"0 → 1": SETTLED},
        "state = (*state, target, wanted, ~xp.any(wanted, axis=0))": {
            "~xp.any(wanted, axis=0) → xp.any(wanted, axis=0)": SETTLED,
            "xp.any → xp.all": SETTLED,
            "0 → 1": SETTLED,
        },
        "return ops.repeat(step, state, rows.width + 2)[:-3]": {
            "2 → 3": "Every step is done with a count at least, so that fewer are enough.",
        },
        "shift = tilt(ops, for_tilt) * for_tilt.sign": {
            "tilt(ops, for_tilt) * for_tilt.sign → tilt(ops, for_tilt) / for_tilt.sign": SIGNS,
        },
        "levels = _tree.inside(ops, full, _tree.leaves(ops, p, q), SEQUENTIAL_FROM if ops.scan else None, top=1)": {
            "SEQUENTIAL_FROM if ops.scan else None → None": EITHER_WAY,
        },
    },
    "_each_count": {
        "top, above = iota(ops, n, t) >= n - self.k[..., None], t > 0": {"t > 0 → t >= 0": "A t of 0 adds nothing."},
        "shifts = xp.reshape(tilt(ops, rows) * rows.sign, tuple(self.k.shape))": {
            "tilt(ops, rows) * rows.sign → tilt(ops, rows) / rows.sign": SIGNS,
        },
        "terms = self.log_weights + self.volumes(ops, found, xp.zeros_like(shifts[..., 0]))": {
            "0 → 1": "Only the shape is used.",
        },
        "best = xp.argmax(xp.where(self.possible, terms, -xp.inf + xp.zeros_like(terms)), axis=-1, keepdims=True)": {
            "-xp.inf + xp.zeros_like(terms) → -xp.inf - xp.zeros_like(terms)": NO_SIGN,
        },
        "terms = xp.where(self.possible, terms + self.volumes(ops, found, shift), -xp.inf + xp.zeros_like(terms))": {
            "-xp.inf + xp.zeros_like(terms) → -xp.inf - xp.zeros_like(terms)": NO_SIGN,
        },
        "xp, n, whole = ops.xp, logits.shape[-1], iota(ops, 1, logits).dtype": {"1 → 2": DTYPE_ONLY},
        "possible = (count >= always) & (count <= most) & (weights > -xp.inf)": {
            "weights > -xp.inf → weights >= -xp.inf": "A weight of 0 adds nothing.",
        },
        "return Counts(wide, k, n // 2, possible, weights)": {"n // 2 → n * 2": WIDER},
        "slopes = slope(ops, logits + shift[..., None], shift)": {
            "logits + shift[..., None] → logits - shift[..., None]": "The same for all counts and so their shares.",
        },
        "mean = xp.sum(v * found.chosen, axis=-1) + xp.where(given.possible, u[..., low : high + 1], 0 * chances)": {
            "0 → 1": "What has no share may have any mean.",
        },
        "xp, n = ops.xp, logits.shape[-1]": {"-1 → 1": AXIS},
        "given = every(ops, logits, fill(ops, (n + 1,), 0.0, logits), 0, n)": {
            "1 → 2": WIDER,
            "0.0 → 1.0": "Only whether a count has a weight is asked.",
        },
        "return xp.where(given.possible | xp.isnan(value), value, -xp.inf + xp.zeros_like(value))": {
            "-xp.inf + xp.zeros_like(value) → -xp.inf - xp.zeros_like(value)": NO_SIGN,
        },
        "apart = xp.where(found.chosen > found.unchosen, -unchosen, chosen)": {
            "found.chosen > found.unchosen → found.chosen >= found.unchosen": TIE,
        },
    },
    "_potentials": {
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
    "_draws": {
        "return problem.whole(z, u.ndim - problem.logits.ndim)": {
            "u.ndim - problem.logits.ndim → u.ndim + problem.logits.ndim": SPREAD,
        },
    },
    "_cardinality": {
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
        "if function is _functions.sample:": {
            "function is _functions.sample → function is not _functions.sample": DIFFERENTIATES,
        },
        "return z + (mean - self.backend.ops(mean).stop_gradient(mean))": {
            "z + (mean - self.backend.ops(mean).stop_gradient(mean))"
            " → z - (mean - self.backend.ops(mean).stop_gradient(mean))": DIFFERENTIATES,
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
    "_weighted": {
        "return (_mixture.solve if ops.sweeps else _each_count.solve)(ops, *parts(logits), low, high)": {
            "_mixture.solve if ops.sweeps else _each_count.solve → _mixture.solve": EITHER_WAY,
            "_mixture.solve if ops.sweeps else _each_count.solve → _each_count.solve": EITHER_WAY,
        },
        "return ops.xp.concat([found.unchosen, 1 - found.counts], axis=-1)": {
            "1 - found.counts → 1 + found.counts": "Nobody asks for this part.",
            "1 → 2": "Nobody asks for this part.",
            "-1 → 1": AXIS,
        },
        (
            "image = (_mixture.product if ops.sweeps else _each_count.product)"
            "(ops, *parts(logits), low, high, *parts(v))"
        ): {
            "_mixture.product if ops.sweeps else _each_count.product → _mixture.product": EITHER_WAY,
            "_mixture.product if ops.sweeps else _each_count.product → _each_count.product": EITHER_WAY,
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
        "return (_tilts if ops.sweeps else _each_count).count_log_probabilities(ops, logits)": {
            "_tilts if ops.sweeps else _each_count → _tilts": EITHER_WAY,
            "_tilts if ops.sweeps else _each_count → _each_count": EITHER_WAY,
        },
        'return known | {"reference": solve(arrays[0])} if function is weighted_kl_divergence else known': {
            "known | {'reference': solve(arrays[0])} if function is weighted_kl_divergence else known"
            " → known | {'reference': solve(arrays[0])}": BEFOREHAND,
            "known | {'reference': solve(arrays[0])} if function is weighted_kl_divergence else known"
            " → known": BEFOREHAND,
            "function is weighted_kl_divergence → function is not weighted_kl_divergence": BEFOREHAND,
            "known | {'reference': solve(arrays[0])} → known & {'reference': solve(arrays[0])}": BEFOREHAND,
            "0 → 1": BEFOREHAND,
        },
    },
    "_mixture": {
        "t = (given.rows.logits + shift) * given.rows.sign + bad": {
            "(given.rows.logits + shift) * given.rows.sign + bad"
            " → (given.rows.logits + shift) * given.rows.sign - bad": NO_SIGN,
            "(given.rows.logits + shift) * given.rows.sign → (given.rows.logits + shift) / given.rows.sign": SIGNS,
        },
        "chosen, unchosen = (items_last(ops, x + bad, batch) for x in (sides[::-1] if given.flipped else sides))": {
            "x + bad → x - bad": NO_SIGN,
        },
        "chances = items_last(ops, given.every_count(ops, chances + bad), batch)": {
            "chances + bad → chances - bad": NO_SIGN,
        },
        "t, shift = items_last(ops, t, batch), xp.reshape(shift * given.rows.sign, batch)": {
            "shift * given.rows.sign → shift / given.rows.sign": SIGNS,
        },
        "return Mixture(t, slope(ops, t, shift), xp.reshape(log_volume + bad, batch), chosen, unchosen, chances)": {
            "log_volume + bad → log_volume - bad": NO_SIGN,
        },
        "v = items_first(ops, xp.where(xp.isinf(logits), xp.zeros_like(v), v)) * given.rows.sign": {
            "items_first(ops, xp.where(xp.isinf(logits), xp.zeros_like(v), v)) * given.rows.sign"
            " → items_first(ops, xp.where(xp.isinf(logits), xp.zeros_like(v), v)) / given.rows.sign": SIGNS,
        },
        "old = zip(means, state[3:6], (1, -1, 1), state[7:], changes, strict=True)": {"True → False": EQUAL_LENGTHS},
        "_blend(ops, share, y, dy) + _within(ops, share, share * (1 - share) * gap * sign * (x - was))": {
            "share * (1 - share) * gap * sign → share * (1 - share) * gap / sign": SIGNS,
        },
        "image = xp.where(chosen > unchosen, fall, rise) * given.rows.sign + bad": {
            "xp.where(chosen > unchosen, fall, rise) * given.rows.sign + bad"
            " → xp.where(chosen > unchosen, fall, rise) * given.rows.sign - bad": NO_SIGN,
            "xp.where(chosen > unchosen, fall, rise) * given.rows.sign"
            " → xp.where(chosen > unchosen, fall, rise) / given.rows.sign": SIGNS,
            "chosen > unchosen → chosen >= unchosen": "Where both are as likely, they are as accurate.",
        },
        "return items_last(ops, image, batch), items_last(ops, given.every_count(ops, moved + bad), batch)": {
            "moved + bad → moved - bad": NO_SIGN,
        },
        "none = fill(ops, tuple(target.shape), 0.0, given.log_weights)": {"0.0 → 1.0": NOTHING_YET},
        "share, larger = _share(ops, total, part), part.log_total > total": {
            "part.log_total > total → part.log_total >= total": "Of two parts as large, either may give the tilt.",
        },
        "merged = (_blend(ops, share, x, y) for x, y in zip(old, means, strict=True))": {
            "True → False": EQUAL_LENGTHS,
        },
        "gap = xp.where(part.log_total == -xp.inf, part.log_total, part.log_total - total)": {
            "-xp.inf → xp.inf": "A share of NaN, where there is nothing on either side, takes no part either.",
        },
        "xp, whole = ops.xp, iota(ops, 1, t).dtype": {"1 → 2": DTYPE_ONLY},
    },
}
"""By module, by line, by change."""
