"""Mutants of inference, functions, derivatives and checks that no test can notice; see `survivors_engines`."""

NOTHING = "An array of no entries is appended, or one array joined to none."
HALF = "Where half of the items are chosen, those left out are as many."
MORE = "Only computes more than is asked for."
RESHAPE = "NumPy takes any negative length for the one that is left open."
SIGNS = "A sign is 1 or -1: none lies between, dividing by it is multiplying, and multiplying by 1 changes nothing."
EQUAL_LENGTHS = "The lengths are the same by construction."
DTYPE_ONLY = "Only the dtype of these integers is used."

REST: dict[str, dict[str, dict[str, str]]] = {
    "_layout": {
        (
            "parts = [ops.xp.zeros((size, *tail), dtype=x.dtype, device=place) if size else None "
            "for size in (before, after)]"
        ): {
            "ops.xp.zeros((size, *tail), dtype=x.dtype, device=place) if size else None"
            " → ops.xp.zeros((size, *tail), dtype=x.dtype, device=place)": NOTHING,
        },
        "return ops.xp.concat(kept, axis=0) if len(kept) > 1 else kept[0]": {
            "ops.xp.concat(kept, axis=0) if len(kept) > 1 else kept[0] → ops.xp.concat(kept, axis=0)": NOTHING,
            "len(kept) > 1 → len(kept) >= 1": NOTHING,
        },
        "return ops.xp.reshape(ops.xp.reshape(x, (-1,)), shape)": {"1 → 2": RESHAPE},
        "sign, count = (-1, n - k) if 2 * k > n else (1, k)": {"2 * k > n → 2 * k >= n": HALF},
        "k = xp.reshape(xp.broadcast_to(k, logits.shape[:-1]), (-1,))": {"1 → 2": RESHAPE},
        "sign = 1 - 2 * xp.astype(2 * k > n, logits.dtype)": {"2 * k > n → 2 * k >= n": HALF},
        "by_row = by_row * sign[:, None]": {"by_row * sign[:, None] → by_row / sign[:, None]": SIGNS},
    },
    "_inference": {
        "return total, _tree.outside(ops, counts, levels, outer / total)[:, : rows.size, ...] if down else None": {
            (
                "_tree.outside(ops, counts, levels, outer / total)[:, :rows.size, ...] if down else None → "
                "_tree.outside(ops, counts, levels, outer / total)[:, :rows.size, ...]"
            ): MORE,
        },
        ("tilted = items_last(ops, t if isinstance(rows.sign, int) and rows.sign == 1 else t * rows.sign, batch)"): {
            "t if isinstance(rows.sign, int) and rows.sign == 1 else t * rows.sign → t * rows.sign": SIGNS,
            "1 → 2": SIGNS,
            "t * rows.sign → t / rows.sign": SIGNS,
        },
        "log_volume = ops.xp.reshape(_log_volume(ops, total, p, q), batch) if volume else None": {
            (
                "ops.xp.reshape(_log_volume(ops, total, p, q), batch) if volume else None → "
                "ops.xp.reshape(_log_volume(ops, total, p, q), batch)"
            ): MORE,
        },
        "tangents = _tree.inside_tangents(ops, counts, levels, leaves(ops, push, -push, empty=0.0))": {
            "0.0 → 1.0": (
                "A factor of all outcomes, as which the tangent of a spare item then counts, drops out of the quotient."
            ),
        },
        "return items_last(ops, ops.xp.where(t > 0, fall, rise), batch)": {
            "t > 0 → t >= 0": "Up to t = 1 both sides are likely, and as accurate as each other.",
            "0 → 1": "Up to t = 1 both sides are likely, and as accurate as each other.",
        },
        "z = z * rows.sign + (1 - rows.sign) / 2 + 0 * shift": {
            (
                "z * rows.sign + (1 - rows.sign) / 2 + 0 * shift → z * rows.sign + (1 - rows.sign) / 2 - 0 * shift"
            ): "The shift is there for its NaN, which has no sign.",
            "z * rows.sign → z / rows.sign": SIGNS,
        },
        "v = xp.where(xp.isinf(logits), fill(ops, (), 0.0, v), v)": {
            "0.0 → 1.0": "Items with infinite logits have the weight 0: any finite number will do.",
        },
        "return column_sums(ops, weights * v) / ops.xp.clip(column_sums(ops, weights), 1e-37, None)": {
            "1e-37 → 2e-37": "The bound is there for a sum of 0, which it only has to exceed.",
        },
        "return [one(x) if w else None for x, w in zip(sides[:: rows.sign], wanted, strict=True)]": {
            "one(x) if w else None → one(x)": MORE,
            "True → False": EQUAL_LENGTHS,
        },
        "flipped, pair = ops.xp.reshape(rows.sign < 0, (*batch, 1)), [one(x) for x in sides]": {
            "rows.sign < 0 → rows.sign <= 0": SIGNS,
            "0 → 1": SIGNS,
        },
    },
    "_sampling": {
        "u = contiguous(ops, u) if u.shape[0] else fill(ops, (1, draws, rows), 0.0, u)": {
            "1 → 2": "A second uniform for rows with nothing to choose is not used.",
            "0.0 → 1.0": "Rows with nothing to choose draw the same from any uniform.",
        },
        "total = xp.broadcast_to(iota(ops, 1, u) + k, (1, draws, rows))": {
            "1 → 2": "A second total goes along as a spare node at the end, which callers cut off.",
        },
        "return ops.xp.sum(ops.xp.astype(mask, iota(ops, 1, like).dtype), axis=0)": {
            "1 → 2": DTYPE_ONLY,
        },
    },
    "_functions": {
        "return solve(ops, logits, k, width, volume=False, unchosen=False).chosen": {
            "False → True": MORE,
        },
        "return solve(ops, logits, k, width, volume=False, chosen=False).unchosen": {
            "False → True": MORE,
        },
        "xp, solution = ops.xp, solution or solve(ops, logits, k, width, chosen=False, unchosen=False)": {
            "False → True": MORE,
        },
        "return cost(ops, t, ops.xp.where(t > 0, solution.unchosen, solution.chosen)) + solution.log_volume": {
            "t > 0 → t >= 0": "At t = 0 the term |t| · m is 0 for either side.",
        },
        "value = -cost(ops, t, xp.where(t > 0, 1 - z, z)) - solution.log_volume": {
            "t > 0 → t >= 0": "At t = 0 the term |t| · m is 0 for either side.",
        },
        "size = k if isinstance(k, int) else xp.astype(k, z.dtype)": {
            "k if isinstance(k, int) else xp.astype(k, z.dtype) → k": (
                "NumPy compares integers with floats; array-api-strict refuses, in the tests of values."
            ),
        },
        "there = reference or solve(ops, other, k, width, chosen=False, unchosen=False)": {
            "False → True": MORE,
        },
        "cross = cost(ops, t, ops.xp.where(t > 0, here.unchosen, here.chosen)) + there.log_volume": {
            "t > 0 → t >= 0": "At t = 0 the term |t| · m is 0 for either side.",
        },
        "smaller = xp.reshape(xp.clip(xp.minimum(k, n - k), 0, width), (-1,))": {
            "1 → 2": RESHAPE,
        },
        "rank = xp.argsort(order, axis=-1, stable=True)": {
            "True → False": "The places are all different, so that no tie is there to be broken.",
        },
        "k = iota(ops, 1, logits) * 0 + (k if isinstance(k, int) else k[..., None])": {
            "0 → 1": "The one integer is 0 already: it lends its dtype and device.",
        },
        "return ops.xp.where(x > 0, x, -x)": {
            "x > 0 → x >= 0": (
                "The sign of a zero is all that changes; derivatives are rules of their own "
                "and do not come through here."
            ),
        },
    },
    "_derivatives": {
        "return z - d.marginals(logits), finite(d.xp, logits) + 0 * z": {
            "finite(d.xp, logits) + 0 * z → finite(d.xp, logits) - 0 * z": "It lends its shape, and NaN has no sign.",
        },
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
    },
    "_validation": {
        "logits = backend.readable(logits[..., :0] if finite and least > LOW else logits)": {
            "logits[..., :0] if finite and least > LOW else logits → logits": "Finite logits rule out no count.",
            "0 → 1": "Finite logits rule out no count.",
        },
        "return xp.astype(k, xp.int64 if k.dtype == xp.uint64 else xp.int32)": {
            "xp.int64 if k.dtype == xp.uint64 else xp.int32 → xp.int64": "64 bits hold what 32 do.",
        },
        "pairs = zip((1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second, strict=True)": {
            "True → False": EQUAL_LENGTHS,
        },
        "flat = xp.reshape(bad, (-1,))": {
            "1 → 2": RESHAPE,
        },
        "flat = xp.reshape(k, (-1,))": {
            "1 → 2": RESHAPE,
        },
        "flat = xp.reshape(excess, (-1,))": {
            "1 → 2": RESHAPE,
        },
        "flat = xp.reshape(xp.where(low < 0, low, high), (-1,))": {
            "1 → 2": RESHAPE,
        },
        "return xp.sum(mu, axis=-1) - (k if isinstance(k, int) else xp.astype(k, mu.dtype))": {
            "k if isinstance(k, int) else xp.astype(k, mu.dtype) → k": (
                "NumPy takes integers from floats; array-api-strict refuses, in the tests of the inverse."
            ),
        },
        "return 32 * n * float(xp.finfo(dtype).eps)": {
            "32 → 33": "A tolerance, of which tests know whether it is between 16 and 64.",
        },
        "flat = xp.reshape(count, (-1,))": {
            "1 → 2": RESHAPE,
        },
        "bad, flat = (low < 0) | (high > n) | (low > high), [xp.reshape(x, (-1,)) for x in (low, high)]": {
            "1 → 2": RESHAPE,
        },
        "flat = [xp.reshape(xp.broadcast_to(x, possible.shape[:-1]), (-1,)) for x in (always, never)]": {
            "1 → 2": RESHAPE,
        },
        "values, wrong = (xp.reshape(a, (-1, x.shape[-1]))[row, ...] for a in (x, bad))": {
            "1 → 2": RESHAPE,
        },
    },
    "_summation": {
        "return ops.column_sums(x) if ops.column_sums else ops.xp.sum(x, axis=0)": {
            (
                "ops.column_sums(x) if ops.column_sums else ops.xp.sum(x, axis=0) → ops.xp.sum(x, axis=0)"
            ): "The namespace adds up the same numbers; the other way is faster.",
        },
        "SPREAD_FROM = 100_000": {"100000 → 100001": "Where it begins to pay is no matter of one item."},
        "total, error = _pairwise(ops, xp.reshape(x, (*x.shape[:-1], devices.count, -1)))": {"1 → 2": RESHAPE},
        "while x.shape[-1] > 1:": {
            "1 → 2": ("The last two terms are then added by the plain sum, whose one rounding is that of any result."),
        },
    },
}
