"""Adapters: a module or folder for each framework, chosen by the type of the logits. This file imports no framework.

Each holds an `ADAPTER`, a `ksubset._call.backend.Backend`.
"""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from ksubset._call.argument_checks import kind
from ksubset._call.backend import Backend, Shards

if TYPE_CHECKING:
    from ksubset._engine.ops import Array

REGISTRY = {
    "numpy": "array_api",
    "array_api_strict": "array_api",
    "torch": "torch",
    "jax": "jax",
    "jaxlib": "jax",
    "cupy": "cupy",
    "dask": "dask",
}
"""From the top-level module in which an array's type, or a type it derives from, is defined."""

FRAMEWORKS = ("cupy", "dask", "flax", "jax", "numpyro", "sklearn", "torch")
"""Folders that are attributes of this module without being imported; the framework of each has the same name."""


def __getattr__(name: str) -> ModuleType:
    if name not in FRAMEWORKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise AttributeError(f"ksubset.backends.{name} needs a package that is not installed: {error}") from error


def __dir__() -> list[str]:
    return list(filter(find_spec, FRAMEWORKS))


KNOWN: dict[type, str] = {}
"""The name of an adapter by an array's own type; adapters enter it when imported, so that `find` need not search."""

ADAPTERS: dict[str, Backend] = {}
"""Adapters that are in `KNOWN`, by name."""


def enter(name: str, adapter: Backend, *types: type) -> None:
    """Have `find` return an adapter for arrays of these very types."""
    ADAPTERS[name] = adapter
    KNOWN.update(dict.fromkeys(types, name))


def find(x: object, name: str) -> Backend:
    """The adapter for ``x``.

    Raises
    ------
    TypeError
        If ``x`` is not an array.
    """
    return known(x) or _search(x, name)


def known(x: object) -> Backend | None:
    """The adapter that has entered the very type of ``x``."""
    name = _known(type(x))
    return ADAPTERS[name] if name else None


def _known(kind: type) -> str | None:
    """The adapter that has entered a type, imported if need be."""
    if kind not in KNOWN and (adapter := REGISTRY.get(kind.__module__.partition(".")[0])):
        load(adapter)
    return KNOWN.get(kind)


def _search(x: object, name: str) -> Backend:
    for base in type(x).__mro__:
        adapter = REGISTRY.get(base.__module__.partition(".")[0])
        if adapter and (module := load(adapter)).is_array(x):
            return module
    if hasattr(x, "__array_namespace__") and (module := load("array_api")).is_array(x):
        return module
    expected = "an array of NumPy, torch, JAX, CuPy, Dask or another array API namespace"
    raise TypeError(f"{name} must be {expected}; got {kind(x)}")


def is_spread(x: object) -> bool:
    """Whether the parts of ``x`` are held by several processes, by the module of its type."""
    return _spreads(type(x))


def _spreads(kind: type) -> bool:
    return kind.__module__.startswith("torch.distributed.tensor")


for _constant in (_known, _spreads):  # torch.compile guards no dictionary of types, and reads no Parameter's module
    vars(_constant)["_dynamo_marked_constant"] = True


def shards(x: object, name: str) -> Shards:
    """Where the rows of ``x`` are, which is spread over processes; adapters see the rows of one alone."""
    from ksubset.backends.torch.dtensor import TensorShards

    return TensorShards(cast("Array", x), name)


def load(adapter: str) -> Backend:
    """Import an adapter by name, by a statement for each, since `torch.compile` can follow these."""
    module: Any
    if adapter == "torch":
        from ksubset.backends import torch as module
    elif adapter == "jax":
        from ksubset.backends import jax as module
    elif adapter == "cupy":
        from ksubset.backends import cupy as module
    elif adapter == "dask":
        from ksubset.backends import dask as module
    else:
        from ksubset.backends import array_api as module
    found: Backend = module.ADAPTER
    return found
