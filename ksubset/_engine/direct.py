"""The contour node by node, by the factors f_i = 1 + p_i (e^iφ − 1) themselves: right for any variance."""

from dataclasses import dataclass

from ksubset._engine.factors import product_at_each
from ksubset._engine.items import Items, Totals
from ksubset._engine.nodes import Nodes, at_each, total_of_each
from ksubset._engine.ops import Array, Ops
from ksubset._engine.summation import item_sums


@dataclass(frozen=True)
class Direct:
    """The factors of the items ``x`` at ``nodes``; phases are counted from the number of likely items."""

    ops: Ops
    x: Items
    totals: Totals
    nodes: Nodes

    @property
    def offset(self) -> Array:
        """The count from which phases are counted, less k: (...)."""
        return self.totals.ahead

    def characteristic(self) -> Array:
        """F e^−icφ, c the count from which phases are counted: (nodes, ...)."""
        return product_at_each(self.ops, self.x, self.nodes)

    def log_derivative(self, push: Array) -> Array:
        """d log F along p + ``push``, (nodes, ...)."""

        def at(floor: Array) -> tuple[Array, ...]:
            part = push * self._inverse(floor)
            return item_sums(self.ops, part * self.x.lean), item_sums(self.ops, part)

        re, im = at_each(self.ops, at, (self._floor,))
        return self.ops.join(self.nodes.fall * re, self.nodes.sine * im)

    def deviation(self, weights: Array) -> Array:
        """Σ Re(c u/f_i) over the nodes, u = e^iφ − 1 and c the ``weights``: (n, ...)."""

        def at(floor: Array, re: Array, im: Array) -> tuple[Array, ...]:
            return ((self.x.lean * re - im) * self._inverse(floor),)

        nodes, xp = self.nodes, self.ops.xp
        given = self._floor, xp.real(weights) * nodes.fall, xp.imag(weights) * nodes.sine
        return total_of_each(self.ops, at, given, (xp.zeros_like(self.x.lean),))[0]

    def deviation_and_derivative(self, weights: Array, change: Array, push: Array) -> tuple[Array, Array]:
        """`deviation`, and its derivative along p + ``push`` with the ``change`` of the weights: (n, ...) both.

        The item's own push is taken from the change before both are multiplied: near φ = π either may be large.
        """

        def at(floor: Array, fall: Array, sine: Array, *given: Array) -> tuple[Array, Array]:
            (re, im, dre, dim), inverse = given, self._inverse(floor)
            a, b = self.x.lean * fall * inverse, sine * inverse
            value, other = re * a - im * b, re * b + im * a
            return value, a * (dre - push * value) - b * (dim - push * other)

        xp, none = self.ops.xp, self.ops.xp.zeros_like(self.x.lean)
        parts = xp.real(weights), xp.imag(weights), xp.real(change), xp.imag(change)
        given = self._floor, self.nodes.fall, self.nodes.sine, *parts
        value, derivative = total_of_each(self.ops, at, given, (none, none))
        return value, derivative

    def _inverse(self, floor: Array) -> Array:
        """1/|f|², |f|² = (q − p)² + 4pq cos²(φ/2), of one sign; u/f = ((q − p)(cos φ − 1) + i sin φ)/|f|²."""
        return 1 / (self.x.lean * self.x.lean + 4 * self.x.spread * floor)

    @property
    def _floor(self) -> Array:
        """cos²(φ/2), (nodes, ...)."""
        return self.nodes.half_cosine * self.nodes.half_cosine
