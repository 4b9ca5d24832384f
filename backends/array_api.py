"""Adapter for NumPy and for any other namespace that follows the array API standard. No gradients."""

from collections.abc import Callable
from functools import cache, partial
from math import prod
from typing import TYPE_CHECKING, Any

import array_api_compat
import numpy as np

from ksubset._call.argument_checks import kind, seed_of
from ksubset._call.backend import Backend, Function, Known
from ksubset._call.masks import LOW
from ksubset._engine.ops import Array, Ops, choose_needed, repeat_all, repeat_until_settled
from ksubset._law import functions
from ksubset._law.law import Law
from ksubset.backends import enter
from ksubset.backends._cpu import dispatch

if TYPE_CHECKING:
    from ksubset.backends._cpu.calls import Path


def _scatter(x: np.ndarray, places: np.ndarray, values: np.ndarray) -> np.ndarray:
    np.put_along_axis(x, places, values, axis=-1)
    return x


NUMPY = Ops(
    np,
    np.matmul,
    partial(np.sort, stable=False),
    repeat_until_settled(np),
    choose=choose_needed(np),
    scatter=_scatter,
    sweeps=True,
    eager_on_cpu=True,
)


def _framework(x: object) -> str:
    return type(x).__module__.partition(".")[0]


def _like(x: np.ndarray, like: Array) -> Array:
    """Random numbers in the dtype and on the device of ``like``."""
    if isinstance(like, np.ndarray):
        return x.astype(like.dtype)
    xp = array_api_compat.array_namespace(like)
    return xp.asarray(x.astype(np.float32) if _is_single(xp, like) else x, device=array_api_compat.device(like))


def _generator(rng: object) -> np.random.Generator:
    seed = seed_of(rng, 0)
    if seed is None and not (rng is None or isinstance(rng, np.random.Generator)):
        raise TypeError(f"rng must be a numpy.random.Generator, an int or None; got {kind(rng)}")
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng(seed)


def _seed(rng: object) -> int:
    return int(_generator(rng).integers(2**63))


def _is_single(xp: Any, x: Array) -> bool:
    return bool(xp.finfo(x.dtype).bits == 32)


class ArrayAPI(Backend):
    """NumPy, and any other namespace that follows the array API standard."""

    def ops(self, x: Array) -> Ops:
        """NumPy itself, which follows the standard since 2.1; elsewhere the namespace that ``x`` names."""
        if isinstance(x, np.ndarray | np.generic):
            return NUMPY
        xp = array_api_compat.array_namespace(x)
        reads = self.is_readable(x)
        repeat, choose = (repeat_until_settled(xp), choose_needed(xp)) if reads else (repeat_all, None)
        return Ops(xp, xp.matmul, partial(xp.sort, axis=-1, stable=False), repeat, choose=choose, sweeps=reads)

    def namespace(self, x: Array) -> Any:
        return np if isinstance(x, np.ndarray | np.generic) else array_api_compat.array_namespace(x)

    def is_array(self, x: object, like: object = None) -> bool:
        if not hasattr(x, "__array_namespace__") or isinstance(x, np.generic | np.matrix | np.ma.MaskedArray):
            return False
        return like is None or _framework(x) == _framework(like)

    def is_readable(self, x: Array) -> bool:
        """NumPy and array-api-strict are eager CPU namespaces; of others nothing is known."""
        return _framework(x) in {"numpy", "array_api_strict"}

    def readable(self, x: Array) -> Array:
        return x

    def astype(self, x: Array, dtype: Any) -> Array:
        with np.errstate(all="ignore"):
            return self.namespace(x).astype(x, dtype)

    def by_own_settings(self, function: Function) -> Function:
        return np.errstate(all="ignore")(function)

    def extremes(self, x: Array) -> tuple[float, float]:
        if not prod(x.shape):
            return 0.0, 0.0
        if isinstance(x, np.ndarray):
            return np.minimum.reduce(x, axis=None).item(), np.maximum.reduce(x, axis=None).item()
        xp = self.namespace(x)
        return float(xp.min(x)), float(xp.max(x))

    def same_device(self, x: Array, y: Array) -> bool:
        return bool(array_api_compat.device(x) == array_api_compat.device(y))

    def uniforms(self, rng: object, shape: tuple[int, ...], like: Array) -> Array:
        """From a `numpy.random.Generator`, an int that seeds one, or None for a fresh one."""
        u = _generator(rng).random(shape)
        return _like(u - (u >= 0.5), like)

    def gammas(self, rng: object, concentration: float, shape: tuple[int, ...], like: Array) -> Array:
        return _like(_generator(rng).standard_gamma(concentration, shape), like)

    def evaluate(
        self, function: Callable[..., Array], law: Law, parameters: Array, *arrays: Array, solution: Known = None
    ) -> Array:
        known = {"solution": solution}
        if not isinstance(self.path(law, function.__name__, parameters), str):
            if solution is None and functions.has_own_kernel(function, law):
                return dispatch.evaluate(function, law, parameters, *arrays)
            if solution is None and functions.asks_kernels(function, law):
                law = dispatch.by_kernels(function, law)
            elif function in functions.SOLVING:
                known = functions.solutions(function, partial(dispatch.moments, law), parameters, *arrays, **known)
        with np.errstate(all="ignore"):  # the contract speaks through inf and NaN in the results
            value = function(self.ops(parameters), law, parameters, *arrays, **known)
        return value if value.dtype == parameters.dtype else self.astype(value, parameters.dtype)

    def at_once(
        self, function: Callable[..., Array], logits: Array, k: int, second: Array | None = None
    ) -> Array | None:
        if type(logits) is not np.ndarray or dispatch.obstacle():
            return None
        if second is not None and (type(second) is not np.ndarray or second.dtype != logits.dtype):
            return None
        return small().value(function, k, small().NUMPY, -LOW, logits, second)

    def draw_at_once(self, function: Callable[..., Array], logits: Array, k: int, rng: object) -> Array | None:
        if type(logits) is not np.ndarray or dispatch.obstacle():
            return None
        call = small().ready(functions.sample, k, small().NUMPY, -LOW, logits)
        return call(_seed(rng))[0] if call else None

    def moments(self, law: Law, parameters: Array) -> Any:
        if not isinstance(self.path(law, "moments", parameters), str):
            return dispatch.moments(law, parameters)
        with np.errstate(all="ignore"):
            return law.moments(self.ops(parameters), parameters)

    def path(self, law: Law, name: str, parameters: Array) -> "Path | str":
        if type(parameters) not in (np.ndarray, np.memmap):
            return "kernels take NumPy arrays and plain CPU tensors"
        return dispatch.choose(law, name, parameters.shape, parameters.dtype)

    def draw(
        self,
        function: Callable[..., Array],
        law: Law,
        parameters: Array,
        rng: object,
        sample_shape: tuple[int, ...],
    ) -> Array | None:
        if isinstance(self.path(law, "draw", parameters), str):
            return None
        return dispatch.sample(law, parameters, _seed(rng), sample_shape)

    def draw_indices(
        self, law: Law, parameters: Array, places: int, rng: object, sample_shape: tuple[int, ...]
    ) -> Array | None:
        if not places or isinstance(self.path(law, "draw", parameters), str):
            return None
        return dispatch.sample(law, parameters, _seed(rng), sample_shape, places=places)


@cache
def small() -> Any:
    """Kernels on the calling thread."""
    from ksubset.backends._cpu import small

    return small


ADAPTER = ArrayAPI()
enter("array_api", ADAPTER, np.ndarray)
