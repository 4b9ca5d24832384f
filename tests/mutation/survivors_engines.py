"""Mutants of the tilt and the engines that no test can notice, and why: by module, by line, by change."""

SPEED = "Only the speed depends on it: either way is tested to give the same, to rounding."
WIDER = "More is computed, or filled with zeros, than is read."
SAVED = "Without the distinction the same comes out, by a superfluous operation."
RESHAPE = "NumPy takes any negative length for −1."
BITS = "A dtype has 32 or 64 bits, a relative precision of 1e-7 or 2e-16."

BRACKET = "The bracket of the search is wider than it must be either way, as a test says."
SETTLED = "At equality the row has settled, and stays as it is."
LANDS = "A row that has not settled takes a step far above rounding; one that ends on an end of the bracket may do so."
DECIDED = "Infinite items decide such a row, whatever the tilt."
AXIS = "The last of two axes is axis 1."

ENGINES: dict[str, dict[str, dict[str, str]]] = {
    "_engine.tilt": {
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
        "return ops.devices.pick(pad(ops, x, 1, 1), index[:, :, None, :])[:, :, 0, :]": {"1 → 2": WIDER},
        "LONGEST_SUM = 64": {"64 → 65": SPEED},
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
}
