"""The Horvitz–Thompson estimate of a total, and two estimates of its variance."""

from dataclasses import dataclass
from typing import Any, Literal

import array_api_compat

from ksubset import backends
from ksubset._call.argument_checks import as_int, check_floating, check_framework, check_logits, check_shape
from ksubset._call.backend import Backend
from ksubset._call.value_checks import check_entries, check_not_nan
from ksubset._engine.arrays import device
from ksubset._engine.ops import Array
from ksubset.survey._numbers import floats

VARIANCES = ("sen-yates-grundy", "horvitz-thompson")


@dataclass(frozen=True)
class Estimate:
    """What a sample says of its population, each of shape (...).

    Attributes
    ----------
    total : array
        The Horvitz–Thompson estimate of the total.
    mean : array
        The total divided by the size of the population, which is estimated if it is not given.
    variance : array or None
        The estimated variance of the total; None without joint inclusion probabilities.
    mean_variance : array or None
        The estimated variance of the mean, by linearisation if the size of the population is estimated.
    """

    total: Array
    mean: Array
    variance: Array | None
    mean_variance: Array | None

    __module__ = "ksubset.survey"


def horvitz_thompson(
    y: Array,
    probabilities: Array,
    joint: Array | None = None,
    *,
    population_size: int | None = None,
    variance: Literal["sen-yates-grundy", "horvitz-thompson"] = "sen-yates-grundy",
    validate: bool | None = None,
) -> Estimate:
    r"""Estimate the total and the mean of a population from the units of a sample.

    .. math:: \hat Y = \sum_{i \in s} \frac{y_i}{\pi_i}, \qquad
        \hat V_\text{SYG} = \frac12 \sum_{i, j \in s} \frac{\pi_i \pi_j - \pi_{ij}}{\pi_{ij}}
        \Bigl(\frac{y_i}{\pi_i} - \frac{y_j}{\pi_j}\Bigr)^2, \qquad
        \hat V_\text{HT} = \sum_{i, j \in s} \frac{\pi_{ij} - \pi_i \pi_j}{\pi_{ij}} \frac{y_i}{\pi_i} \frac{y_j}{\pi_j}

    All are unbiased if every pair of units of the population has :math:`\pi_{ij} > 0`.

    Parameters
    ----------
    y : array or column of a table, shape (..., m)
        The values of the m units drawn. Leading dimensions are a batch of samples.
    probabilities : array or column of a table, shape (..., m)
        Their inclusion probabilities π, in (0, 1].
    joint : array, shape (..., m, m), optional
        Their joint inclusion probabilities :math:`\pi_{ij} > 0`, with π on the diagonal: rows and columns of
        `joint_inclusion_probabilities` at the positions drawn. There are variances only with it, from two units on.
    population_size : int, optional
        The number of units of the population, N. By default it is estimated by :math:`\sum_{i \in s} 1/\pi_i`.
    variance : {"sen-yates-grundy", "horvitz-thompson"}
        Which estimate of the variance. The first is for samples of fixed size, and under a `design` never negative but
        by rounding. The second may be far below 0, and is returned as it is.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    Estimate
        Its arrays have shape (...), and the dtype to which the arguments are promoted. Whole numbers are taken
        in the default floating dtype, and of an object with ``to_numpy()``, such as a pandas Series, the values.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``y`` contains NaN, ``probabilities`` are not in (0, 1], ``joint`` is not in (0, 1],
        has another diagonal than ``probabilities`` or is given for fewer than two units, ``population_size`` is below
        m, or ``variance`` is none of the two.

    References
    ----------
    Horvitz & Thompson, "A generalization of sampling without replacement from a finite universe", JASA 47 (1952). Sen,
    "On the estimate of the variance in sampling with varying probabilities" (1953), Yates & Grundy, "Selection without
    replacement from within strata with probability proportional to size" (1953). Särndal, Swensson & Wretman, "Model
    Assisted Survey Sampling", Springer (1992), sections 2.8 and 5.7.

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import survey
    >>> pi = np.array([0.5, 0.5])  # two of four units, drawn with equal probabilities
    >>> joint = np.array([[0.5, 1 / 6], [1 / 6, 0.5]])
    >>> estimate = survey.horvitz_thompson(np.array([3.0, 5.0]), pi, joint)
    >>> float(estimate.total), float(estimate.mean), float(estimate.variance.round(9))
    (16.0, 4.0, 8.0)
    """
    if variance not in VARIANCES:
        raise ValueError(f"variance must be {' or '.join(map(repr, VARIANCES))}; got {variance!r}")
    y, pi = floats(y, "y"), floats(probabilities, "probabilities")
    joint = None if joint is None else floats(joint, "joint")
    backend = backends.find(y, "y")
    _check_shapes(y, pi, joint, backend)
    if backend.is_readable(y) if validate is None else validate:
        _check_values(y, pi, joint, backend)
    return backend.by_own_settings(_estimate)(backend.namespace(y), y, pi, joint, population_size, variance)


def _estimate(xp: Any, y: Array, pi: Array, joint: Array | None, size: int | None, which: str) -> Estimate:
    expanded = xp.where(_sound(xp, y, pi, joint)[..., None], y / pi, float("nan"))
    total = xp.sum(expanded, axis=-1)
    units = xp.sum(1 / pi, axis=-1) if size is None else _population(size, int(y.shape[-1]))
    mean = total / units
    if joint is None:
        return Estimate(total, mean, None, None)
    centred = expanded - mean[..., None] / pi if size is None else expanded
    weights = 1 - pi[..., :, None] * pi[..., None, :] / joint
    of_total, of_mean = (_variance(xp, weights, x, which) for x in (expanded, centred))
    return Estimate(total, mean, of_total, of_mean / units**2)


def _variance(xp: Any, weights: Array, expanded: Array, which: str) -> Array:
    rows, columns = expanded[..., :, None], expanded[..., None, :]
    terms = rows * columns if which == "horvitz-thompson" else -((rows - columns) ** 2) / 2
    return xp.sum(weights * terms, axis=(-2, -1))


def _population(size: int, drawn: int) -> int:
    units = as_int(size, "population_size")
    if units < drawn:
        raise ValueError(f"population_size must be at least {drawn}, the number of units drawn; got {units}")
    return units


def _check_shapes(y: Array, pi: Array, joint: Array | None, backend: Backend) -> None:
    xp = backend.namespace(y)
    check_logits(y, xp, "y")
    m = int(y.shape[-1])
    check_framework(pi, "probabilities", y, backend, "y")
    check_floating(pi, "probabilities", xp)
    check_shape(pi, "probabilities", tuple(y.shape), exact=True, like="y")
    if joint is None:
        return
    check_framework(joint, "joint", y, backend, "y")
    check_floating(joint, "joint", xp)
    if tuple(joint.shape[-2:]) != (m, m):
        remedy = "take its rows and columns at the positions drawn"
        raise ValueError(f"joint must have shape (..., {m}, {m}), the pairs of y; got {tuple(joint.shape)}: {remedy}")
    check_shape(joint, "joint", (*y.shape, m), exact=True, like="the pairs of y")
    if m < 2:
        raise ValueError(f"y must hold at least 2 units for a variance; got {m}: leave joint out")


def _sound(xp: Any, y: Array, pi: Array, joint: Array | None) -> Array:
    """Rows that `_check_values` would pass."""
    sound = xp.all((pi > 0) & (pi <= 1) & ~xp.isnan(y), axis=-1)
    if joint is None:
        return sound
    paired = xp.all((joint > 0) & (joint <= 1), axis=(-2, -1))
    return sound & paired & xp.all(_on_diagonal(xp, pi, joint), axis=-1)


DIAGONAL = 1e-3
"""How far the diagonal may be from the probabilities, as a share of them: digits that a table was printed with."""


def _on_diagonal(xp: Any, pi: Array, joint: Array) -> Array:
    """Where the diagonal of joint probabilities has the probabilities."""
    own = xp.eye(joint.shape[-1], dtype=joint.dtype, device=device(joint))
    return xp.abs(xp.sum(joint * own, axis=-1) - pi) <= DIAGONAL * pi


def _check_values(y: Array, pi: Array, joint: Array | None, backend: Backend) -> None:
    check_not_nan(backend.readable(y), "y")
    remedy = "give the probabilities of the units drawn alone"
    for x, name in ((pi, "probabilities"), (joint, "joint")):
        if x is not None:
            values = backend.readable(x)
            xp = array_api_compat.array_namespace(values)
            check_entries(values, ~((values > 0) & (values <= 1)), f"{name} must be in (0, 1]", xp, remedy)
    if joint is not None:
        _check_diagonal(backend.readable(pi), backend.readable(joint))


def _check_diagonal(pi: Array, joint: Array) -> None:
    xp = array_api_compat.array_namespace(joint)
    wrong = ~_on_diagonal(xp, pi, joint)
    complaint = "joint must have the probabilities on its diagonal, and does not for one of"
    remedy = "take its rows and columns by the positions of the units drawn, not by their labels"
    check_entries(xp.broadcast_to(pi, tuple(wrong.shape)), wrong, complaint, xp, remedy)
