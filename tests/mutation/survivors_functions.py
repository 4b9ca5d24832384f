"""Mutants of inference, functions, derivatives and checks that no test can notice; see `survivors_engines`."""

from survivors_engines import COINCIDENCE, NOTHING, RESHAPE

LOOKS = "Only how much of the values is looked through."
DTYPE_ONLY = "Only the dtype of these integers is used."

REST: dict[str, dict[str, dict[str, str]]] = {
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
    },
    "_engine.sampling": {
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
    },
    "_call.values": {
        "finite = -inf < least and most < inf": {
            "-inf → inf": LOOKS,
            "-inf < least → -inf <= least": LOOKS,
        },
        "if finite and least > LOW and isinstance(k, int):": {"least > LOW → least >= LOW": COINCIDENCE},
        "flat = xp.reshape(bad, (-1,))": {"1 → 2": RESHAPE},
        "flat = xp.reshape(k, (-1,))": {"1 → 2": RESHAPE},
        "flat = xp.reshape(count, (-1,))": {"1 → 2": RESHAPE},
        "bad, flat = (low < 0) | (high > n) | (low > high), [xp.reshape(x, (-1,)) for x in (low, high)]": {
            "1 → 2": RESHAPE,
        },
        "logits = backend.readable(logits[..., :0] if finite and least > LOW else logits)": {
            "logits[..., :0] if finite and least > LOW else logits → logits": LOOKS,
            "least > LOW → least >= LOW": COINCIDENCE,
            "0 → 1": LOOKS,
        },
        "flat = [xp.reshape(xp.broadcast_to(x, possible.shape[:-1]), (-1,)) for x in (always, never)]": {
            "1 → 2": RESHAPE,
        },
        "values, wrong = (xp.reshape(a, (-1, x.shape[-1]))[row, ...] for a in (x, bad))": {"1 → 2": RESHAPE},
    },
    "_call.arguments": {
        "return xp.astype(k, xp.int64 if k.dtype == xp.uint64 else xp.int32)": {
            "xp.int64 if k.dtype == xp.uint64 else xp.int32 → xp.int64": "64 bits hold what 32 do.",
        },
    },
    "_engine.summation": {
        "SPREAD_FROM = 100_000": {"100000 → 100001": "Where it begins to pay is no matter of one item."},
        "total, error = _pairwise(ops, xp.reshape(x, (*x.shape[:-1], devices.count, -1)))": {"1 → 2": RESHAPE},
        "while x.shape[-1] > 1:": {
            "1 → 2": ("The last two terms are then added by the plain sum, whose one rounding is that of any result."),
        },
    },
}
