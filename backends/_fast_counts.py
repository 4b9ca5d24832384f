"""The probabilities of all counts through the CPU fast path.

The kernel takes sorted rows of float64. Rows that it does not serve, of logits very far apart, are left to the core.
"""

from typing import TYPE_CHECKING

from ksubset import _weighted

if TYPE_CHECKING:
    import numpy as np


def log_pmf(logits: "np.ndarray", *, threads: int | None = None) -> "np.ndarray":
    """The log-probability of every count of independent items with logits (..., n): (..., n + 1)."""
    import numpy as np

    from ksubset.backends._cpu import counts
    from ksubset.backends._cpu.calling import NUMPY, run
    from ksubset.backends._cpu.planning import arrange_counts

    n = logits.shape[-1]
    rows = np.sort(logits.astype(np.float64, copy=False).reshape(-1, n), axis=-1)
    served, out = np.empty(len(rows)), np.empty((len(rows), n + 1))
    run(counts.log_pmf, arrange_counts(n), NUMPY, rows, 0, (served, out), 1, threads)
    if not served.all():
        _complete(rows, served == 0, out)
    return out.reshape(*logits.shape[:-1], n + 1).astype(logits.dtype, copy=False)


def _complete(rows: "np.ndarray", left: "np.ndarray", out: "np.ndarray") -> None:
    """Compute some of the rows by the core."""
    import numpy as np

    from ksubset.backends.array_api import NUMPY

    with np.errstate(all="ignore"):
        out[left] = _weighted.count_log_pmf(NUMPY, rows[left], 0, rows.shape[-1])
