"""Which kernel serves rows of a shape: chosen, planned and compiled once."""

from functools import lru_cache
from typing import Any

from ksubset.backends._cpu.kernels import divergences, moments, recursion, sampling, scalars, scores, selection
from ksubset.backends._cpu.launch import Ready, ready
from ksubset.backends._cpu.planning import CONTOUR, RECURSION, SELECTION, arrange, choose, planned_as

KERNELS = {
    RECURSION: {
        "moments": recursion.solve,
        "jacobian_product": recursion.jacobian_product,
        "sample": recursion.sample,
        "scalars": scalars.recursion,
        "scores": scores.recursion,
        "divergences": divergences.recursion,
    },
    CONTOUR: {
        "partition": moments.solve,
        "moments": moments.solve,
        "jacobian_product": moments.jacobian_product,
        "sample": sampling.sample,
        "scalars": scalars.contour,
        "scores": scores.contour,
        "divergences": divergences.contour,
    },
    SELECTION: {"mode": selection.mode},
}
"""By method and name."""


@lru_cache(maxsize=1024)
def prepared(name: str, dtype: Any, rows: int, n: int, width: int) -> Ready:
    """The kernel of `KERNELS` for rows of a shape."""
    planned = planned_as(name)
    method, across = choose(planned, rows, n, width)
    plan, between = arrange(planned, dtype, method, across, n, width), (width,) if method == RECURSION else ()
    return ready(KERNELS[method][name], plan, method, n, rows, *between)
