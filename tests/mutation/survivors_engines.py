"""Mutants of the tilt and the engines that no test can notice, and why: by module, by line, by change."""

SPEED = "Only the speed depends on it: either way is tested to give the same, to rounding."
WIDER = "More is computed, or filled with zeros, than is read."
SAVED = "Without the distinction the same comes out, by a superfluous operation."
SIGN = "The step is 1 or −1."
RESHAPE = "NumPy takes any negative length for −1."
BITS = "A dtype has 32 or 64 bits, a relative precision of 1e-7 or 2e-16."

BRACKET = "The bracket of the search is wider than it must be either way, as a test says."
SETTLED = "At equality the row has settled, and stays as it is."
LANDS = "A row that has not settled takes a step far above rounding; one that ends on an end of the bracket may do so."
NEARBY = "Any tilt near the root gives the same distribution, and this one is tested to be near enough."
DECIDED = "Infinite items decide such a row, whatever the tilt."
PAST = "A window may reach past the items of its node, where it holds zeros."
AXIS = "The last of two axes is axis 1."

ENGINES: dict[str, dict[str, dict[str, str]]] = {
    "_tilt": {
        "STEPS = 12": {"12 → 13": "Every family tried settles in fewer, and a row that has settled stays as it is."},
        "NEAR = 0.25": {"0.25 → 0.5": BRACKET},
        "FORCED = 200.0": {"200.0 → 400.0": DECIDED},
        "above = xp.astype(odds > 1, odds.dtype)": {"1 → 2": "Rounding alone depends on which items are marked."},
        "state: State = (zero, zero - xp.log(2 * (n - count) + 2), zero + xp.log(2 * count + 2), ~valid)": {
            "xp.log → xp.log1p": BRACKET,
            "n - count → n + count": BRACKET,
            "2 → 3": BRACKET,
        },
        "settled = settled | (excess * excess <= xp.clip(spread / 16, 1e-6, None))": {
            "excess * excess <= xp.clip(spread / 16, 1e-06, None)"
            " → excess * excess < xp.clip(spread / 16, 1e-06, None)": NEARBY,
            "16 → 17": NEARBY,
            "1e-06 → 2e-06": NEARBY,
        },
        "low = xp.where(excess < 0, shift, low)": {"excess < 0 → excess <= 0": SETTLED},
        "high = xp.where(excess < 0, high, shift)": {"excess < 0 → excess <= 0": SETTLED},
        "new = xp.where((new > low) & (new < high), new, (low + high) / 2)": {
            "new > low → new >= low": LANDS,
            "new < high → new <= high": LANDS,
        },
        "xp, tiny = ops.xp, 1e-30": {"1e-30 → 2e-30": "Any number far below those that occur keeps the step finite."},
        "return *ops.ranked(logits, count), ~xp.any(xp.isnan(logits), axis=-1)": {"-1 → 1": AXIS},
        "flat, start = xp.reshape(ordered, (-1,)), iota(ops, rows, ordered) * n": {"1 → 2": RESHAPE},
    },
    "_polynomial": {
        "if left.shape[0] < ops.matmul_from:": {
            "left.shape[0] < ops.matmul_from → left.shape[0] <= ops.matmul_from": SPEED,
            "0 → 1": SPEED,
        },
        "if inner.shape[0] < ops.matmul_from:": {
            "inner.shape[0] < ops.matmul_from → inner.shape[0] <= ops.matmul_from": SPEED,
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
        "padded = pad(ops, outer, 0, 2 * size - 1 - outer.shape[0])[:, None, ...]": {
            "2 * size - 1 - outer.shape[0] → 2 * size - 1 + outer.shape[0]": WIDER,
            "2 * size - 1 → 2 * size + 1": WIDER,
            "2 → 3": WIDER,
        },
        "window = pad(ops, right, s - 1, size - right.shape[0] + 1)": {
            "size - right.shape[0] → size + right.shape[0]": WIDER,
            "1 → 2": WIDER,
        },
        "reach = min(size + (blocks - 1) * s, outer.shape[0])": {
            "min → max": WIDER,
            "blocks - 1 → blocks + 1": WIDER,
        },
        "window = pad(ops, outer, 0, reach + s - 1 - outer.shape[0])": {
            "reach + s - 1 - outer.shape[0] → reach + s - 1 + outer.shape[0]": WIDER,
            "reach + s - 1 → reach + s + 1": WIDER,
        },
        "terms = xp.reshape(terms, (-1, 2, blocks, reach))": {"1 → 2": RESHAPE},
        "out = term + out if term.shape[2] == done else "
        "xp.concat([term[..., :done] + out, term[..., done:]], axis=2)": {
            "term + out if term.shape[2] == done else xp.concat([term[..., :done] + out, term[..., done:]], axis=2)"
            " → xp.concat([term[..., :done] + out, term[..., done:]], axis=2)": SAVED,
        },
        "s = -(-4 * isqrt(coefficients) // 3)": {
            "-4 * isqrt(coefficients) // 3 → -4 * isqrt(coefficients) * 3": SPEED,
            "4 → 5": SPEED,
            "3 → 4": SPEED,
        },
        "return ops.xp.reshape(_last(ops, pad(ops, x, 0, blocks * s - x.shape[0])), (-1, blocks, s))": {
            "1 → 2": RESHAPE
        },
        "copies = rows + 1 if step > 0 else rows": {
            "rows + 1 if step > 0 else rows → rows + 1": WIDER,
            "step > 0 → step >= 0": SIGN,
            "1 → 2": WIDER,
        },
    },
    "_tree": {
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
        "total = ops.xp.broadcast_to(total, (2, 1, level.shape[2]))": {"1 → 2": WIDER},
    },
    "_sequential": {
        "padded = pad(ops, f, a - 1, 0)": {"0 → 1": WIDER},
        "padded = pad(ops, s, 0, a - 1)": {"a - 1 → a + 1": WIDER},
        "size, padded = f.shape[0], pad(ops, s, 0, a - 1)": {"a - 1 → a + 1": WIDER},
    },
    "_spread": {
        "tangents = leaves(ops, push, -push, empty=0.0)": {
            "0.0 → 1.0": "A part has more than one item: none is spare."
        },
        "ops, gather, size = self.ops, self.devices.gather, self.rows.size // self.devices.count": {
            "self.rows.size // self.devices.count → self.rows.size * self.devices.count": PAST,
        },
        "return levels, ops.xp.zeros((1, p.shape[1]), dtype=ops.xp.int32) + counts.offset(len(levels) - 1)": {
            "1 → 2": "Of two copies the first is read.",
        },
        "return self.ops.xp.reshape(x, (self.devices.count, -1, x.shape[1]))": {"1 → 2": RESHAPE},
        "return self.ops.xp.reshape(self.ops.xp.permute_dims(x, (1, 0, 2, 3)), (2, -1, x.shape[3]))": {
            "1 → 2": RESHAPE,
        },
    },
    "_window": {
        "return ops.devices.pick(pad(ops, x, 1, 1), index[:, :, None, :])[:, :, 0, :]": {"1 → 2": WIDER},
        "self.place(0, p, ops.xp.astype(ops.xp.zeros_like(p), iota(ops, 1, p).dtype), 1)": {"1 → 2": PAST},
        "LONGEST_SUM = 64": {"64 → 65": SPEED},
        "if not ops.eager_on_cpu or xp.finfo(p.dtype).bits > 32:": {"32 → 33": BITS},
        "single = ops.xp.finfo(p.dtype).eps > 1e-10": {
            "ops.xp.finfo(p.dtype).eps > 1e-10 → ops.xp.finfo(p.dtype).eps >= 1e-10": BITS,
            "1e-10 → 2e-10": BITS,
        },
        "self.floor = 4 * float(ops.xp.finfo(p.dtype).eps)": {
            "4 → 5": "Noise is below either; what else is lost is far below the stated error."
        },
        "xp, whole = self.ops.xp, iota(self.ops, 1, p).dtype": {"1 → 2": "The dtype alone is read."},
        "while mean.shape[0] > 2:": {"mean.shape[0] > 2 → mean.shape[0] >= 2": WIDER},
        "full = 2 * left.shape[0] - 1": {"2 * left.shape[0] - 1 → 2 * left.shape[0] + 1": WIDER, "2 → 3": WIDER},
        "if left.shape[0] <= LONGEST_SUM:": {"left.shape[0] <= LONGEST_SUM → left.shape[0] < LONGEST_SUM": SPEED},
        "if size <= LONGEST_SUM:": {"size <= LONGEST_SUM → size < LONGEST_SUM": SPEED},
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
}
