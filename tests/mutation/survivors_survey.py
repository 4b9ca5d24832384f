"""Mutants of surveys that no test can notice, and why: by module, by line, by change."""

from reasons import RESHAPE

DIAGONAL = "A square matrix with a diagonal alone is its own transpose."
ALIKE = "All sizes of a row are multiplied alike, and nothing near the bound overflows."
AS_THEY_ARE = "NumPy's arrays, and numbers beside them, are read as they are."

SURVEY: dict[str, dict[str, dict[str, str]]] = {
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
}
