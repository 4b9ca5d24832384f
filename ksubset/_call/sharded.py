"""A validated call on rows of which each of several processes holds a part."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ksubset._call.backend import Shards
from ksubset._call.placement import Draw, Placement, Work
from ksubset._call.problem import Problem
from ksubset._engine.ops import Array

if TYPE_CHECKING:
    from ksubset.backends._cpu.calls import Path
    from ksubset.backends._cuda.launch import Launch


@dataclass
class Sharded(Placement[Problem]):
    """Rows do not depend on one another, so each process computes its own.

    Attributes
    ----------
    rows
        The problem of this process's rows.
    shards
        Where the others are.
    """

    rows: Problem
    shards: Shards

    @property
    def problem(self) -> Problem:
        """The problem of this process's rows."""
        return self.rows

    @property
    def k(self) -> int | Array:
        """As for `Placement`."""
        return self.rows.k if isinstance(self.rows.k, int) else self.shards.whole(self.rows.k, 0)

    def at(self, problem: Problem) -> "Sharded":
        """As for `Placement`."""
        return replace(self, rows=problem)

    def run(self, work: Work, *arrays: Array, tail: tuple[int, ...] = (), dtype: Any = None) -> Array:
        """As for `Placement`; axes before the batch axes are whole on every process."""
        value = work(self.rows, *arrays)
        return self.shards.whole(value, value.ndim - len(tail) - (self.rows.logits.ndim - 1))

    def draw(
        self, work: Draw, rng: object, sample_shape: tuple[int, ...], tail: tuple[int, ...], dtype: Any = None
    ) -> Array:
        """As for `Placement`."""
        drawn = work(self.rows, self.shards.stream(rng, self.rows.logits), sample_shape)
        return self.shards.whole(drawn, len(sample_shape))

    def local(self, x: Array, name: str) -> Array:
        """As for `Placement`."""
        return self.shards.local(x, name)

    def moments(self) -> Any:
        """As for `Placement`."""
        return self.rows.moments()

    def path(self, name: str) -> "Path | Launch | str":
        """As for `Placement`."""
        return self.rows.path(name)
