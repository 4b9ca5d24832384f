"""Mutants of public functions that no test can notice, and why: by module, by line, by change."""

from reasons import COINCIDENCE, PROMOTED, RESHAPE, SAVED, SPEED

ELSEWHERE = "Of Dask arrays and DTensors, which have tests of their own."

API: dict[str, dict[str, dict[str, str]]] = {
    "_api.inverse_map": {
        "fits: Array = xp.abs(sum_excess(xp, problem.logits, problem.k)) <= slack": {
            "xp.abs(sum_excess(xp, problem.logits, problem.k)) <= slack"
            " → xp.abs(sum_excess(xp, problem.logits, problem.k)) < slack": COINCIDENCE,
        },
        "flat = xp.reshape(excess, (-1,))": {"1 → 2": RESHAPE},
        "flat = [xp.reshape(x, (-1,)) for x in (ones, some)]": {"1 → 2": RESHAPE},
        "flat = xp.reshape(xp.where(low < 0, low, high), (-1,))": {"1 → 2": RESHAPE},
        "return xp.sum(mu, axis=-1) - (k if isinstance(k, int) else xp.astype(k, mu.dtype))": {
            "k if isinstance(k, int) else xp.astype(k, mu.dtype) → k": PROMOTED,
        },
        "return 32 * max(n * float(xp.finfo(dtype).eps), sqrt(n) * 2.0**-23)": {
            "32 → 33": "A sum is tested to be off by fewer roundings, and by far more.",
        },
    },
    "_api.quantile": {
        (
            'return value if xp.isdtype(value.dtype, "integral") else xp.astype(value, xp.int64)'
            "  # Dask goes by the logits"
        ): {
            "value if xp.isdtype(value.dtype, 'integral') else xp.astype(value, xp.int64) → value": ELSEWHERE,
            (
                "value if xp.isdtype(value.dtype, 'integral') else xp.astype(value, xp.int64)"
                " → xp.astype(value, xp.int64)"
            ): SAVED,
        },
        "pair = [xp.asarray(x, **where) if isinstance(x, list) else xp.astype(x, found.dtype) for x in levels]": {
            (
                "xp.asarray(x, **where) if isinstance(x, list) else xp.astype(x, found.dtype) → xp.asarray(x, **where)"
            ): "Of an array asarray makes the same.",
        },
        "inside = (q >= 0) & (q <= 1)": {
            "1 → 2": "The logarithm of a level above 1 is positive, like the one in its place; NumPy would only warn.",
        },
        "low, high = (_log(xp, xp.where(inside, x, xp.full_like(x, 2.0)))[..., None] for x in (q, 1 - q))": {
            "2.0 → 4.0": "Any number above 1.",
        },
        "flat = xp.reshape(q, (-1,))": {"1 → 2": RESHAPE},
    },
    "_api.poisson_binomial": {
        "return (int(logits.shape[-1]) + 1,)": {
            "int(logits.shape[-1]) + 1 → int(logits.shape[-1]) - 1": ELSEWHERE,
            "1 → 2": ELSEWHERE,
        },
    },
    "_api.show_config": {
        "counts = _path(count_rows(logits, validate=False), dispatch.COUNTS)": {
            "False → True": "The values have been checked by then.",
        },
    },
    "_api.covariance": {
        "BLOCK = 1 << 19": {"1 << 19 → 1 >> 19": SPEED, "1 → 2": SPEED, "19 → 20": SPEED},
        "if not problem.backend.is_readable(logits) or numbers * n <= BLOCK:": {
            "numbers * n <= BLOCK → numbers * n < BLOCK": SAVED,
        },
        "step = max(1, BLOCK // numbers)": {"1 → 2": SPEED},
    },
    "_api.sampling": {
        "z = draw_at_once(function, logits, k, max_k, validate, rng) if single else None": {
            "draw_at_once(function, logits, k, max_k, validate, rng) if single else None → None": SPEED,
        },
        "return draw(prepare(logits, k, max_k, validate), rng, sample_shape, function) if z is None else z": {
            (
                "draw(prepare(logits, k, max_k, validate), rng, sample_shape, function) if z is None else z"
                " → draw(prepare(logits, k, max_k, validate), rng, sample_shape, function)"
            ): SPEED,
        },
    },
    "_api.information": {
        "return score(prepare(logits, k, max_k, validate), z, None) if value is None else value": {
            (
                "score(prepare(logits, k, max_k, validate), z, None) if value is None else value"
                " → score(prepare(logits, k, max_k, validate), z, None)"
            ): SPEED,
        },
        ("return divergence(prepare(logits, k, max_k, validate), other, None) if value is None else value"): {
            (
                "divergence(prepare(logits, k, max_k, validate), other, None) if value is None else value"
                " → divergence(prepare(logits, k, max_k, validate), other, None)"
            ): SPEED,
        },
    },
    "_api.distribution": {
        ("return information.score(self._call, z, self._known(functions.log_prob)) if value is None else value"): {
            (
                "information.score(self._call, z, self._known(functions.log_prob)) if value is None else value"
                " → information.score(self._call, z, self._known(functions.log_prob))"
            ): SPEED,
        },
        'return x + 0 if is_array and "bool" not in str(x.dtype) else x'
        "  # truth values are refused, their sums would not be": {"x + 0 → x - 0": "A copy either way."},
    },
}
