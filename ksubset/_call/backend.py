"""What a call needs of an adapter, the module of a framework in ``ksubset.backends``."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from ksubset._engine.inference import Solution
from ksubset._engine.ops import Array, Ops

Draw: TypeAlias = Callable[[Callable[..., Array], Array, int | Array, int, object, tuple[int, ...]], Array | None]
"""The optional function ``draw`` of an adapter module."""

DrawWeighted: TypeAlias = Callable[[Array, int, int, object, tuple[int, ...]], Array | None]
"""The optional function ``draw_weighted`` of an adapter module."""


class Spread(Protocol):
    """Where the rows of a batch are, if each of several processes holds a part of them.

    ``local(x, name)`` is this process's part of the logits or of an array that goes with them, which has no axis of
    items where ``items`` is false; ``whole(value, leading)`` the answer of which it is a part, with so many axes in
    front of the batch's; ``stream(rng, like)`` a source of random numbers for this process's rows.
    """

    def local(self, x: Any, name: str, *, items: bool = True) -> Any: ...
    def whole(self, value: Array, leading: int) -> Array: ...
    def stream(self, rng: object, like: Array) -> object: ...


class Backend(Protocol):
    """The functions of an adapter module; their requirements are numbered in ``ksubset.backends``."""

    def ops(self, x: Array) -> Ops: ...
    def namespace(self, x: Array) -> Any: ...
    def is_array(self, x: Array, like: Array = None) -> bool: ...
    def is_readable(self, x: Array) -> bool: ...
    def readable(self, x: Array) -> Array: ...
    def extremes(self, x: Array) -> tuple[float, float]: ...
    def same_device(self, x: Array, y: Array) -> bool: ...
    def uniforms(self, rng: object, shape: tuple[int, ...], like: Array) -> Array: ...
    def solve(self, logits: Array, k: int | Array, width: int) -> Solution: ...
    def evaluate(
        self,
        function: Callable[..., Array],
        logits: Array,
        k: int | Array,
        width: int,
        *arrays: Array,
        solution: Solution | None,
    ) -> Array: ...
