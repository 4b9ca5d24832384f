"""Mutants of the tilt and the engines that no test can notice, and why: by module, by line, by change."""

ANY = "any change"
"""Explains all changes of a line."""

STEPS_ENOUGH = "Every family tried settles in fewer steps, and a row that has settled stays as it is."
ZERO = "What is added is 0, and brings its shape."
MARKED = "Rounding alone depends on which items are marked."
NEARBY = "Any tilt near the root gives the same distribution, and this one is tested to be near enough."
EITHER = "Both brackets hold the root, also where all items are chosen and it is infinite; counts are whole numbers."
FIRST = "The first of two numbers is the first of one."
WEIGHTLESS = "The weight of such an item is 0."
TINY = "Any number far below those that occur."
BOUND = "A bound where values cannot be read, and a choice of the form: each is right."
COINCIDENCE = "The two sides are equal by coincidence alone."
LENGTHS = "All of these arrays have the same length."
SHAPE = "Only the shape and the dtype are used."
ORDER = "Factors may be combined in any order."
NOTHING = "An array of no entries is appended, or one array joined to none."
SIGN = "A power of -1 whose exponent is changed by 2."
RATIOS = "Draws compare counts, all of which are multiplied alike."
HALVES = "Where k = n/2 one side is as small as the other."
SPEED = "Only the speed depends on it: either way is tested to give the same, to rounding."
WIDER = "More is computed, or filled with zeros, than is read."
SAVED = "Without the distinction the same comes out, by a superfluous operation."
RESHAPE = "NumPy takes any negative length for the one that is left open."
BITS = "A dtype has 32 or 64 bits, a relative precision of 1e-7 or 2e-16."

BRACKET = "The bracket of the search is wider than it must be either way, as a test says."
SETTLED = "At equality the row has settled, and stays as it is."
LANDS = "A row that has not settled takes a step far above rounding; one that ends on an end of the bracket may do so."
DECIDED = "Infinite items decide such a row, whatever the tilt."
AXIS = "The last of two axes is axis 1."

ENGINES: dict[str, dict[str, dict[str, str]]] = {
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
    "_engine.items": {
        "def totals(ops: Ops, x: Items, k: int | Array, deviations: float = 0.0) -> Totals:": {
            "0.0 → 1.0": WIDER,
        },
        "v = xp.where(xp.isinf(logits), fill(ops, (), 0.0, v), v)": {
            "0.0 → 1.0": WEIGHTLESS,
        },
        "mean = item_sums(ops, fixed * v) / xp.clip(item_sums(ops, fixed), 1e-37, None)": {
            "1e-37 → 2e-37": TINY,
        },
    },
    "_engine.nodes": {
        "LEAST = 0.25": {
            "0.25 → 0.5": WIDER,
        },
        "variance = xp.where(variance > LEAST, variance, xp.full_like(variance, LEAST))": {
            "variance > LEAST → variance >= LEAST": SAVED,
        },
        "reach = xp.where(reach > 0, reach, xp.zeros_like(reach))": {
            "reach > 0 → reach >= 0": SAVED,
        },
        "size = _needed(xp, variance, period, error) if ops.eager_on_cpu else node_bound(error, *most)": {
            (
                "_needed(xp, variance, period, error) if ops.eager_on_cpu else node_bound(error, *most) "
                "→ _needed(xp, variance, period, error)"
            ): BOUND,
        },
        (
            "middle = xp.astype(xp.reshape(iota(ops, size, variance), (-1, *(1,) * variance.ndim)), "
            "variance.dtype) + 0.5"
        ): {
            "1 → 2": RESHAPE,
        },
        "used = (middle < period / 2) & (2 * half_sine * half_sine * variance <= error)": {
            "middle < period / 2 → middle <= period / 2": COINCIDENCE,
            "2 * half_sine * half_sine * variance <= error → 2 * half_sine * half_sine * variance < error": COINCIDENCE,
        },
        "return max(1, int(xp.max(xp.floor(period * widest / (2 * pi) + 0.5))))": {
            "1 → 2": WIDER,
        },
        "found: tuple[Array, ...] = scan(ops, step, total, given, given[0].shape[0])[0]": {
            "0 → 1": LENGTHS,
        },
    },
    "_engine.factors": {
        "LONGEST_LOOP = 64": {
            "64 → 65": SPEED,
        },
        "COLUMNS = 2048": {
            "2048 → 2049": SPEED,
        },
        "xp, unlikely, even = ops.xp, ops.xp.where(x.chosen, x.q, x.p), x.spread > EVEN": {
            "x.spread > EVEN → x.spread >= EVEN": SPEED,
        },
        "if ops.eager_on_cpu and xp.all(floor > FAR):": {
            "floor > FAR → floor >= FAR": SPEED,
        },
        "gathered = COLUMNS // max(1, numbers) if isinstance(numbers, int) else 1": {
            ANY: SPEED,
        },
        "columns = max(1, min(gathered, n), -(-n // LONGEST_LOOP))": {
            ANY: SPEED,
        },
        "zero = 0 * (fall + given[0][0, ...])": {
            ANY: SHAPE,
        },
        "deviation, found = scan(ops, step, (none, none + 1), given, given[0].shape[0])[0]": {
            "0 → 1": LENGTHS,
        },
        "_reduce_axis(xp, combine, _reduce_axis(xp, combine, y, 1), 1)": {
            "1 → 2": ORDER,
        },
        "return _reduce_axis(xp, combine, _reduce_axis(xp, combine, x, 0), 0)": {
            "0 → 1": ORDER,
        },
        "x = xp.concat([x, odd], axis=axis) if size > 2 * half else x": {
            ANY: NOTHING,
        },
        (
            "return ops.xp.permute_dims(ops.xp.reshape(x, (devices.count, -1, *x.shape[1:])), (1, 0, "
            "*range(2, x.ndim + 1)))"
        ): {
            "1 → 2": RESHAPE,
        },
        "steps = max(1, -(-x.shape[0] // columns))": {
            "1 → 2": WIDER,
        },
        "x = ops.xp.concat([x, fill(ops, (more, *x.shape[1:]), filling, x)], axis=0) if more else x": {
            (
                "ops.xp.concat([x, fill(ops, (more, *x.shape[1:]), filling, x)], axis=0) if more else x "
                "→ ops.xp.concat([x, fill(ops, (more, *x.shape[1:]), filling, x)], axis=0)"
            ): NOTHING,
        },
    },
    "_engine.power_sums": {
        "while log(4 * variance / m) + m * log(m / (2 * exp(1) * variance)) > log(ROUNDINGS * eps):": {
            (
                "log(4 * variance / m) + m * log(m / (2 * exp(1) * variance)) > log(ROUNDINGS * eps) → "
                "log(4 * variance / m) + m * log(m / (2 * exp(1) * variance)) >= log(ROUNDINGS * eps)"
            ): COINCIDENCE,
        },
    },
    "_engine.contour": {
        (
            "most = k * (1 - k / n) + 1 if isinstance(k, int) and n else n / 4  # Σp misses k by a "
            "quarter of a deviation"
        ): {
            ANY: BOUND,
        },
    },
    "_engine.exchange": {
        "out = [self.ops.xp.ones_like(sums[0])]": {
            "0 → 1": SHAPE,
        },
        "return [self.ops.xp.zeros_like(a[0]), *(_newton(a, sums, s) for s in range(1, len(sums) + 1))]": {
            "0 → 1": SHAPE,
        },
        "return sum((-1) ** (j - 1) * a[s - j] * sums[j - 1] for j in range(1, s + 1))": {
            "j - 1 → j + 1": SIGN,
        },
        "return [sum(b[s] * a[s - 1 - j] for s in range(j + 1, size)) for j in range(size - 1)]": {
            "size - 1 → size + 1": WIDER,
        },
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
    },
}
