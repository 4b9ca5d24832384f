"""Mutants of the engines that no test can notice, and why: by module, by line, by change."""

from reasons import AXIS, COINCIDENCE, DTYPE_ONLY, NOTHING, RESHAPE, SAVED, SHAPE, SPEED, WIDER, ZERO

STEPS_ENOUGH = "Every family tried settles in fewer steps, and a row that has settled stays as it is."
MARKED = "Rounding alone depends on which items are marked."
NEARBY = "Any tilt near the root gives the same distribution, and this one is tested to be near enough."
EITHER = "Both brackets hold the root, also where all items are chosen and it is infinite; counts are whole numbers."
FIRST = "The first of two numbers is the first of one."
RATIOS = "Draws compare counts, all of which are multiplied alike."
HALVES = "Where k = n/2 one side is as small as the other."
BITS = "A dtype has 32 or 64 bits, a relative precision of 1e-7 or 2e-16."
BRACKET = "The bracket of the search is wider than it must be either way, as a test says."
SETTLED = "At equality the row has settled, and stays as it is."
LANDS = "A row that has not settled takes a step far above rounding; one that ends on an end of the bracket may do so."
DECIDED = "Infinite items decide such a row, whatever the tilt."
IN_ORDER = "So few terms, added up one after the other, keep their digits."
MORE_TERMS = "More terms of the series than rounding needs."
SPARE = "A further place takes what belongs nowhere, and is cut off."

ENGINE: dict[str, dict[str, dict[str, str]]] = {
    "_engine.tilt": {
        "STEPS = 14": {
            "14 → 15": STEPS_ENOUGH,
        },
        "count = whole(ops, k, logits) + xp.zeros_like(logits[0, ...])": {
            (
                "whole(ops, k, logits) + xp.zeros_like(logits[0, ...]) → whole(ops, k, logits) - "
                "xp.zeros_like(logits[0, ...])"
            ): ZERO,
        },
        "above = raised > 1": {
            "raised > 1 → raised >= 1": MARKED,
            "1 → 2": MARKED,
        },
        "settled = settled | (excess * excess <= xp.clip(TOLERANCE**2 * spread, 1e-6, None))": {
            (
                "excess * excess <= xp.clip(TOLERANCE ** 2 * spread, 1e-06, None) → excess * excess < "
                "xp.clip(TOLERANCE ** 2 * spread, 1e-06, None)"
            ): NEARBY,
            "2 → 3": NEARBY,
            "1e-06 → 2e-06": NEARBY,
        },
        "narrow = xp.all((top - bottom <= NARROW) & (count > 0.5) & (count < n - 0.5))": {
            "top - bottom <= NARROW → top - bottom < NARROW": EITHER,
            "count > 0.5 → count >= 0.5": EITHER,
            "count < n - 0.5 → count <= n - 0.5": EITHER,
            "n - 0.5 → n + 0.5": EITHER,
        },
        "start, half, level = -(top / 2 + bottom / 2), (top - bottom) / 2, xp.log(count / (n - count))": {
            "(top - bottom) / 2 → (top - bottom) * 2": BRACKET,
        },
        "return (start, level - half - 1, level + half + 1, level - mean, top == top)": {
            "1 → 2": BRACKET,
        },
        "low, high = -xp.log(2 * xp.clip(n - count, 0, n) + 2), xp.log(2 * xp.clip(count, 0, n) + 2)": {
            "xp.log → xp.log1p": BRACKET,
            "2 → 3": BRACKET,
            "n - count → n + count": BRACKET,
            "0 → 1": BRACKET,
        },
        "size = iota(ops, 1, logits)[0] + k": {
            "1 → 2": FIRST,
        },
        "NEAR = 0.25": {"0.25 → 0.5": BRACKET},
        "FORCED = 200.0": {"200.0 → 400.0": DECIDED},
        "low = xp.where(excess < 0, shift, low)": {"excess < 0 → excess <= 0": SETTLED},
        "high = xp.where(excess < 0, high, shift)": {"excess < 0 → excess <= 0": SETTLED},
        "new = xp.where((new > low) & (new < high), new, (low + high) / 2)": {
            "new > low → new >= low": LANDS,
            "new < high → new <= high": LANDS,
        },
        "xp, tiny = ops.xp, 1e-30": {"1e-30 → 2e-30": "Any number far below those that occur keeps the step finite."},
    },
    "_engine.polynomial": {
        "return contiguous(ops, ops.xp.permute_dims(ops.xp.reshape(x, (*reversed(tail), x.shape[-1])), reverse))": {
            "-1 → 1": AXIS,
        },
        "if left.shape[0] < ops.matmul_from:": {
            "left.shape[0] < ops.matmul_from → left.shape[0] <= ops.matmul_from": SPEED,
            "0 → 1": SPEED,
        },
        "parts = [term[:1, ...], term[1:, ...] + (out[:more, ...] if more < done else out)]": {
            "out[:more, ...] if more < done else out → out[:more, ...]": SAVED,
            "more < done → more <= done": SAVED,
        },
        "out = ops.xp.concat([*parts, out[more:, ...]] if more < done else parts, axis=0)": {
            "[*parts, out[more:, ...]] if more < done else parts → [*parts, out[more:, ...]]": SAVED,
            "more < done → more <= done": SAVED,
        },
        "window = pad(ops, right, s - 1, size - right.shape[0] + 1)": {
            "size - right.shape[0] → size + right.shape[0]": WIDER,
            "1 → 2": WIDER,
        },
        "s = -(-4 * isqrt(coefficients) // 3)": {
            "-4 * isqrt(coefficients) // 3 → -4 * isqrt(coefficients) * 3": SPEED,
            "4 → 5": SPEED,
            "3 → 4": SPEED,
        },
        "return ops.xp.reshape(_last(ops, pad(ops, x, 0, blocks * s - x.shape[0])), (-1, blocks, s))": {
            "1 → 2": RESHAPE
        },
    },
    "_engine.tree": {
        "unchosen = xp.concat([unchosen, fill(ops, spare, 1.0, unchosen)], axis=0)": {
            "1.0 → 2.0": RATIOS,
        },
        "while levels[-1].shape[1] > 2:": {
            "levels[-1].shape[1] > 2 → levels[-1].shape[1] >= 2": WIDER,
        },
        "if lone.shape[1] == 0:": {
            "1 → 2": NOTHING,
        },
        "return product(self.ops, left, right, min(2 * left.shape[0] - 1, self.limit))": {
            "min → max": WIDER,
            "2 * left.shape[0] - 1 → 2 * left.shape[0] + 1": WIDER,
            "2 → 3": WIDER,
        },
        "if n < 2:": {
            "n < 2 → n <= 2": "To two items nothing is appended.",
            "2 → 3": "To two items nothing is appended.",
        },
        "spare = (2 - n, rows)": {
            "2 → 3": "One more item that is never chosen changes no count.",
        },
        "chosen = xp.concat([chosen, fill(ops, spare, 0.0, chosen)], axis=0)": {
            "0.0 → 1.0": (
                "Rows of fewer than two items, once oriented, choose none: nothing reads a spare item's chosen side."
            ),
        },
        "SHORT = 32": {"32 → 33": SPEED},
        "self.limit, self.floor = max(2, width + 1), floor": {"2 → 3": WIDER, "1 → 2": WIDER},
        "xp, (size, nodes, rows), padded = ops.xp, x.shape, pad(ops, x, 1, 1)": {"1 → 2": WIDER},
        "flat = xp.reshape(padded, (-1,))": {"1 → 2": RESHAPE},
        "return xp.reshape(xp.take(flat, xp.reshape(index, (-1,)), axis=0), tuple(index.shape))": {"1 → 2": RESHAPE},
    },
    "_engine.window": {
        "return _slide(self.ops, coefficients, self._shift(level), self.size(level + 1))": {"1 → 2": WIDER},
        "self.floor = 4 * float(ops.xp.finfo(rows.p.dtype).eps)": {
            "4 → 5": SPEED,
        },
        "xp, whole = self.ops.xp, iota(self.ops, 1, mean).dtype": {
            "1 → 2": SHAPE,
        },
        "return ops.devices.pick(pad(ops, x, 1, 1), index[:, :, None, :])[:, :, 0, :]": {"1 → 2": WIDER},
        "LONGEST_SUM = 64": {"64 → 65": SPEED},
        "while mean.shape[0] > 2:": {"mean.shape[0] > 2 → mean.shape[0] >= 2": WIDER},
        "if not ops.eager_on_cpu or xp.finfo(p.dtype).bits > 32:": {"32 → 33": BITS},
        "full = 2 * left.shape[0] - 1": {"2 * left.shape[0] - 1 → 2 * left.shape[0] + 1": WIDER, "2 → 3": WIDER},
        "if left.shape[0] <= LONGEST_SUM:": {"left.shape[0] <= LONGEST_SUM → left.shape[0] < LONGEST_SUM": SPEED},
        "return x * self.ops.xp.astype(magnitude > self.floor * top, x.dtype)": {
            "magnitude > self.floor * top → magnitude >= self.floor * top": "At equality it is noise or 0 itself.",
        },
        "fft, length = ops.devices.fft if ops.devices else ops.xp.fft, 1 << (size - 1).bit_length()": {
            "ops.devices.fft if ops.devices else ops.xp.fft → ops.xp.fft": (
                "Either is NumPy's here; `test_scale_jax` sees what JAX sends."
            ),
            "1 → 2": WIDER,
            "size - 1 → size + 1": WIDER,
        },
        "flat = xp.reshape(pad(ops, x, 1, 1), (-1,))": {"1 → 2": WIDER},
        "index = xp.reshape(index * (nodes * rows) + place, (-1,))": {"1 → 2": RESHAPE},
    },
    "_engine.rows": {
        (
            "size = iota(ops, 1, p)[0] + "
            "(k if isinstance(k, int) else xp.reshape(xp.broadcast_to(k, tuple(batch)), (-1,)))"
        ): {
            "1 → 2": FIRST,
            (
                "k if isinstance(k, int) else xp.reshape(xp.broadcast_to(k, tuple(batch)), (-1,))"
                " → xp.reshape(xp.broadcast_to(k, tuple(batch)), (-1,))"
            ): SAVED,
        },
        "flipped = 2 * size > n": {
            "2 * size > n → 2 * size >= n": HALVES,
        },
        "smaller = min(k, n - k) if isinstance(k, int) else xp.minimum(size, n - size)": {
            "min(k, n - k) if isinstance(k, int) else xp.minimum(size, n - size) → xp.minimum(size, n - size)": SAVED,
        },
    },
    "_engine.inference": {
        "change = found.deviation() if chosen or unchosen else None": {
            "found.deviation() if chosen or unchosen else None → found.deviation()": WIDER,
        },
        "z = xp.where(rows.flipped, 1 - z, z) + 0 * xp.sum(rows.p, axis=0)": {
            (
                "xp.where(rows.flipped, 1 - z, z) + 0 * xp.sum(rows.p, axis=0) → xp.where(rows.flipped, "
                "1 - z, z) - 0 * xp.sum(rows.p, axis=0)"
            ): ZERO,
        },
    },
    "_engine.sampling": {
        "below, above = _count(ops, rising <= target, u), _count(ops, falling > target, u) - 1": {
            "rising <= target → rising < target": COINCIDENCE,
            "falling > target → falling >= target": COINCIDENCE,
        },
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
    "_engine.arrays": {
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
        "return ops.xp.astype(iota(ops, 1, like)[0] + k, like.dtype)": {"1 → 2": FIRST},
        "return contiguous(ops, ops.xp.permute_dims(x, (x.ndim - 1, *range(x.ndim - 1)))) if x.ndim > 1 else x": {
            "contiguous(ops, ops.xp.permute_dims(x, (x.ndim - 1, *range(x.ndim - 1)))) if x.ndim > 1 else x"
            " → contiguous(ops, ops.xp.permute_dims(x, (x.ndim - 1, *range(x.ndim - 1))))": SAVED,
            "x.ndim > 1 → x.ndim >= 1": SAVED,
        },
    },
    "_engine.summation": {
        "SPREAD_FROM = 100_000": {"100000 → 100001": "Where it begins to pay is no matter of one item."},
        "total, error = _pairwise(ops, xp.reshape(x, (*x.shape[:-1], devices.count, -1)))": {"1 → 2": RESHAPE},
        "while x.shape[-1] > 1:": {
            "1 → 2": ("The last two terms are then added by the plain sum, whose one rounding is that of any result."),
        },
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
    "_engine.indices": {
        "empty = fill(ops, (*z.shape[:-1], places + 1), PADDING, items)": {"1 → 2": SPARE},
        "nothing = fill(ops, (*indices.shape[:-1], n + 1), 0.0, like)": {"1 → 2": SPARE},
        "indices = xp.astype(indices, iota(ops, 1, like).dtype)  # small integers may not hold n": {
            "1 → 2": "Only the dtype of these integers is used.",
        },
        "possible = listed & (indices >= 0) & (indices < n)": {
            "indices < n → indices <= n": "The index n goes to the place for those that are not possible.",
        },
    },
}
