"""A validated call on rows that are whole on this process: convert, evaluate, convert back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from ksubset._call.argument_checks import check_floating, check_framework, check_shape
from ksubset._call.backend import Backend, Known
from ksubset._call.placement import Draw, Placement, Work
from ksubset._call.value_checks import check_values
from ksubset._engine.arrays import broadcast_shapes, device
from ksubset._engine.ops import Array
from ksubset._law import functions
from ksubset._law.law import Law

if TYPE_CHECKING:
    from ksubset._law.fixed_size import FixedSize
    from ksubset.backends._cpu.calls import Path
    from ksubset.backends._cuda.launch import Launch


@dataclass
class Problem(Placement["Problem"]):
    """A validated call on rows that are whole.

    Attributes
    ----------
    backend, xp
        The adapter and the namespace of the logits.
    logits
        (..., n), in the dtype of the computation: float32 for the half-precision dtypes.
    law
        The law of the subsets, whose parameters are these logits.
    dtype
        The dtype of the results.
    validates
        Whether the values of arrays are checked: where they can be read at no cost, or wherever they are.
    """

    backend: Backend
    xp: Any
    logits: Array
    law: Law
    dtype: Any
    validates: bool
    validates_anywhere: bool

    @property
    def problem(self) -> "Problem":
        """The problem itself: its rows are whole."""
        return self

    def at(self, problem: "Problem") -> "Problem":
        """The other problem itself."""
        return problem

    def run(self, work: Work, *arrays: Array, tail: tuple[int, ...] = (), dtype: Any = None) -> Array:
        """As for `Placement`."""
        return work(self, *arrays)

    def draw(
        self, work: Draw, rng: object, sample_shape: tuple[int, ...], tail: tuple[int, ...], dtype: Any = None
    ) -> Array:
        """As for `Placement`."""
        return work(self, rng, sample_shape)

    def local(self, x: Array, name: str) -> Array:
        """The array itself."""
        return x

    def value(self, function: Callable[..., Any], *arrays: Array, solution: Known = None) -> Array:
        """Apply one of ``ksubset._law.functions`` to these rows and give the result the dtype that was asked for."""
        return self.cast(self.backend.evaluate(function, self.law, self.parameters, *arrays, solution=solution))

    @property
    def parameters(self) -> Array:
        """The parameters of the law."""
        return self.logits

    @property
    def k(self) -> int | Array:
        """The size of the subsets: an int, or integers of the batch shape."""
        return cast("FixedSize", self.law).k

    def cast(self, value: Array) -> Array:
        """A result in the dtype of the results."""
        if value.dtype == self.dtype:
            return value
        return self.backend.astype(value, self.dtype)

    def moments(self) -> Any:
        """The moments that several functions share, without gradients."""
        return self.backend.moments(self.law, self.parameters)

    def checks(self, x: Array) -> bool:
        """Whether the values of a second array are checked."""
        return self.validates and (self.validates_anywhere or self.backend.is_readable(x))

    def path(self, name: str) -> "Path | Launch | str":
        """The kernel that computes the function of that name, or why the core does."""
        return self.backend.path(self.law, name, self.parameters)

    def matching(self, x: Array, name: str) -> Array:
        """Check a second array (..., n)."""
        check_framework(x, name, self.logits, self.backend)
        check_shape(x, name, tuple(self.logits.shape), exact=True)
        return x

    @property
    def uniforms_per_row(self) -> int:
        """How many uniforms the sampler takes for a row."""
        return self.law.uniforms(int(self.logits.shape[-1]))

    def uniforms(self, rng: object, sample_shape: tuple[int, ...]) -> Array:
        """The uniforms for draws from these rows."""
        return self.backend.uniforms(rng, (*sample_shape, *self.logits.shape[:-1], self.uniforms_per_row), self.logits)

    def each_item(self) -> "Problem":
        """The same problem with a batch axis of size one added last, along which n directions can be batched."""
        counts = self.law.counts
        law = self.law if counts is None else self.law.sized(counts[..., None])
        return replace(self, logits=self.logits[..., None, :], law=law)

    def beside(self, other: Array) -> tuple["Problem", Array]:
        """Check other logits, and bring them to the dtype of these and to a shape for which k serves both."""
        other = self.matching(other, "other")
        check_floating(other, "other", self.xp)
        problem, other = self.promoted(other)
        if problem.law.counts is not None:
            shape = broadcast_shapes(tuple(problem.logits.shape), tuple(other.shape))
            other = problem.xp.broadcast_to(other, shape)
        if problem.checks(other):
            problem.check_values(other, "other")
        return problem, other

    def check_values(self, logits: Array, name: str = "logits") -> None:
        """Raise if the values of these logits, or k, admit no subset."""
        check_values(logits, self.k, self.backend, name)

    def sampled(self, function: Callable[..., Array], rng: object, sample_shape: tuple[int, ...]) -> Array:
        """`sample` or `rsample`: directly where the adapter can, else by uniforms."""
        z = self.backend.draw(function, self.law, self.parameters, rng, sample_shape)
        if z is not None:
            return self.cast(z)
        return self.value(function, self.uniforms(rng, sample_shape))

    def sampled_with_marginals(self, rng: object, sample_shape: tuple[int, ...]) -> tuple[Array, Array] | None:
        """Samples without a derivative, and marginals with theirs, where the adapter finds both at once."""
        found = self.backend.draw_with_marginals(self.law, self.parameters, rng, sample_shape)
        return found and (self.cast(found[0]), self.cast(found[1]))

    def attached(self, z: Array, mean: Array) -> Array:
        """Subsets with the derivative of their mean."""
        change = mean - self.backend.ops(mean).stop_gradient(mean)
        return z + self.xp.broadcast_to(change, tuple(z.shape))

    def sampled_indices(self, places: int, rng: object, sample_shape: tuple[int, ...]) -> Array:
        """The items of samples, sample_shape + (..., places): directly where the adapter can."""
        found = self.backend.draw_indices(self.law, self.parameters, places, rng, sample_shape)
        if found is not None:
            return found
        return self.backend.indices_of(self.sampled(functions.sample, rng, sample_shape), places)

    def giving(self, dtype: object) -> "Problem":
        """The same problem with results in a dtype, computed in the wider of it and the dtype of the logits."""
        try:
            like = self.xp.zeros((), dtype=dtype, device=device(self.logits))
        except (TypeError, ValueError) as error:
            raise TypeError(f"dtype must be a real floating dtype of the logits' framework; got {dtype!r}") from error
        check_floating(like, "the result", self.xp)
        return replace(self.promoted(like)[0], dtype=like.dtype)

    def promoted(self, other: Array) -> tuple["Problem", Array]:
        """Bring the logits and another array to a common dtype."""
        if other.dtype == self.logits.dtype == self.dtype:
            return self, other
        xp, dtype = self.xp, self.dtype
        if xp.isdtype(other.dtype, "real floating"):
            dtype = wider(xp, dtype, other.dtype)
        compute = computing_dtype(xp, dtype)
        logits = xp.astype(self.logits, compute, copy=False)
        return replace(self, logits=logits, dtype=dtype), xp.astype(other, compute, copy=False)


P = ParamSpec("P")
R = TypeVar("R")


def by_own_settings(function: Callable[Concatenate[Problem, P], R]) -> Callable[Concatenate[Problem, P], R]:
    """Shield a function of a problem from the user's framework settings, and silence NumPy's warnings."""

    @wraps(function)
    def wrapped(problem: Problem, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return problem.backend.by_own_settings(function)(problem, *args, **kwargs)

    return wrapped


def wider(xp: Any, dtype: Any, other: Any) -> Any:
    """The dtype to which floats of two are promoted; float32 for float16 beside bfloat16.

    No framework's promotion is used, because `torch.compile` does not follow torch's own promotion of half precision.
    """
    bits, others = xp.finfo(dtype).bits, xp.finfo(other).bits
    if bits == others:
        return dtype if dtype == other else xp.float32
    return dtype if bits > others else other


def computing_dtype(xp: Any, dtype: Any) -> Any:
    """float32 for float16 and bfloat16, else the dtype itself."""
    return dtype if dtype in (xp.float32, xp.float64) else xp.float32


def real(problem: Problem, z: Array) -> Array:
    """Check subsets (..., n) given by the caller, which may have any real dtype, but not their values."""
    z, xp = problem.matching(z, "z"), problem.xp
    if not xp.isdtype(z.dtype, ("bool", "integral", "real floating")):
        raise TypeError(f"z must have a real dtype; got {z.dtype}")
    return z
