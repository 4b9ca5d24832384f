"""Columns of tables as arrays of floats."""

from typing import Any

from array_api_compat import array_namespace

from ksubset import backends
from ksubset._engine.arrays import device
from ksubset._engine.ops import Array


def floats(x: Any, name: str) -> Array:
    """The values of an array or of a column of a table; whole numbers in the default floating dtype."""
    x = x.to_numpy() if hasattr(x, "to_numpy") else x
    xp = array_namespace(x) if backends.is_spread(x) else backends.find(x, name).namespace(x)
    return xp.astype(x, xp.zeros(0, device=device(x)).dtype) if xp.isdtype(x.dtype, "integral") else x
