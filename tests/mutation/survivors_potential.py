"""Mutants of the engines of potentials that no test can notice, and why: by module, by line, by change."""

from reasons import BEFORE_THE_FIRST, COINCIDENCE, DTYPE_ONLY, RESHAPE, SAVED, SPEED, TINY, WIDER, ZERO

NO_SIGN = "NaN has no sign, and an infinity minds no 0."
TIE = "At t = 0 both sides are as likely."
EITHER_WAY = "Both ways are tested to agree; which one runs is a matter of speed."
LOOSER = "The bound is then missed by 4 % at most, which its distance from the least normal float covers."
FIRST_TILT = "Any likely size will do for the first tilt; a test says how likely."
NEAR_ENOUGH = "Within two deviations no size is that rare, and a rare one could only cost a few bits or wait."
UNDERFLOW = "The error by underflow is far below rounding for half of this bound too."

POTENTIAL: dict[str, dict[str, dict[str, str]]] = {
    "_engine.potential.each_size": {
        "top, above = iota(ops, n, t) >= n - self.k[..., None], t > 0": {"t > 0 → t >= 0": "A t of 0 adds nothing."},
        "found, tilts = one_size.solve(ops, given.logits, given.k, sides=False)": {
            "False → True": WIDER,
        },
        "best = xp.argmax(xp.where(self.possible, terms, -xp.inf + xp.zeros_like(terms)), axis=-1, keepdims=True)": {
            "-xp.inf + xp.zeros_like(terms) → -xp.inf - xp.zeros_like(terms)": NO_SIGN,
        },
        "terms = xp.where(self.possible, terms + self.partitions(ops, found, t), -xp.inf + xp.zeros_like(terms))": {
            "-xp.inf + xp.zeros_like(terms) → -xp.inf - xp.zeros_like(terms)": NO_SIGN,
        },
        "xp, n, whole = ops.xp, logits.shape[-1], iota(ops, 1, logits).dtype": {"1 → 2": DTYPE_ONLY},
        "possible = (count >= always) & (count <= most) & (weights > -xp.inf)": {
            "weights > -xp.inf → weights >= -xp.inf": "A weight of 0 adds nothing.",
        },
        "mean = xp.sum(v * found.chosen, axis=-1) + xp.where(given.possible, u[..., low : high + 1], 0 * chances)": {
            "0 → 1": "What has no share may have any mean.",
        },
        "apart = xp.where(found.chosen > found.unchosen, -unchosen, chosen)": {
            "found.chosen > found.unchosen → found.chosen >= found.unchosen": TIE,
        },
    },
    "_engine.potential.sizes": {
        "most = self.x.likeliest(ops) - gap * gap / (2 * self.totals.variance + gap * (2 / 3) + 1e-30)": {
            "2 → 3": SPEED,
            "3 → 4": LOOSER,
            "1e-30 → 2e-30": TINY,
            "2 * self.totals.variance + gap * (2 / 3) + 1e-30 → 2 * self.totals.variance + gap * (2 / 3) - 1e-30": TINY,
        },
        "gap, limit = xp.abs(self.ahead - self.totals.gap), BELOW_ALL[xp.finfo(log_total.dtype).bits]": {
            "self.ahead - self.totals.gap → self.ahead + self.totals.gap": (
                "The tilt leaves a gap of a quarter of a deviation, which the distance of the limit from the least "
                "normal float covers."
            ),
        },
        "return (self.slanted() + self.base() - log_total) / unit + most < -limit": {
            (
                "(self.slanted() + self.base() - log_total) / unit + most < -limit"
                " → (self.slanted() + self.base() - log_total) / unit + most <= -limit"
            ): COINCIDENCE,
        },
        "return Tilted(given, target, found, x, sums, gap <= REACH * xp.sqrt(sums.variance))": {
            "gap <= REACH * xp.sqrt(sums.variance) → gap < REACH * xp.sqrt(sums.variance)": NEAR_ENOUGH,
        },
        "BELOW_ALL = {32: 110.0, 64: 760.0}": {"110.0 → 220.0": "More sizes than have a share wait for a tilt."},
        "return ldexp(1.0, -(self.logits.shape[0].bit_length() + 2))": {
            "1.0 → 2.0": "Sums of rows stay below the largest float with this unit too; a power of 2 changes no digit.",
            "2 → 3": "Sums of rows stay below the largest float with this unit too; a power of 2 changes no digit.",
        },
        (
            "return self.ops.xp.reshape(self.ops.xp.astype(places, self.logits.dtype), "
            "(-1, *(1,) * (self.logits.ndim - 1)))"
        ): {"1 → 2": RESHAPE},
        "marks = xp.astype(waiting, iota(self.ops, 1, waiting).dtype)": {"1 → 2": DTYPE_ONLY},
        (
            "score = given.log_weights - gap * gap / "
            "(2 * xp.where(variance > 0.25, variance, xp.full_like(variance, 0.25)))"
        ): {
            "2 → 3": FIRST_TILT,
            "variance > 0.25 → variance >= 0.25": SAVED,
            "0.25 → 0.5": FIRST_TILT,
        },
        "apart = xp.where(self.x.chosen == (theta > 0), xp.zeros_like(theta), xp.abs(theta))": {
            "theta > 0 → theta >= 0": "A θ of 0 adds nothing.",
        },
    },
    "_engine.potential.parts": {
        "SMALL = 0.05": {"0.05 → 0.1": NEAR_ENOUGH},
        "return waiting & at.near & ((chances > SMALL * xp.max(chances, axis=0)) | (at.ahead == 0))": {
            "chances > SMALL * xp.max(chances, axis=0) → chances >= SMALL * xp.max(chances, axis=0)": NEAR_ENOUGH,
            "xp.max → xp.min": NEAR_ENOUGH,
            "at.ahead == 0 → at.ahead != 0": NEAR_ENOUGH,
            "0 → 1": NEAR_ENOUGH,
        },
        "LONGEST_PRODUCT = 1 << 15": {
            "1 << 15 → 1 >> 15": EITHER_WAY,
            "1 → 2": EITHER_WAY,
            "15 → 16": EITHER_WAY,
        },
        "REACH = {32: 2.0**-80, 64: 2.0**-918}": {"80 → 81": UNDERFLOW, "918 → 919": UNDERFLOW},
        "middle = item_sums(ops, x.spread * v) / xp.clip(item_sums(ops, x.spread), 1e-37, None)": {
            "1e-37 → 2e-37": TINY,
        },
        "u = xp.where(part.done, u - xp.sum(part.sizes * u, axis=0), xp.zeros_like(u))": {
            "u - xp.sum(part.sizes * u, axis=0) → u + xp.sum(part.sizes * u, axis=0)": (
                "Nothing but roundings depends on a number that is added to all of u."
            ),
        },
        ("done, value, terms = (_by_products if at.x.t.shape[0] <= LONGEST_PRODUCT else _by_integrals)(at, waiting)"): {
            "_by_products if at.x.t.shape[0] <= LONGEST_PRODUCT else _by_integrals → _by_products": EITHER_WAY,
            "_by_products if at.x.t.shape[0] <= LONGEST_PRODUCT else _by_integrals → _by_integrals": EITHER_WAY,
            "at.x.t.shape[0] <= LONGEST_PRODUCT → at.x.t.shape[0] < LONGEST_PRODUCT": EITHER_WAY,
        },
        "small = xp.abs(total) <= 1": {
            "xp.abs(total) <= 1 → xp.abs(total) < 1": EITHER_WAY,
            "1 → 2": EITHER_WAY,
        },
        "chances = xp.reshape(counts.multiply(0, first, second)[: n + 1, 0, :], (n + 1, *batch))": {
            "0 → 1": "Only tables of another kind go by the level.",
        },
        "done = waiting & (chances >= REACH[xp.finfo(chances.dtype).bits])": {
            "chances >= REACH[xp.finfo(chances.dtype).bits] → chances > REACH[xp.finfo(chances.dtype).bits]": (
                COINCIDENCE
            ),
        },
        "return done, log_total + xp.zeros_like(at.given.log_weights), -softplus(ops, _away(at))": {
            "log_total + xp.zeros_like(at.given.log_weights) → log_total - xp.zeros_like(at.given.log_weights)": ZERO,
        },
    },
    "_engine.potential.mixture": {
        "return (*found, given.first(waiting, at.reach() / 2), waiting, ~xp.any(waiting, axis=0))": {
            "2 → 3": "How far tilts are apart is a matter of speed; how many are needed has a test.",
        },
        "state = (*state, likely_size(given), given.wanted, ~xp.any(given.wanted, axis=0))": {
            "~xp.any(given.wanted, axis=0) → xp.any(given.wanted, axis=0)": BEFORE_THE_FIRST,
            "xp.any → xp.all": BEFORE_THE_FIRST,
        },
        "return ops.repeat(step, state, 2 * given.wanted.shape[0] + 4)[:-3]": {
            "2 → 3": "More tilts are allowed than any row needs; further ones change nothing.",
            "4 → 5": "More tilts are allowed than any row needs; further ones change nothing.",
        },
        "t = tilt.apply(given.logits) + bad": {
            "tilt.apply(given.logits) + bad → tilt.apply(given.logits) - bad": NO_SIGN,
        },
        "chosen, unchosen = probability(ops, means[0] + bad, t), probability(ops, means[1] + bad, -t)": {
            "means[0] + bad → means[0] - bad": NO_SIGN,
            "means[1] + bad → means[1] - bad": NO_SIGN,
        },
        "chances = _every_size(ops, logits, low, means[2] + bad)": {"means[2] + bad → means[2] - bad": NO_SIGN},
        "return Mixture(tilted, slope, lead, log_partition + bad, chosen, unchosen, chances)": {
            "log_partition + bad → log_partition - bad": NO_SIGN,
        },
        "apart = xp.where(part.chosen > part.unchosen, state[6] - part.unchosen, part.chosen - state[5])": {
            "part.chosen > part.unchosen → part.chosen >= part.unchosen": "At a half either difference is exact.",
        },
        "return items_last(ops, image + bad), items_last(ops, _every_size(ops, logits, low, moved + bad))": {
            "image + bad → image - bad": NO_SIGN,
            "moved + bad → moved - bad": NO_SIGN,
        },
        "given = sizes(ops, logits, fill(ops, (*batch, n + 1), 0.0, logits), 0, n)": {
            "1 → 2": WIDER,
            "0.0 → 1.0": "Where all weights are equal only the first tilt is found by them.",
        },
        "gap = xp.where(part.log_total == -xp.inf, part.log_total, (part.log_total - total) / given.unit)": {
            "-xp.inf → xp.inf": "Only in a row without a possible size is the first part empty, and such a row is NaN.",
        },
        "share, larger = _share(given, total, part), part.log_total > total": {
            "part.log_total > total → part.log_total >= total": "Of two equal parts either may lend its tilt.",
        },
        "count = xp.reshape(xp.astype(iota(ops, n + 1, t), t.dtype), (-1, *(1,) * (t.ndim - 1)))": {"1 → 2": RESHAPE},
    },
}
