"""The interface of an adapter; ``ksubset.backends`` has one for each framework."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from ksubset._engine.indices import indices_of
from ksubset._engine.ops import Array, Ops
from ksubset._law.law import Law

if TYPE_CHECKING:
    from ksubset.backends._cpu.calls import Path
    from ksubset.backends._cuda.launch import Launch

Known: TypeAlias = Any
"""The moments that several functions share, or None where they are not known."""

Function = TypeVar("Function", bound=Callable[..., Any])


class Shards(Protocol):
    """Where the rows of a batch are, if each of several processes holds a part of them.

    ``local(x, name)`` is this process's part of the logits, or of an array that goes with them; with ``items`` false
    that array has no axis for the items. ``whole(value, leading)`` is the result for all processes, from this process's
    part of it, which has ``leading`` axes before the batch axes. ``stream(rng, like)`` is a source of random numbers
    for this process's rows.
    """

    def local(self, x: Any, name: str, *, items: bool = True) -> Any: ...
    def whole(self, value: Array, leading: int) -> Array: ...
    def stream(self, rng: object, like: Array) -> object: ...


class Backend(ABC):
    """A framework.

    An adapter converts, draws random numbers, chooses kernels and attaches derivatives. It contains no mathematics
    beyond "the gradient of this is J · v". It only sees arrays that are whole on this process: if an array is
    spread over several processes, the adapter gets the rows of this process.
    """

    differentiates = False
    """Whether results have derivatives, so that `surrogate` and `value_and_gradient` attach and find them."""

    delays = False
    """Whether arrays are computed later and in parts: `place` then takes the place of all but the first methods."""

    @abstractmethod
    def namespace(self, x: Array) -> Any:
        """The array API namespace of an array."""

    @abstractmethod
    def is_array(self, x: object, like: object = None) -> bool:
        """Whether ``x`` belongs to the framework, or to the framework of ``like`` if the adapter serves several."""

    @abstractmethod
    def is_readable(self, x: Array) -> bool:
        """Whether values may be read here and now: the array is eager, and on a CPU."""

    @abstractmethod
    def same_device(self, x: Array, y: Array) -> bool:
        """Whether two arrays may be used in one operation."""

    def readable(self, x: Array) -> Array:
        """The values in the form in which they are checked fastest."""
        return x

    @abstractmethod
    def extremes(self, x: Array) -> tuple[float, float]:
        """The least value and the largest; both NaN if one is, or if they cannot be read; 0 if there are none."""

    @abstractmethod
    def ops(self, x: Array) -> Ops:
        """The framework as the engine sees it."""

    @abstractmethod
    def uniforms(self, rng: object, shape: tuple[int, ...], like: Array) -> Array:
        """Independent uniforms in [−1/2, 1/2), in the dtype and on the device of ``like``.

        They are resolved near 0 from both sides to at least 2⁻⁵², and come from the framework's own generator, an int
        that seeds one, or None.
        """

    @abstractmethod
    def moments(self, law: Law, parameters: Array) -> Any:
        """The moments that several functions share, without gradients."""

    @abstractmethod
    def evaluate(
        self, function: Callable[..., Array], law: Law, parameters: Array, *arrays: Array, solution: Known = None
    ) -> Array:
        """The value of one of ``ksubset._law.functions``, with whatever the framework needs around it."""

    def path(self, law: Law, name: str, parameters: Array) -> "Path | Launch | str":
        """How kernels compute a function of that name, or ``draw``; or why the core does."""
        return "this framework has no kernels"

    def at_once(
        self, function: Callable[..., Array], logits: Array, k: int, second: Array | None = None
    ) -> Array | None:
        """The value of a plain call that no check refuses, ``second`` subsets or other logits; None if not certain."""
        return None

    def draw_at_once(self, function: Callable[..., Array], logits: Array, k: int, rng: object) -> Array | None:
        """The same for a draw of ``sample`` or ``rsample``."""
        return None

    def draw(
        self,
        function: Callable[..., Any],
        law: Law,
        parameters: Array,
        rng: object,
        sample_shape: tuple[int, ...],
    ) -> Array | None:
        """The value of ``sample`` or ``rsample`` by a kernel; None if it goes through `uniforms` and `evaluate`."""
        return None

    def draw_with_marginals(
        self, law: Law, parameters: Array, rng: object, sample_shape: tuple[int, ...]
    ) -> tuple[Array, Array] | None:
        """Samples and the marginals, with their derivatives, by one kernel; None if they are found apart."""
        return None

    def draw_indices(
        self, law: Law, parameters: Array, places: int, rng: object, sample_shape: tuple[int, ...]
    ) -> Array | None:
        """The items of samples, sample_shape + (..., places), by a kernel; None if they are found in samples."""
        return None

    def indices_of(self, z: Array, places: int) -> Array:
        """The items of subsets (..., n), (..., places); see `ksubset._engine.indices.indices_of`."""
        return indices_of(self.ops(z), z, places)

    def astype(self, x: Array, dtype: Any) -> Array:
        """A result in the dtype that was asked for, in silence where it overflows."""
        return self.namespace(x).astype(x, dtype)

    def by_own_settings(self, function: Function) -> Function:
        """The function, shielded from the user's settings of the framework, such as errors for NaN."""
        return function

    def place(
        self, start: Callable[..., Any], logits: Array, k: Any, max_k: int | None, validate: bool | None, name: str
    ) -> Any:
        """The `Placement` of arrays that are computed later; ``start`` makes a problem of a part of the logits."""
        raise NotImplementedError

    def surrogate(self, rule: Callable[..., tuple[Array | None, ...]], value: Array, *arrays: Array) -> Array:
        """``value`` with the gradients ``rule(g, *arrays)`` with respect to the arrays, None where there is none."""
        return value

    def value_and_gradient(self, function: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
        """The values of a function of the caller's, and the gradient of their sum as a constant."""
        raise NotImplementedError

    def gammas(self, rng: object, concentration: float, shape: tuple[int, ...], like: Array) -> Array:
        """Gamma variates of scale 1, from the same source as `uniforms`."""
        raise TypeError("noise must be Gumbel(): the framework of logits has no gamma variates")
