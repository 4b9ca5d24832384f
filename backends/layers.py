"""What the layers of torch and Flax share: how they choose subsets, and the checks of their arguments."""

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

import ksubset
from ksubset import backends
from ksubset._call.argument_checks import as_int, kind
from ksubset._call.size_checks import check_int
from ksubset._engine.ops import Array

Estimator = Callable[..., Any]
EVALUATIONS = ("mode", "marginals")


class Choosing:
    """The options of a layer, which are plain attributes, and what it does with logits."""

    k: Any
    evaluate: str
    estimator: Estimator | None
    sample_shape: tuple[int, ...]
    max_k: int | None
    validate: bool | None

    def _set_options(
        self,
        k: Any,
        evaluate: str,
        estimator: Estimator | None,
        sample_shape: tuple[int, ...],
        max_k: int | None,
        validate: bool | None,
    ) -> None:
        if evaluate not in EVALUATIONS:
            raise ValueError(f"evaluate must be 'mode' or 'marginals'; got {evaluate!r}")
        self.k, self.evaluate, self.sample_shape = k, evaluate, sample_shape
        self.estimator, self.max_k, self.validate = estimator, max_k, validate
        if estimator is not None:
            _check_estimator(estimator, self._bounds())

    def _bounds(self) -> dict[str, Any]:
        """The arguments that every function of the distribution takes; estimators need not take them."""
        given = {"max_k": self.max_k, "validate": self.validate}
        return {name: value for name, value in given.items() if value is not None}

    def _draw(self, logits: Array, k: Any, sample_shape: tuple[int, ...] | None, rng: object) -> Any:
        estimator = ksubset.rsample if self.estimator is None else self.estimator
        shape = self.sample_shape if sample_shape is None else sample_shape
        return estimator(logits, self._size(k), rng=rng, sample_shape=shape, **self._bounds())

    def _settle(self, logits: Array, k: Any = None, evaluate: str | None = None) -> Any:
        """The mode or the marginals, by default what the layer gives in evaluation."""
        function = ksubset.mode if (evaluate or self.evaluate) == "mode" else ksubset.marginals
        return function(logits, self._size(k), **self._bounds())

    def _described(self) -> str:
        """Arguments for a repr: k, evaluate, and what is not as by default."""
        rest = {"sample_shape": self.sample_shape or None, **self._bounds()}
        shown = [f"k={self.k}", f"evaluate={self.evaluate!r}"]
        shown += [] if self.estimator is None else [f"estimator={_name(self.estimator)}"]
        return ", ".join(shown + [f"{name}={value}" for name, value in rest.items() if value is not None])

    def _size(self, k: Any) -> Any:
        k = self.k if k is None else k
        if k is None:
            raise TypeError("k must be given to the layer or to the call; got None for both")
        return k


def _name(function: Any) -> str:
    if not isinstance(function, partial):
        return str(getattr(function, "__name__", function))
    bound = [*map(str, function.args), *(f"{name}={value}" for name, value in function.keywords.items())]
    return f"partial({', '.join([_name(function.func), *bound])})"


def _check_estimator(estimator: object, bounds: dict[str, Any]) -> None:
    if not callable(estimator):
        raise TypeError(f"estimator must be a function of ksubset.estimators, or one like it; got {kind(estimator)}")
    try:
        signature(estimator).bind(None, None, rng=None, sample_shape=(), **bounds)
    except TypeError as error:
        called = ", ".join(("logits, k, *, rng, sample_shape", *bounds))
        raise TypeError(
            f"estimator must take ({called}), and its other arguments by functools.partial; here: {error}"
        ) from None


def check_size(n: int, k: Any) -> None:
    """Check an int k of a gate when it is made; other sizes need the logits."""
    if isinstance(k, ksubset.Cardinality) or hasattr(k, "shape"):
        return
    check_int(as_int(k, "k"), n)


def rows_of(x: Array, logits: Array, per_row: bool) -> tuple[int, ...]:
    """The shape of the draws that a gate with these logits makes for an input."""
    shape, backend = tuple(logits.shape), backends.find(logits, "logits")
    if not (backend.is_array(x) or backends.is_spread(x)):
        raise TypeError(f"x must be an array of the layer's framework; got {kind(x)}: convert it")
    given = tuple(x.shape)
    extra = len(given) - len(shape)
    if extra < 0 or given[extra:] != shape:
        raise ValueError(f"x must have shape (..., {', '.join(map(str, shape))}), like the logits; got {given}")
    return given[:extra] if per_row else ()
