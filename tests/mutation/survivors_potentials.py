"""Mutants of cardinality potentials that no test can notice; see `survivors_engines`."""

from survivors_functions import DTYPE_ONLY, EQUAL_LENGTHS, SIGNS

NO_SIGN = "NaN has no sign."
MARGIN = "Between what is within reach and what rounding notices are many decades."
PASSES = "Stricter than need be: at worst a further tilt, which gives the same to rounding."
NOTHING_YET = "What was there before the first part has no share in the result."
CENTRE = "A constant taken off does not change a covariance; this one keeps the numbers small."

POTENTIALS: dict[str, dict[str, dict[str, str]]] = {
    "_parts": {
        "HEAVIEST = {32: log(1e6), 64: log(1e90)}": {
            "1000000.0 → 2000000.0": MARGIN,
            "1e+90 → 2e+90": MARGIN,
        },
        "mean = xp.round(xp.where(xp.isnan(mean), xp.astype(state[0], mean.dtype), mean))": {
            "0 → 1": "No count at all is in reach of the first tilt then: any other may be next.",
        },
        "return ops.repeat(refine, (target, flat), 1)[0]": {
            "1 → 2": "Rows have settled after one; where that is not looked at, a second finds much the same mean.",
        },
        "peak = xp.max(xp.where(waiting & reach, slanted + xp.log(at.probabilities), nowhere), axis=0)": {
            "waiting & reach → waiting | reach": "Counts that wait no more are in the log-total so far.",
        },
        "rest = xp.max(xp.where(waiting & ~reach, slanted, nowhere), axis=0)": {
            "waiting & ~reach → waiting | ~reach": PASSES,
        },
        "enough = rest - xp.maximum(peak, so_far - volume - base) <= heaviest": {
            "rest - xp.maximum(peak, so_far - volume - base) <= heaviest"
            " → rest - xp.maximum(peak, so_far - volume - base) < heaviest": MARGIN,
            "xp.maximum → xp.minimum": PASSES,
        },
        "done = waiting & (reach | enough) & (peak > -xp.inf)": {
            "peak > -xp.inf → peak >= -xp.inf": "Without a count in reach none is worth leaving out, so none is done.",
        },
        "middle = column_sums(ops, at.p * at.q * v) / xp.clip(column_sums(ops, at.p * at.q), 1e-37, None)": {
            "column_sums(ops, at.p * at.q * v) / xp.clip(column_sums(ops, at.p * at.q), 1e-37, None)"
            " → column_sums(ops, at.p * at.q * v) * xp.clip(column_sums(ops, at.p * at.q), 1e-37, None)": CENTRE,
            "at.p * at.q → at.p / at.q": CENTRE,
            "1e-37 → 2e-37": CENTRE,
        },
        "tangents = _tree.inside_tangents(ops, full, levels, _tree.leaves(ops, push, -push, empty=0.0))": {
            "0.0 → 1.0": "A spare item that grows adds to all outcomes alike, and drops out of the quotient.",
        },
        "u = u - column_sums(ops, part.counts * u)": {
            "u - column_sums(ops, part.counts * u) → u + column_sums(ops, part.counts * u)": CENTRE,
        },
    },
    "_mixture": {
        "t = (given.rows.logits + shift) * given.rows.sign + bad": {
            "(given.rows.logits + shift) * given.rows.sign + bad"
            " → (given.rows.logits + shift) * given.rows.sign - bad": NO_SIGN,
            "(given.rows.logits + shift) * given.rows.sign → (given.rows.logits + shift) / given.rows.sign": SIGNS,
        },
        "chosen, unchosen = (items_last(ops, x + bad, batch) for x in (sides[::-1] if given.flipped else sides))": {
            "x + bad → x - bad": NO_SIGN,
        },
        "chances = items_last(ops, given.every_count(ops, chances + bad), batch)": {
            "chances + bad → chances - bad": NO_SIGN,
        },
        "t, shift = items_last(ops, t, batch), xp.reshape(shift * given.rows.sign, batch)": {
            "shift * given.rows.sign → shift / given.rows.sign": SIGNS,
        },
        "return Mixture(t, slope(ops, t, shift), xp.reshape(log_volume + bad, batch), chosen, unchosen, chances)": {
            "log_volume + bad → log_volume - bad": NO_SIGN,
        },
        "v = items_first(ops, xp.where(xp.isinf(logits), xp.zeros_like(v), v)) * given.rows.sign": {
            "items_first(ops, xp.where(xp.isinf(logits), xp.zeros_like(v), v)) * given.rows.sign"
            " → items_first(ops, xp.where(xp.isinf(logits), xp.zeros_like(v), v)) / given.rows.sign": SIGNS,
        },
        "old = zip(means, state[3:6], (1, -1, 1), state[7:], changes, strict=True)": {"True → False": EQUAL_LENGTHS},
        "_blend(ops, share, y, dy) + _within(ops, share, share * (1 - share) * gap * sign * (x - was))": {
            "share * (1 - share) * gap * sign → share * (1 - share) * gap / sign": SIGNS,
        },
        "image = xp.where(chosen > unchosen, fall, rise) * given.rows.sign + bad": {
            "xp.where(chosen > unchosen, fall, rise) * given.rows.sign + bad"
            " → xp.where(chosen > unchosen, fall, rise) * given.rows.sign - bad": NO_SIGN,
            "xp.where(chosen > unchosen, fall, rise) * given.rows.sign"
            " → xp.where(chosen > unchosen, fall, rise) / given.rows.sign": SIGNS,
            "chosen > unchosen → chosen >= unchosen": "Where both are as likely, they are as accurate.",
        },
        "return items_last(ops, image, batch), items_last(ops, given.every_count(ops, moved + bad), batch)": {
            "moved + bad → moved - bad": NO_SIGN,
        },
        "none = fill(ops, tuple(target.shape), 0.0, given.log_weights)": {"0.0 → 1.0": NOTHING_YET},
        "share, larger = _share(ops, total, part), part.log_total > total": {
            "part.log_total > total → part.log_total >= total": "Of two parts as large, either may give the tilt.",
        },
        "merged = (_blend(ops, share, x, y) for x, y in zip(old, means, strict=True))": {
            "True → False": EQUAL_LENGTHS,
        },
        "gap = xp.where(part.log_total == -xp.inf, part.log_total, part.log_total - total)": {
            "-xp.inf → xp.inf": "A share of NaN, where there is nothing on either side, takes no part either.",
        },
        "xp, whole = ops.xp, iota(ops, 1, t).dtype": {"1 → 2": DTYPE_ONLY},
    },
}
"""By module, by line, by change."""
