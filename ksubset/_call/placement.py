"""Where the rows of a call are: whole on this process, on several processes, or in chunks that are computed later.

`Problem` is the first, `ksubset._call.sharded.Sharded` the second, and the third is in ``ksubset.backends.dask``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from ksubset._engine.ops import Array
from ksubset._law import functions

if TYPE_CHECKING:
    from ksubset.backends._cpu.calls import Path
    from ksubset.backends._cuda.launch import Launch

Work: TypeAlias = Callable[..., Array]
"""``work(problem, *arrays)``: a result for rows that are whole, (...) + tail with the batch (...) of the problem."""


Draw: TypeAlias = Callable[[Any, object, tuple[int, ...]], Array]
"""``work(problem, rng, sample_shape)``: draws for rows that are whole, sample_shape + (...) + tail."""

P = TypeVar("P")
"""`Problem`, which is itself a placement."""


class Placement(ABC, Generic[P]):
    """A validated call on rows, wherever these are."""

    @property
    @abstractmethod
    def problem(self) -> P:
        """The problem of this process's rows; of chunks, which have no values yet, its outline."""

    @property
    @abstractmethod
    def k(self) -> Any:
        """The size of the subsets for the caller: an int, or integers of the batch shape placed like the logits."""

    @abstractmethod
    def at(self, problem: P) -> "Placement[P]":
        """Another problem with rows in the same places."""

    @abstractmethod
    def run(self, work: Work, *arrays: Array, tail: tuple[int, ...] = (), dtype: Any = None) -> Array:
        """The results of ``work`` for all rows, (...) + tail, put together like the logits.

        The ``arrays`` go with the logits, as `local` returns them. ``dtype`` is that of the results, where it is not
        the dtype of the problem.
        """

    @abstractmethod
    def draw(
        self, work: Draw, rng: object, sample_shape: tuple[int, ...], tail: tuple[int, ...], dtype: Any = None
    ) -> Array:
        """The draws of all rows by ``work``, sample_shape + (...) + tail."""

    @abstractmethod
    def local(self, x: Array, name: str) -> Array:
        """The part of an array (..., n) that goes with the rows of `problem`."""

    @abstractmethod
    def moments(self) -> Any:
        """The moments that several functions share, without gradients; None where no work is shared."""

    @abstractmethod
    def path(self, name: str) -> "Path | Launch | str":
        """The kernel that computes the function of that name, or why the core does."""

    def value(self, function: Callable[..., Array], *arrays: Array, solution: Any = None) -> Array:
        """The value of one of ``ksubset._law.functions``."""
        problem: Any = self.problem
        tail = () if function in functions.SOLVING else tuple(problem.logits.shape[-1:])
        return self.run(partial(_value, function, solution), *arrays, tail=tail)


def _value(function: Callable[..., Array], solution: Any, problem: Any, *arrays: Array) -> Array:
    return problem.value(function, *arrays, solution=solution)
