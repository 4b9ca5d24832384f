"""A sample from a table."""

from typing import Any

import array_api_compat

from ksubset import backends
from ksubset._api.distribution import KSubset
from ksubset._call.argument_checks import check_framework, kind
from ksubset._call.cardinality import Cardinality
from ksubset._engine.ops import Array


def draw(table: Any, design: KSubset[Any], *, rng: object = None) -> Any:
    """Draw a sample of the rows of a table.

    Parameters
    ----------
    table : DataFrame, array or int
        A pandas DataFrame, or anything whose ``table.iloc[positions]`` are rows; or an array of shape (n, ...), of the
        framework of the design; or n itself.
    design : KSubset
        Of one population of n units, as `design` makes it from n inclusion probabilities.
    rng : generator, key or int, optional
        The framework's own source of randomness: a `numpy.random.Generator`, `torch.Generator`,
        `cupy.random.Generator` or JAX key. An int seeds one. None takes torch's global generator, a fresh generator
        in NumPy and CuPy, and is an error in JAX.

    Returns
    -------
    DataFrame or array
        The k rows drawn, in the order of the table; of an int, their positions from 0 on, an array of integers.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the design is a batch, or its number of units is not that of the table, or its probabilities are NaN.

    Notes
    -----
    The sample is read, so that this function cannot be compiled; `ksubset.sample` can.

    References
    ----------
    Tillé, "Sampling Algorithms", Springer (2006), section 5.2.

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import survey
    >>> towns = np.array(["Ash", "Beck", "Cove", "Dale"])
    >>> survey.draw(towns, survey.design(np.array([1.0, 1.0, 0.0, 0.0])), rng=0)
    array(['Ash', 'Beck'], dtype='<U4')
    >>> survey.draw(4, survey.design(np.array([1.0, 0.0, 1.0, 0.0])), rng=0)
    array([0, 2])
    """
    _check_design(design)
    units = _units(table, design)
    if units != design.event_shape[0]:
        raise ValueError(f"table must have {design.event_shape[0]} rows, the units of the design; got {units}")
    positions = _positions(design, rng)
    if isinstance(table, int):
        return positions
    if hasattr(table, "iloc"):
        return table.iloc[[int(i) for i in positions]]
    return array_api_compat.array_namespace(positions).take(table, positions, axis=0)


def _check_design(design: KSubset[Any]) -> None:
    if not isinstance(design, KSubset):
        raise TypeError(f"design must be a KSubset; got {kind(design)}: survey.design makes one of probabilities")
    if isinstance(design.k, Cardinality):
        raise TypeError("design must have a fixed size; got a Cardinality in the place of k")
    if design.batch_shape:
        raise ValueError(f"design must be of one population; got the batch shape {design.batch_shape}: draw from each")


def _units(table: Any, design: KSubset[Any]) -> int:
    """The number of rows, after a check of the table's type."""
    if isinstance(table, int) and not isinstance(table, bool):
        return table
    if not hasattr(table, "iloc"):
        check_framework(table, "table", design.logits, backends.find(design.logits, "logits"), "the design")
    if not table.shape:
        raise ValueError("table must have shape (n, ...); got a 0-dimensional array")
    return int(table.shape[0])


def _positions(design: KSubset[Any], rng: object) -> Array:
    z = design.sample(rng=rng)
    xp = array_api_compat.array_namespace(z)
    if not bool(xp.sum(z) == design.k):
        raise ValueError("design must have probabilities; got NaN")
    return xp.nonzero(z)[0]
