"""Mutants of the laws that no test can notice, and why: by module, by line, by change."""

from reasons import AXIS, BEFORE_THE_FIRST, COINCIDENCE, NOTHING, RESHAPE, SPEED, WIDER, ZERO

NOT_KEPT = "Nothing of this value is kept, and its derivative is finite."
WITHIN = "How many roundings count as none: a level that close to a value is tested to equal it."
HALF = "At a half both comparisons decide alike."
FILLED_BRACKET = "It fills up items that take no part, and can only widen the bracket of the search."
ROOT = "At equality the middle is the root, and stays an end of the bracket."
RESTORED = "Rounding to the dtype changes 1 − μ by a half at most, which either bound allows."
FALLING = "Below these errors a further step gains nothing that is promised, and costs nothing but time."
ALREADY = "A step of a row that has settled changes nothing but rounding; `PRODUCTS` limits their number."
AVERAGE = "Eigenvalues between 3/4 and 2, as every row tried has them, ask for no other average, and few for this one."
MISSED = "Items without a choice miss their targets by `REACH` or more, of which the mean is taken off and leaves 0."
ENOUGH = "No row tried takes nearly as many, and a test sets the number."
BISECTED = "The interval is below rounding before."
NO_SIZE = "Any size below 0 stands for none."
PROMOTED_VALUES = "NumPy compares integers with floats; array-api-strict refuses, in the tests of values."
LIMIT = "The limit is a choice: floats between both are far from what a choice is left among."
DEFAULTS = "Defaults of an abstract method: laws have their own."

LAW: dict[str, dict[str, dict[str, str]]] = {
    "_law.law": {
        "self, ops: Ops, parameters: Array, *, partition: bool = True, chosen: bool = True, unchosen: bool = True": {
            "True → False": DEFAULTS,
        },
        "there = reference or self.moments(ops, other, chosen=False, unchosen=False)": {"False → True": WIDER},
    },
    "_law.derivatives": {
        (
            "return xp.where(free, x - xp.sum(x, axis=-1, keepdims=True) / xp.where(count > 0, count, "
            "xp.ones_like(count)), x)"
        ): {
            "count > 0 → count >= 0": (
                "A count of 1 divides like 1, and where no item is free the quotient is not selected, forward or back."
            ),
            "0 → 1": (
                "A count of 1 divides like 1, and where no item is free the quotient is not selected, forward or back."
            ),
        },
        "return z - d.marginals(parameters), finite(d.xp, parameters) + 0 * z": {
            "finite(d.xp, parameters) + 0 * z → finite(d.xp, parameters) - 0 * z": ZERO,
        },
        "return given[:1]": {"1 → 2": "The uniforms of a sample would be kept, and not read."},
        "return xp.where(xp.abs(x) > 1000 / float(xp.finfo(x.dtype).eps), x - xp.round(x), x)": {
            "xp.abs(x) > 1000 / float(xp.finfo(x.dtype).eps) → xp.abs(x) >= 1000 / float(xp.finfo(x.dtype).eps)": LIMIT,
            "1000 → 1001": LIMIT,
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
        "shift = _shift(ops, xp.where(free, mu, one / 2), free, count, level)": {"2 → 3": FILLED_BRACKET},
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
    "_law.support": {
        "MOST_SUBSETS = 1_000_000": {"1000000 → 1000001": "Where listing ends is no matter of one subset."},
    },
    "_law.fixed_size": {
        "return xp.sum(z, axis=-1) != (self.k if isinstance(self.k, int) else xp.astype(self.k, z.dtype))": {
            "self.k if isinstance(self.k, int) else xp.astype(self.k, z.dtype) → self.k": PROMOTED_VALUES,
        },
        "return xp.reshape(xp.take(table, xp.reshape(smaller, (-1,)), axis=0), tuple(smaller.shape))": {
            "1 → 2": RESHAPE,
        },
        "return fsum(log((n - j) / (j + 1)) for j in range(min(k, n - k)))": {
            "n - k → n + k": "C(n, k) = C(n, n − k), of which the longer sum is as exact.",
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
    "_law.size_weighted": {
        "self, ops: Ops, parameters: Array, *, partition: bool = True, chosen: bool = True, unchosen: bool = True": {
            "True → False": "This law computes all of its moments, whichever are asked for.",
        },
        "k = xp.where(xp.isnan(xp.sum(each_draw, axis=-1)), xp.full_like(k, -1), k)": {"1 → 2": NO_SIZE},
        "return xp.where(possible, size, xp.full_like(size, -1))": {"1 → 2": NO_SIZE},
    },
}
