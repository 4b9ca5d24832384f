"""Mutants of laws, of calls around them and of surveys that no test can notice; see `survivors_engines`."""

from survivors_engines import RESHAPE, WIDER, ZERO
from survivors_potentials import COPY, READABLE

DIAGONAL = "A square matrix with a diagonal alone is its own transpose."
ALIKE = "All sizes of a row are multiplied alike, and nothing near the bound overflows."
AS_THEY_ARE = "NumPy's arrays, and numbers beside them, are read as they are."
NO_SIZE = "Any size below 0 stands for none."
PROMOTED = "NumPy compares integers with floats; array-api-strict refuses, in the tests of values."

LIMIT = "The limit is a choice: floats between both are far from what a choice is left among."

SPARE = "A further place takes what belongs nowhere, and is cut off."

LAWS: dict[str, dict[str, dict[str, str]]] = {
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
    "_law.fixed_size": {
        "return xp.sum(z, axis=-1) != (self.k if isinstance(self.k, int) else xp.astype(self.k, z.dtype))": {
            "self.k if isinstance(self.k, int) else xp.astype(self.k, z.dtype) → self.k": PROMOTED,
        },
        "return xp.reshape(xp.take(table, xp.reshape(smaller, (-1,)), axis=0), tuple(smaller.shape))": {
            "1 → 2": RESHAPE,
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
    "_law.derivatives": {
        "return z - d.marginals(parameters), finite(d.xp, parameters) + 0 * z": {
            "finite(d.xp, parameters) + 0 * z → finite(d.xp, parameters) - 0 * z": ZERO,
        },
        "return given[:1]": {"1 → 2": "The uniforms of a sample would be kept, and not read."},
        "return xp.where(xp.abs(x) > 1000 / float(xp.finfo(x.dtype).eps), x - xp.round(x), x)": {
            "xp.abs(x) > 1000 / float(xp.finfo(x.dtype).eps) → xp.abs(x) >= 1000 / float(xp.finfo(x.dtype).eps)": LIMIT,
            "1000 → 1001": LIMIT,
        },
    },
    "survey._numbers": {
        'return xp.astype(x, xp.zeros(0, device=device(x)).dtype) if xp.isdtype(x.dtype, "integral") else x': {
            "0 → 1": "Only the dtype of these zeros is used.",
        },
    },
    "survey._estimate": {
        "own = xp.eye(joint.shape[-1], dtype=joint.dtype, device=device(joint))": {"1 → 2": DIAGONAL},
        "return xp.abs(xp.sum(joint * own, axis=-1) - pi) <= DIAGONAL * pi": {
            "1 → 2": DIAGONAL,
            "xp.abs(xp.sum(joint * own, axis=-1) - pi) <= DIAGONAL * pi → "
            "xp.abs(xp.sum(joint * own, axis=-1) - pi) < DIAGONAL * pi": "No rounded difference is at the limit.",
        },
    },
    "survey._inclusion": {
        "one, less = fill(ops, (), 1.0, sizes), fill(ops, (), 1 / limit, sizes)": {
            "1.0 → 2.0": ALIKE,
            "1 → 2": ALIKE,
        },
        "return sizes * ops.xp.where(largest > limit, less, one)": {"largest > limit → largest >= limit": ALIKE},
        "sizes, k = backend.readable(sizes), k if isinstance(k, int) else backend.readable(k)": {
            "k if isinstance(k, int) else backend.readable(k) → k": AS_THEY_ARE,
            "k if isinstance(k, int) else backend.readable(k) → backend.readable(k)": AS_THEY_ARE,
        },
        'flat, remedy = xp.reshape(some, (-1,)), "a unit of size 0 is never drawn, so take a smaller k"': {
            "1 → 2": RESHAPE,
        },
    },
    "_api.distribution": {
        'return x + 0 if is_array and "bool" not in str(x.dtype) else x'
        "  # truth values are refused, their sums would not be": {"x + 0 → x - 0": "A copy either way."},
    },
    "_call.cardinality": {
        "if not (self.is_readable(backend) and other.is_readable(backend)):": {
            "self.is_readable(backend) and other.is_readable(backend)"
            " → self.is_readable(backend) or other.is_readable(backend)": READABLE,
        },
        "return True": {"True → False": READABLE},
    },
    "_call.arguments": {
        "if not 16 <= xp.finfo(x.dtype).bits <= 64:": {"64 → 65": "No dtype has 65 bits."},
        "return tuple(size if isinstance(size, int) else index(size) for size in shape)  # ints may be traced": {
            "size if isinstance(size, int) else index(size) → index(size)": (
                "Mutants leave out the tests of compiled programs, whose ints these are."
            ),
        },
    },
    "_call.problem": {
        "logits = xp.astype(self.logits, compute, copy=False)": {"False → True": COPY},
        "return replace(self, logits=logits, dtype=dtype), xp.astype(other, compute, copy=False)": {
            "False → True": COPY,
        },
        "return dtype if dtype == other else xp.float32": {
            "dtype if dtype == other else xp.float32 → dtype": "NumPy has one dtype of each width; torch has two.",
        },
        "return dtype if bits > others else other": {"bits > others → bits >= others": "Equal widths have returned."},
    },
    "_call.prepare": {
        "flat = xp.reshape(k, (-1,))": {"1 → 2": RESHAPE},
        "theta = logits if logits.dtype == compute else xp.astype(logits, compute)": {
            "logits if logits.dtype == compute else xp.astype(logits, compute) → xp.astype(logits, compute)": COPY,
        },
        "logits = logits if dtype == compute else xp.astype(logits, compute)": {
            "logits if dtype == compute else xp.astype(logits, compute) → xp.astype(logits, compute)": COPY,
        },
    },
}
"""By module, by line, by change."""
