"""Mutants of calls that no test can notice, and why: by module, by line, by change."""

from reasons import AXIS, COINCIDENCE, PROMOTED, RESHAPE, SPEED

LOOKS = "Only how much of the values is looked through."
READABLE = "NumPy's arrays can all be read."
SPREAD = "Of tensors spread over processes, whose tests run in several."
COPY = "A superfluous copy."

CALL: dict[str, dict[str, dict[str, str]]] = {
    "_call.value_checks": {
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
    "_call.size_checks": {
        "return xp.astype(k, xp.int64 if k.dtype == xp.uint64 else xp.int32)": {
            "xp.int64 if k.dtype == xp.uint64 else xp.int32 → xp.int64": "64 bits hold what 32 do.",
        },
    },
    "_call.argument_checks": {
        "if not 16 <= xp.finfo(x.dtype).bits <= 64:": {"64 → 65": "No dtype has 65 bits."},
        "return tuple(size if isinstance(size, int) else index(size) for size in shape)  # ints may be traced": {
            "size if isinstance(size, int) else index(size) → index(size)": (
                "Mutants leave out the tests of compiled programs, whose ints these are."
            ),
        },
    },
    "_call.cardinality": {
        "return not backend.is_array(self.log_weights) or backend.is_readable(self.log_weights)": {
            "not backend.is_array(self.log_weights) → backend.is_array(self.log_weights)": READABLE,
        },
        "return xp.broadcast_to(xp.astype(x, logits.dtype, copy=False), (*logits.shape[:-1], n + 1)), low, high": {
            "False → True": COPY,
        },
        "used = xp.any(xp.reshape(values, (-1, n + 1)) > -xp.inf, axis=0)": {"1 → 2": RESHAPE},
        "low = shards.local(self.low, self.names[0], items=False)": {"0 → 1": SPREAD, "False → True": SPREAD},
        "return Between(low, shards.local(self.high, self.names[1], items=False), self.names)": {
            "1 → 2": SPREAD,
            "False → True": SPREAD,
        },
        "return all(not backend.is_array(x) or backend.is_readable(x) for x in (self.low, self.high))": {
            "all → any": READABLE,
        },
        "if not (self.is_readable(backend) and other.is_readable(backend)):": {
            "self.is_readable(backend) and other.is_readable(backend)"
            " → self.is_readable(backend) or other.is_readable(backend)": READABLE,
        },
        "return True": {"True → False": READABLE},
    },
    "_call.cardinality_problem": {
        "sizes = xp.reshape(xp.arange(counts, dtype=z.dtype, device=device(z)), (*(1,) * (z.ndim - 1), counts))": {
            "1 → 2": "One axis too few, which NumPy and torch add and the tests of JAX without promotion refuse.",
        },
        "log_weights = self.xp.astype(self.log_weights, problem.logits.dtype, copy=False)": {"False → True": COPY},
    },
    "_call.masks": {
        "items, low = int(xp.reshape(real, (-1,))[row]),"
        " float(xp.min(xp.where(rows == -xp.inf, xp.inf, rows)[found, :]))": {"1 → 2": RESHAPE},
        "flat = xp.reshape(real < (least if isinstance(least, int) else xp.astype(least, xp.float32)), (-1,))": {
            "least if isinstance(least, int) else xp.astype(least, xp.float32) → least": PROMOTED,
            "1 → 2": RESHAPE,
        },
        "rows = xp.reshape(logits, (-1, logits.shape[-1]))[flat]": {"1 → 2": RESHAPE},
        "frame = sys._getframe(1)": {"1 → 2": "The frames that are left out are the library's own."},
        "ceiling, bottom = xp.max(half, axis=-1), xp.min(half, axis=-1)": {"-1 → 1": AXIS},
        "mask = xp.max(xp.where(low, half, -inf), axis=-1)": {"-1 → 1": AXIS},
        "floor = xp.min(xp.where(low, inf, half), axis=-1)": {"-1 → 1": AXIS},
        "above = xp.max(xp.where(low | (rows == inf), -inf, half), axis=-1)": {"-1 → 1": AXIS},
        "return xp.where(xp.all(low, axis=-1), ceiling == bottom, apart)": {"-1 → 1": AXIS},
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
        "return prepare(logits, k, max_k, validate).value(function) if value is None else value": {
            (
                "prepare(logits, k, max_k, validate).value(function) if value is None else value"
                " → prepare(logits, k, max_k, validate).value(function)"
            ): SPEED,
        },
        "return backend.at_once(function, logits, k, second) if backend else None": {
            "backend.at_once(function, logits, k, second) if backend else None → None": SPEED,
        },
        "return backend.draw_at_once(function, logits, k, rng) if backend else None": {
            "backend.draw_at_once(function, logits, k, rng) if backend else None → None": SPEED,
        },
        "return backends.known(logits) if max_k is None and validate is None and type(k) is int else None": {
            "backends.known(logits) if max_k is None and validate is None and (type(k) is int) else None → None": SPEED,
            "validate is None → validate is not None": SPEED,
        },
        "flat = xp.reshape(k, (-1,))": {"1 → 2": RESHAPE},
        "theta = logits if logits.dtype == compute else xp.astype(logits, compute)": {
            "logits if logits.dtype == compute else xp.astype(logits, compute) → xp.astype(logits, compute)": COPY,
        },
        "logits = logits if dtype == compute else xp.astype(logits, compute)": {
            "logits if dtype == compute else xp.astype(logits, compute) → xp.astype(logits, compute)": COPY,
        },
    },
}
