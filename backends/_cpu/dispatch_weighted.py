"""Cardinality potentials through the CPU fast path: calls of ``ksubset._law.functions`` put to its kernels.

A kernel computes the rows that one tilt serves. The core computes the others, and their results are put in place.
"""

from collections.abc import Callable
from dataclasses import fields
from math import prod
from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace

from ksubset._engine.indices import indices_of
from ksubset._engine.potential.mixture import Mixture, slopes
from ksubset._engine.tilt import Tilt
from ksubset._law import functions
from ksubset._law.size_weighted import SizeWeighted, split

if TYPE_CHECKING:
    import numpy as np


def evaluate(
    function: Callable[..., Any],
    law: SizeWeighted,
    parameters: "np.ndarray",
    *v: "np.ndarray",
    threads: int | None = None,
) -> Any:
    """Compute E[T], 1 − E[T], or J · ``v``, against which the parameters broadcast."""
    if function is functions.marginals_jvp:
        return _product(law, parameters, v[0], threads)
    import numpy as np

    call = KernelRows(parameters, law)
    chosen = function is functions.marginals
    found = call.moments(threads, chosen=chosen != call.flipped, unchosen=chosen == call.flipped)
    out = np.empty(call.rows.shape, parameters.dtype)
    sides = (found.unchosen, found.chosen) if call.flipped else (found.chosen, found.unchosen)
    items, counts = split(out)
    items[...] = sides[not chosen]
    counts[...] = call.all_counts(found.counts)
    if not chosen:
        np.subtract(1, counts, out=counts)
    return call.completed(function, found.served, out).reshape(parameters.shape)


def _product(law: SizeWeighted, parameters: "np.ndarray", v: "np.ndarray", threads: int | None) -> Any:
    import numpy as np

    from ksubset.backends._cpu.calls_weighted import jacobian_product

    shape = np.broadcast_shapes(parameters.shape, v.shape)
    call, v = KernelRows(np.broadcast_to(parameters, shape), law), np.broadcast_to(v, shape).reshape(-1, shape[-1])
    along, u = split(v)
    along, sign = (-along, -1) if call.flipped else (along, 1)
    served, rise, moved = jacobian_product(
        call.logits, call.log_weights, call.low, along, call.these_counts(u), threads=threads
    )
    out = np.empty(v.shape, v.dtype)
    items, counts = split(out)
    np.multiply(rise, sign, out=items)
    counts[...] = call.all_counts(moved)
    return call.completed(functions.marginals_jvp, served, out, v).reshape(shape)


def sample(
    law: SizeWeighted,
    parameters: "np.ndarray",
    seed: int,
    sample_shape: tuple[int, ...],
    *,
    places: int = 0,
    threads: int | None = None,
) -> "np.ndarray":
    """Draw exact subsets, sample_shape + (..., n); or their indices, sample_shape + (..., places)."""
    import numpy as np

    from ksubset.backends._cpu import calls_weighted

    call, draws = KernelRows(parameters, law), prod(sample_shape)
    given, side = (call.logits, call.log_weights, call.low, seed, draws), -1 if call.flipped else 1
    served, z = calls_weighted.sample(*given, places=places, side=side, threads=threads)
    if call.flipped and not places:
        np.subtract(1, z, out=z)
    call.complete_draws(served, z, seed, places)
    return z.reshape(*sample_shape, *parameters.shape[:-1], z.shape[-1])


def moments(law: SizeWeighted, parameters: "np.ndarray", *, sides: bool = True, threads: int | None = None) -> Mixture:
    """All of the moments, in float64."""
    import numpy as np

    call = KernelRows(parameters.astype(np.float64, copy=False), law)
    found = call.moments(threads, partition=True, chosen=True, unchosen=True)
    with np.errstate(all="ignore"):  # infinite logits in a row whose λ is NaN, logits near the largest float
        solution = call.mixture(found)
    left = np.flatnonzero(~found.served)
    if left.size:
        rest = call.core(lambda ops, law, rows: law.moments(ops, rows), left)
        for field in fields(Mixture):
            getattr(solution, field.name)[left] = getattr(rest, field.name)
    parts = (getattr(solution, field.name) for field in fields(Mixture))
    return Mixture(*(x.reshape((*parameters.shape[:-1], *x.shape[1:])) for x in parts))


class Orientation:
    """Rows as the kernels see them: negated where fewer items are unchosen than chosen at most, as in the core.

    Attributes
    ----------
    n
        The number of items.
    flipped
        Whether count c of the kernel stands for n − c.
    low, high
        The least and the largest count of the kernel.
    """

    def __init__(self, n: int, law: SizeWeighted) -> None:
        self.n, low, high = n, law.low, law.high
        self.flipped = n - low < high
        self.low, self.high = (n - high, n - low) if self.flipped else (low, high)

    def these_counts(self, x: Any) -> Any:
        """Select the counts of the kernel, (rows, high + 1), from all counts, (rows, n + 1)."""
        return x[:, ::-1][:, : self.high + 1] if self.flipped else x[:, : self.high + 1]

    def all_counts(self, x: Any) -> Any:
        """The reverse, with 0 for the rest."""
        xp = array_namespace(x)
        x = xp.concat([x, xp.zeros((x.shape[0], self.n - self.high), dtype=x.dtype)], axis=-1)
        return x[:, ::-1] if self.flipped else x


class KernelRows(Orientation):
    """Rows for the kernels.

    Attributes
    ----------
    rows, law
        The parameters, (rows, 2n + 1), and the law, as they were given.
    logits, log_weights
        The arguments of kernels.
    """

    def __init__(self, parameters: "np.ndarray", law: SizeWeighted) -> None:
        super().__init__(law.items_among(parameters.shape[-1]), law)
        self.rows, self.law = parameters.reshape(-1, parameters.shape[-1]), law
        theta, omega = split(self.rows)
        self.logits = -theta if self.flipped else theta
        self.log_weights = self.these_counts(omega)

    def mixture(self, found: Any) -> Mixture:
        """The result of the kernel, in the form that the core gives."""
        import numpy as np

        from ksubset.backends.array_api import NUMPY

        theta, _ = split(self.rows)
        tilt, target, sides = Tilt(*found.shifts), found.target, (found.chosen, found.unchosen)
        if self.flipped:
            tilt, target, sides = Tilt(-tilt.start, -tilt.shift), theta.shape[-1] - target, sides[::-1]
        t, counts = tilt.apply(theta.T).T, np.ascontiguousarray(self.all_counts(found.counts))
        slope, lead = slopes(NUMPY, t.T, tilt, target)
        return Mixture(t, slope.T, lead, found.log_partition, *sides, counts)

    def moments(self, threads: int | None, **wanted: bool) -> Any:
        """The moments of the rows, by the kernel."""
        from ksubset.backends._cpu.calls_weighted import moments

        return moments(self.logits, self.log_weights, self.low, threads=threads, **wanted)

    def core(self, function: Callable[..., Any], left: "np.ndarray", *arrays: "np.ndarray") -> Any:
        """The value of a function by the core, for some of the rows."""
        import numpy as np

        from ksubset.backends.array_api import NUMPY

        with np.errstate(all="ignore"):
            return function(NUMPY, self.law, self.rows[left], *arrays)

    def completed(
        self, function: Callable[..., Any], served: "np.ndarray", out: "np.ndarray", *arrays: "np.ndarray"
    ) -> "np.ndarray":
        """``out``, with the rows that no kernel serves filled in."""
        import numpy as np

        left = np.flatnonzero(~served)
        if left.size:
            out[left] = self.core(function, left, *(x[left] for x in arrays))
        return out

    def complete_draws(self, served: "np.ndarray", z: "np.ndarray", seed: "int | np.ndarray", places: int = 0) -> None:
        """Draw the rows that no kernel serves into ``z``, (draws, rows, n), or indices, (draws, rows, places)."""
        import numpy as np

        from ksubset.backends.array_api import NUMPY

        left = np.flatnonzero(~served)
        if left.size:
            u = np.random.default_rng(seed).random((len(z), left.size, max(self.n, 1)))
            drawn = self.core(functions.sample, left, u.astype(self.rows.dtype))
            z[:, left] = indices_of(NUMPY, drawn, places) if places else drawn
