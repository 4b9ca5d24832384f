"""Mutants of calls, laws and small parts of the engine that no test can notice; see `survivors_engines`."""

from survivors_engines import AXIS, COINCIDENCE, FIRST, NOTHING, RESHAPE, SAVED, SPEED, TINY, WIDER, ZERO
from survivors_functions import DTYPE_ONLY
from survivors_potentials import EITHER_WAY, NO_SIGN
from survivors_potentials import SETTLED as BEFORE_THE_FIRST

IN_ORDER = "So few terms, added up one after the other, keep their digits."
MORE_TERMS = "More terms of the series than rounding needs."
PROMOTED = "NumPy compares integers with floats; array-api-strict refuses, in the tests of masks."
NOT_KEPT = "Nothing of this value is kept, and its derivative is finite."
WITHIN = "How many roundings count as none: a level that close to a value is tested to equal it."
HALF = "At a half both comparisons decide alike."
BRACKET = "It fills up items that take no part, and can only widen the bracket of the search."
ROOT = "At equality the middle is the root, and stays an end of the bracket."
RESTORED = "Rounding to the dtype changes 1 − μ by a half at most, which either bound allows."
FALLING = "Below these errors a further step gains nothing that is promised, and costs nothing but time."
ALREADY = "A step of a row that has settled changes nothing but rounding; `PRODUCTS` limits their number."
LOOSER = "The bound is then missed by 4 % at most, which its distance from the least normal float covers."
FIRST_TILT = "Any likely size will do for the first tilt; a test says how likely."
NEAR_ENOUGH = "Within two deviations no size is that rare, and a rare one could only cost a few bits or wait."
UNDERFLOW = "The error by underflow is far below rounding for half of this bound too."
ELSEWHERE = "Of Dask arrays and DTensors, which have tests of their own."
AVERAGE = "Eigenvalues between 3/4 and 2, as every row tried has them, ask for no other average, and few for this one."
MISSED = "Items without a choice miss their targets by `REACH` or more, of which the mean is taken off and leaves 0."
ENOUGH = "No row tried takes nearly as many, and a test sets the number."
BISECTED = "The interval is below rounding before."

CALLS: dict[str, dict[str, dict[str, str]]] = {
    "_engine.summation": {
        "FOLD = 32": {"32 → 33": IN_ORDER},
        "while (size := x.shape[1] // FOLD) > 0:": {"0 → 1": IN_ORDER},
        "x = xp.concat([head, x[:, FOLD * size :, ...]], axis=1) if x.shape[1] % FOLD else head": {
            "xp.concat([head, x[:, FOLD * size:, ...]], axis=1) if x.shape[1] % FOLD else head"
            " → xp.concat([head, x[:, FOLD * size:, ...]], axis=1)": NOTHING,
            "x.shape[1] % FOLD → x.shape[1] * FOLD": NOTHING,
        },
    },
    "_engine.elementary": {
        "return tuple((-1) ** j / factorial(2 * j + first) for j in range(terms - 1, -1, -1))": {
            "terms - 1 → terms + 1": MORE_TERMS,
        },
        "TERMS = {32: 6, 64: 9}": {"6 → 7": MORE_TERMS, "9 → 10": MORE_TERMS},
    },
    "_engine.selection": {
        "if n == 0:": {"0 → 1": "Of one item the sum is the item, and no item goes through the rest as well."},
    },
    "_engine.arrays": {
        "return ops.xp.astype(iota(ops, 1, like)[0] + k, like.dtype)": {"1 → 2": FIRST},
        "return contiguous(ops, ops.xp.permute_dims(x, (x.ndim - 1, *range(x.ndim - 1)))) if x.ndim > 1 else x": {
            "contiguous(ops, ops.xp.permute_dims(x, (x.ndim - 1, *range(x.ndim - 1)))) if x.ndim > 1 else x"
            " → contiguous(ops, ops.xp.permute_dims(x, (x.ndim - 1, *range(x.ndim - 1))))": SAVED,
            "x.ndim > 1 → x.ndim >= 1": SAVED,
        },
    },
    "_law.tails": {
        "SLACK = 8": {"8 → 9": WITHIN},
        "while reach < x.shape[-1]:": {"reach < x.shape[-1] → reach <= x.shape[-1]": NOTHING},
        "likely = other < x": {"other < x → other <= x": HALF},
        "return xp.where(likely, xp.log1p(-xp.exp(xp.where(likely, other, xp.full_like(other, -1.0)))), x)": {
            "-1.0 → 1.0": NOT_KEPT,
            "1.0 → 2.0": NOT_KEPT,
        },
        "short = xp.astype(~xp.where(log_q < log(0.5), enough, little), xp.int32)": {
            "log_q < log(0.5) → log_q <= log(0.5)": HALF,
        },
    },
    "_law.rescaling": {
        "HALVINGS = 64": {"64 → 65": BISECTED},
        "shift = _shift(ops, xp.where(free, mu, one / 2), free, count, level)": {"2 → 3": BRACKET},
        "short, settled = total < count, (low >= middle) | (middle >= high)": {
            "total < count → total <= count": ROOT,
            "(low >= middle) | (middle >= high) → (low >= middle) & (middle >= high)": SPEED,
            "low >= middle → low > middle": SPEED,
            "middle >= high → middle > high": SPEED,
        },
        "low, high, _ = ops.repeat(halve, (low, high, low > high), HALVINGS)": {
            "low > high → low >= high": BEFORE_THE_FIRST,
        },
    },
    "_api.inverse_map": {
        "fits: Array = xp.abs(sum_excess(xp, problem.logits, problem.k)) <= slack": {
            "xp.abs(sum_excess(xp, problem.logits, problem.k)) <= slack"
            " → xp.abs(sum_excess(xp, problem.logits, problem.k)) < slack": COINCIDENCE,
        },
        "flat = xp.reshape(excess, (-1,))": {"1 → 2": RESHAPE},
        "flat = [xp.reshape(x, (-1,)) for x in (ones, some)]": {"1 → 2": RESHAPE},
        "flat = xp.reshape(xp.where(low < 0, low, high), (-1,))": {"1 → 2": RESHAPE},
        "return xp.sum(mu, axis=-1) - (k if isinstance(k, int) else xp.astype(k, mu.dtype))": {
            "k if isinstance(k, int) else xp.astype(k, mu.dtype) → k": PROMOTED,
        },
        "return 32 * max(n * float(xp.finfo(dtype).eps), sqrt(n) * 2.0**-23)": {
            "32 → 33": "A sum is tested to be off by fewer roundings, and by far more.",
        },
    },
    "_law.inverse_map": {
        "STEPS = 64": {"64 → 65": ENOUGH},
        "PRODUCTS = 48": {"48 → 49": ENOUGH},
        "FINE, ROUGH = 64, 4096": {"64 → 65": FALLING, "4096 → 4097": FALLING},
        "ROUNDING = 32": {"32 → 33": "A sum is tested to be off by fewer roundings, and by far more."},
        "REACH = 40.0": {"40.0 → 80.0": SPEED},
        "law = law if law.counts is None else law.sized(xp.reshape(law.counts, (-1,)))": {"1 → 2": RESHAPE},
        "start = xp.where(target.fixed, xp.where(mu > 0.5, infinity, -infinity), start)": {
            "mu > 0.5 → mu >= 0.5": "The marginal of a fixed item is 0 or 1, to rounding.",
        },
        "still, unknown = xp.zeros_like(mu), xp.sum(xp.zeros_like(mu), axis=-1) + infinity": {"-1 → 1": AXIS},
        "found = settled & ~xp.isnan(error) & ~xp.any(xp.isnan(theta), axis=-1)": {"-1 → 1": AXIS},
        "variance = _divisor(xp, xp.sum(spread, axis=-1, keepdims=True))": {"-1 → 1": AXIS},
        "normal = xp.astype(spread * eps >= xp.finfo(mu.dtype).smallest_normal, mu.dtype)": {
            "spread * eps >= xp.finfo(mu.dtype).smallest_normal → spread * eps > xp.finfo(mu.dtype).smallest_normal": (
                COINCIDENCE
            ),
        },
        "chosen = xp.sum(xp.astype(mu == 1, mu.dtype), axis=-1)": {"1 → 2": MISSED, "-1 → 1": AXIS},
        "possible = xp.sum(xp.astype(mu != 0, mu.dtype), axis=-1)": {"-1 → 1": AXIS},
        "return (mu == 0) | (mu == 1) | ((chosen == size) | (possible == size))[:, None]": {
            "(chosen == size) | (possible == size) → (chosen == size) & (possible == size)": MISSED,
        },
        "xp, rest, likely = ops.xp, 1 - mu, mu > 0.5": {"mu > 0.5 → mu >= 0.5": RESTORED},
        "surplus = compensated_sum(ops, xp.where(likely, -rest, mu)) + (xp.sum(count, axis=-1) - size)": {
            "-1 → 1": AXIS,
        },
        "rounded = xp.abs(surplus) <= ROUNDING * mu.shape[-1] * _eps(ops, mu)": {
            "-1 → 1": AXIS,
            "xp.abs(surplus) <= ROUNDING * mu.shape[-1] * _eps(ops, mu)"
            " → xp.abs(surplus) < ROUNDING * mu.shape[-1] * _eps(ops, mu)": COINCIDENCE,
        },
        "lost = xp.where(rounded, -surplus / xp.clip(xp.sum(count, axis=-1), 1, None), xp.zeros_like(surplus))": {
            "-1 → 1": AXIS,
        },
        "return xp.where(likely, xp.maximum(xp.minimum(rest - lost[:, None], 2 * rest), rest / 2), rest)": {
            "2 → 3": RESTORED,
            "2 * rest → 2 / rest": RESTORED,
        },
        "xp, eps = ops.xp, _eps(ops, state[0])": {"0 → 1": "Of both only the dtype is used, which is the same."},
        "error = xp.max(xp.abs(gap) * target.scale, axis=-1)": {"-1 → 1": AXIS},
        "stalled = (error <= ROUGH * eps) & (error > before / 2)": {
            "error <= ROUGH * eps → error < ROUGH * eps": COINCIDENCE,
            "error > before / 2 → error >= before / 2": COINCIDENCE,
            "2 → 3": FALLING,
        },
        "settled = settled | (error <= FINE * eps) | stalled | xp.isnan(error)": {
            "error <= FINE * eps → error < FINE * eps": COINCIDENCE,
        },
        "share = xp.sum(weighted * pull, axis=-1) / _divisor(xp, xp.sum(weighted * change, axis=-1))": {"-1 → 1": AXIS},
        "share = xp.where(xp.isinf(last), xp.zeros_like(share), xp.clip(share, -1 / 3, 0.5))": {
            "-1 / 3 → -1 * 3": AVERAGE,
            "1 → 2": AVERAGE,
            "3 → 4": AVERAGE,
            "0.5 → 1.0": AVERAGE,
        },
        "xp, found = ops.xp, law.moments(ops, theta, partition=False)": {"False → True": WIDER},
        "xp, found = ops.xp, law.moments(ops, logits, partition=False)": {"False → True": WIDER},
        "count = xp.sum(xp.astype(~fixed, x.dtype), axis=-1)": {"-1 → 1": AXIS},
        "y = _conjugate_gradients(ops, apply, _unit(xp, null / ease), _without(xp, v / size, null) * ease)": {
            "null / ease → null * ease": "A residual without a part along one vector is 0 once it is along another.",
        },
        "state: State = (xp.zeros_like(b), b, b, start, start == 0)": {"0 → 1": COINCIDENCE},
        "settled = settled | (new <= eps**2 * start) | xp.isnan(new)": {
            "settled | (new <= eps ** 2 * start) | xp.isnan(new)"
            " → (settled | (new <= eps ** 2 * start)) & xp.isnan(new)": ALREADY,
            "settled | (new <= eps ** 2 * start) → settled & (new <= eps ** 2 * start)": ALREADY,
            "new <= eps ** 2 * start → new < eps ** 2 * start": ALREADY,
            "2 → 3": ALREADY,
        },
    },
    "_engine.potential.sizes": {
        "most = self.x.likeliest(ops) - gap * gap / (2 * self.totals.variance + gap * (2 / 3) + 1e-30)": {
            "2 → 3": SPEED,
            "3 → 4": LOOSER,
            "1e-30 → 2e-30": TINY,
            "2 * self.totals.variance + gap * (2 / 3) + 1e-30 → 2 * self.totals.variance + gap * (2 / 3) - 1e-30": TINY,
        },
        "gap, limit = xp.abs(self.ahead - self.totals.gap), BELOW_ALL[xp.finfo(log_total.dtype).bits]": {
            "self.ahead - self.totals.gap → self.ahead + self.totals.gap": (
                "The tilt leaves a gap of a quarter of a deviation, which the distance of the limit from the least "
                "normal float covers."
            ),
        },
        "return (self.slanted() + self.base() - log_total) / unit + most < -limit": {
            (
                "(self.slanted() + self.base() - log_total) / unit + most < -limit"
                " → (self.slanted() + self.base() - log_total) / unit + most <= -limit"
            ): COINCIDENCE,
        },
        "return Tilted(given, target, found, x, sums, gap <= REACH * xp.sqrt(sums.variance))": {
            "gap <= REACH * xp.sqrt(sums.variance) → gap < REACH * xp.sqrt(sums.variance)": NEAR_ENOUGH,
        },
        "BELOW_ALL = {32: 110.0, 64: 760.0}": {"110.0 → 220.0": "More sizes than have a share wait for a tilt."},
        "return ldexp(1.0, -(self.logits.shape[0].bit_length() + 2))": {
            "1.0 → 2.0": "Sums of rows stay below the largest float with this unit too; a power of 2 changes no digit.",
            "2 → 3": "Sums of rows stay below the largest float with this unit too; a power of 2 changes no digit.",
        },
        (
            "return self.ops.xp.reshape(self.ops.xp.astype(places, self.logits.dtype), "
            "(-1, *(1,) * (self.logits.ndim - 1)))"
        ): {"1 → 2": RESHAPE},
        "marks = xp.astype(waiting, iota(self.ops, 1, waiting).dtype)": {"1 → 2": DTYPE_ONLY},
        (
            "score = given.log_weights - gap * gap / "
            "(2 * xp.where(variance > 0.25, variance, xp.full_like(variance, 0.25)))"
        ): {
            "2 → 3": FIRST_TILT,
            "variance > 0.25 → variance >= 0.25": SAVED,
            "0.25 → 0.5": FIRST_TILT,
        },
        "apart = xp.where(self.x.chosen == (theta > 0), xp.zeros_like(theta), xp.abs(theta))": {
            "theta > 0 → theta >= 0": "A θ of 0 adds nothing.",
        },
    },
    "_engine.potential.parts": {
        "SMALL = 0.05": {"0.05 → 0.1": NEAR_ENOUGH},
        "return waiting & at.near & ((chances > SMALL * xp.max(chances, axis=0)) | (at.ahead == 0))": {
            "chances > SMALL * xp.max(chances, axis=0) → chances >= SMALL * xp.max(chances, axis=0)": NEAR_ENOUGH,
            "xp.max → xp.min": NEAR_ENOUGH,
            "at.ahead == 0 → at.ahead != 0": NEAR_ENOUGH,
            "0 → 1": NEAR_ENOUGH,
        },
        "LONGEST_PRODUCT = 1 << 15": {
            "1 << 15 → 1 >> 15": EITHER_WAY,
            "1 → 2": EITHER_WAY,
            "15 → 16": EITHER_WAY,
        },
        "REACH = {32: 2.0**-80, 64: 2.0**-918}": {"80 → 81": UNDERFLOW, "918 → 919": UNDERFLOW},
        "middle = item_sums(ops, x.spread * v) / xp.clip(item_sums(ops, x.spread), 1e-37, None)": {
            "1e-37 → 2e-37": TINY,
        },
        "u = xp.where(part.done, u - xp.sum(part.sizes * u, axis=0), xp.zeros_like(u))": {
            "u - xp.sum(part.sizes * u, axis=0) → u + xp.sum(part.sizes * u, axis=0)": (
                "Nothing but roundings depends on a number that is added to all of u."
            ),
        },
        ("done, value, terms = (_by_products if at.x.t.shape[0] <= LONGEST_PRODUCT else _by_integrals)(at, waiting)"): {
            "_by_products if at.x.t.shape[0] <= LONGEST_PRODUCT else _by_integrals → _by_products": EITHER_WAY,
            "_by_products if at.x.t.shape[0] <= LONGEST_PRODUCT else _by_integrals → _by_integrals": EITHER_WAY,
            "at.x.t.shape[0] <= LONGEST_PRODUCT → at.x.t.shape[0] < LONGEST_PRODUCT": EITHER_WAY,
        },
        "small = xp.abs(total) <= 1": {
            "xp.abs(total) <= 1 → xp.abs(total) < 1": EITHER_WAY,
            "1 → 2": EITHER_WAY,
        },
        "chances = xp.reshape(counts.multiply(0, first, second)[: n + 1, 0, :], (n + 1, *batch))": {
            "0 → 1": "Only tables of another kind go by the level.",
        },
        "done = waiting & (chances >= REACH[xp.finfo(chances.dtype).bits])": {
            "chances >= REACH[xp.finfo(chances.dtype).bits] → chances > REACH[xp.finfo(chances.dtype).bits]": (
                COINCIDENCE
            ),
        },
        "return done, log_total + xp.zeros_like(at.given.log_weights), -softplus(ops, _away(at))": {
            "log_total + xp.zeros_like(at.given.log_weights) → log_total - xp.zeros_like(at.given.log_weights)": ZERO,
        },
    },
    "_api.quantile": {
        (
            'return value if xp.isdtype(value.dtype, "integral") else xp.astype(value, xp.int64)'
            "  # Dask goes by the logits"
        ): {
            "value if xp.isdtype(value.dtype, 'integral') else xp.astype(value, xp.int64) → value": ELSEWHERE,
            (
                "value if xp.isdtype(value.dtype, 'integral') else xp.astype(value, xp.int64)"
                " → xp.astype(value, xp.int64)"
            ): SAVED,
        },
        "pair = [xp.asarray(x, **where) if isinstance(x, list) else xp.astype(x, found.dtype) for x in levels]": {
            (
                "xp.asarray(x, **where) if isinstance(x, list) else xp.astype(x, found.dtype) → xp.asarray(x, **where)"
            ): "Of an array asarray makes the same.",
        },
        "inside = (q >= 0) & (q <= 1)": {
            "1 → 2": "The logarithm of a level above 1 is positive, like the one in its place; NumPy would only warn.",
        },
        "low, high = (_log(xp, xp.where(inside, x, xp.full_like(x, 2.0)))[..., None] for x in (q, 1 - q))": {
            "2.0 → 4.0": "Any number above 1.",
        },
        "flat = xp.reshape(q, (-1,))": {"1 → 2": RESHAPE},
    },
    "_api.poisson_binomial": {
        "return (int(logits.shape[-1]) + 1,)": {
            "int(logits.shape[-1]) + 1 → int(logits.shape[-1]) - 1": ELSEWHERE,
            "1 → 2": ELSEWHERE,
        },
    },
    "_api.show_config": {
        "counts = _path(count_rows(logits, validate=False), dispatch.COUNTS)": {
            "False → True": "The values have been checked by then.",
        },
    },
    "_api.covariance": {
        "BLOCK = 1 << 19": {"1 << 19 → 1 >> 19": SPEED, "1 → 2": SPEED, "19 → 20": SPEED},
        "if not problem.backend.is_readable(logits) or numbers * n <= BLOCK:": {
            "numbers * n <= BLOCK → numbers * n < BLOCK": SAVED,
        },
        "step = max(1, BLOCK // numbers)": {"1 → 2": SPEED},
    },
    "_law.support": {
        "MOST_SUBSETS = 1_000_000": {"1000000 → 1000001": "Where listing ends is no matter of one subset."},
    },
    "_call.masks": {
        "items, low = int(xp.reshape(real, (-1,))[row]),"
        " float(xp.min(xp.where(rows == -xp.inf, xp.inf, rows)[found, :]))": {"1 → 2": RESHAPE},
        "flat = xp.reshape(real < (least if isinstance(least, int) else xp.astype(least, xp.float32)), (-1,))": {
            "least if isinstance(least, int) else xp.astype(least, xp.float32) → least": PROMOTED,
            "1 → 2": RESHAPE,
        },
        "rows = xp.reshape(logits, (-1, logits.shape[-1]))[flat]": {"1 → 2": RESHAPE},
        "frame = sys._getframe(1)": {"1 → 2": "The frames that are left out are the library's own."},
        "ceiling, bottom = xp.max(half, axis=-1), xp.min(half, axis=-1)": {"-1 → 1": AXIS},
        "mask = xp.max(xp.where(low, half, -inf), axis=-1)": {"-1 → 1": AXIS},
        "floor = xp.min(xp.where(low, inf, half), axis=-1)": {"-1 → 1": AXIS},
        "above = xp.max(xp.where(low | (rows == inf), -inf, half), axis=-1)": {"-1 → 1": AXIS},
        "return xp.where(xp.all(low, axis=-1), ceiling == bottom, apart)": {"-1 → 1": AXIS},
    },
    "_engine.potential.mixture": {
        "return (*found, given.first(waiting, at.reach() / 2), waiting, ~xp.any(waiting, axis=0))": {
            "2 → 3": "How far tilts are apart is a matter of speed; how many are needed has a test.",
        },
        "state = (*state, likely_size(given), given.wanted, ~xp.any(given.wanted, axis=0))": {
            "~xp.any(given.wanted, axis=0) → xp.any(given.wanted, axis=0)": BEFORE_THE_FIRST,
            "xp.any → xp.all": BEFORE_THE_FIRST,
        },
        "return ops.repeat(step, state, 2 * given.wanted.shape[0] + 4)[:-3]": {
            "2 → 3": "More tilts are allowed than any row needs; further ones change nothing.",
            "4 → 5": "More tilts are allowed than any row needs; further ones change nothing.",
        },
        "t = tilt.apply(given.logits) + bad": {
            "tilt.apply(given.logits) + bad → tilt.apply(given.logits) - bad": NO_SIGN,
        },
        "chosen, unchosen = probability(ops, means[0] + bad, t), probability(ops, means[1] + bad, -t)": {
            "means[0] + bad → means[0] - bad": NO_SIGN,
            "means[1] + bad → means[1] - bad": NO_SIGN,
        },
        "chances = _every_size(ops, logits, low, means[2] + bad)": {"means[2] + bad → means[2] - bad": NO_SIGN},
        "return Mixture(tilted, slope, lead, log_partition + bad, chosen, unchosen, chances)": {
            "log_partition + bad → log_partition - bad": NO_SIGN,
        },
        "apart = xp.where(part.chosen > part.unchosen, state[6] - part.unchosen, part.chosen - state[5])": {
            "part.chosen > part.unchosen → part.chosen >= part.unchosen": "At a half either difference is exact.",
        },
        "return items_last(ops, image + bad), items_last(ops, _every_size(ops, logits, low, moved + bad))": {
            "image + bad → image - bad": NO_SIGN,
            "moved + bad → moved - bad": NO_SIGN,
        },
        "given = sizes(ops, logits, fill(ops, (*batch, n + 1), 0.0, logits), 0, n)": {
            "1 → 2": WIDER,
            "0.0 → 1.0": "Where all weights are equal only the first tilt is found by them.",
        },
        "gap = xp.where(part.log_total == -xp.inf, part.log_total, (part.log_total - total) / given.unit)": {
            "-xp.inf → xp.inf": "Only in a row without a possible size is the first part empty, and such a row is NaN.",
        },
        "share, larger = _share(given, total, part), part.log_total > total": {
            "part.log_total > total → part.log_total >= total": "Of two equal parts either may lend its tilt.",
        },
        "count = xp.reshape(xp.astype(iota(ops, n + 1, t), t.dtype), (-1, *(1,) * (t.ndim - 1)))": {"1 → 2": RESHAPE},
    },
}
