"""Mutants of the contour and of exchange that no test can notice, and why: by module, by line, by change."""

from reasons import ANY, COINCIDENCE, NOTHING, RESHAPE, SAVED, SHAPE, SPEED, TINY, WIDER

WEIGHTLESS = "The weight of such an item is 0."
BOUND = "A bound where values cannot be read, and a choice of the form: each is right."
LENGTHS = "All of these arrays have the same length."
ORDER = "Factors may be combined in any order."
SIGN = "A power of -1 whose exponent is changed by 2."

CONTOUR: dict[str, dict[str, dict[str, str]]] = {
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
}
