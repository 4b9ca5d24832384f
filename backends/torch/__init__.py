"""Adapter for torch tensors."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from math import nan
from typing import TYPE_CHECKING, Any

import array_api_compat.torch as xp
import torch

from ksubset._call.argument_checks import kind, seed_of
from ksubset._call.backend import Backend, Known
from ksubset._engine.ops import Array, Ops
from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset.backends import enter, is_spread
from ksubset.backends.torch import cpu, cuda, dispatch, estimators
from ksubset.backends.torch.autograd import Evaluation, product
from ksubset.backends.torch.autograd import evaluate as autograd_evaluate
from ksubset.backends.torch.compile import draw_compiled, evaluate_compiled
from ksubset.backends.torch.drawn import attached
from ksubset.backends.torch.operations import indices_compiled
from ksubset.backends.torch.ops import is_readable, ops_for
from ksubset.backends.torch.transforms import is_tracked, refuse_derivatives_while_compiling

if TYPE_CHECKING:
    from ksubset.backends._cpu.calls import Path
    from ksubset.backends._cuda.launch import Launch
    from ksubset.backends.torch.distribution import KSubset
    from ksubset.backends.torch.layers import SubsetGate, SubsetSampler


def generator(rng: object, like: torch.Tensor) -> torch.Generator | None:
    """A generator on the device of ``like``; None stands for torch's global one."""
    if rng is None:
        return None
    if torch.compiler.is_exporting():
        raise ValueError(
            "rng must be None under torch.export, whose programs draw from torch's global generator; got one"
        )
    if (seed := seed_of(rng, -(2**63), 2**64 - 1)) is not None:
        rng = torch.Generator(like.device).manual_seed(seed)
    if not isinstance(rng, torch.Generator):
        raise TypeError(f"rng must be a torch.Generator, an int or None; got {kind(rng)}")
    if rng.device.type != like.device.type:
        raise ValueError(f"rng must be on the device of logits, {like.device}; got a generator on {rng.device}")
    return rng


def _value(call: Evaluation, parameters: torch.Tensor, k: torch.Tensor | None, *arrays: torch.Tensor) -> torch.Tensor:
    if call.sampler is not None:
        return call.sampler(call.law, parameters, k, *arrays)
    if torch.compiler.is_compiling():
        return evaluate_compiled(call.function.__name__, call.law, parameters, k, arrays)
    return dispatch.evaluate(call.function, call.law.sized(k), parameters, *arrays, solution=call.solution)


def _draw_by_compiled(
    function: Callable[..., Array], law: Law, parameters: torch.Tensor, sample_shape: tuple[int, ...]
) -> torch.Tensor:
    """In a program that `torch.compile` traces, from torch's global generator."""
    seed = torch.randint(2**63 - 1, (), device=parameters.device)
    call = Evaluation(function, law.static, _value, sampler=partial(draw_compiled, sample_shape))
    return autograd_evaluate(call, parameters, law.counts, seed)


def _product_of(law: Law) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """J · v with its derivatives, as a function of the parameters and v."""

    def differentiate(x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return product(Evaluation(functions.marginals_jvp, law.static, _value), x, law.counts, v)

    return differentiate


class Torch(Backend):
    """Tensors of torch."""

    differentiates = True

    surrogate = staticmethod(estimators.surrogate)
    value_and_gradient = staticmethod(estimators.value_and_gradient)

    def ops(self, x: Array) -> Ops:
        return ops_for(x)

    def namespace(self, x: Array) -> Any:
        if not torch.compiler.is_compiling() and torch._C._is_tracing():
            raise RuntimeError(
                "torch.jit.trace would record the numbers of its example, and give them for every later input: "
                "use torch.compile or torch.export"
            )
        return xp

    def is_array(self, x: object, like: object = None) -> bool:
        """A tensor, but not a DTensor: the adapter gets the rows of this process as a plain tensor."""
        return isinstance(x, torch.Tensor) and not is_spread(x)

    def is_readable(self, x: Array) -> bool:
        """On the CPU with data of its own, neither under `torch.func` nor `torch.compile`, and nothing records it."""
        return is_readable(x)

    def readable(self, x: Array) -> Array:
        """As a view in NumPy, which looks through an array several times faster; where that cannot be, as it is."""
        if torch.compiler.is_compiling():
            raise ValueError("validate=True needs values that can be read; got a tensor that torch.compile traces")
        try:
            return (x.float() if x.dtype == torch.bfloat16 else x).numpy(force=True)  # NumPy has no bfloat16
        except (RuntimeError, TypeError):  # NumPy is not installed
            return x

    def extremes(self, x: Array) -> tuple[float, float]:
        if torch.compiler.is_compiling():
            return nan, nan
        if not x.numel():
            return 0.0, 0.0
        least, most = x.detach().aminmax()
        return least.item(), most.item()

    def same_device(self, x: Array, y: Array) -> bool:
        return bool(x.device == y.device)

    def uniforms(self, rng: object, shape: tuple[int, ...], like: Array) -> Array:
        """From a `torch.Generator`, an int that seeds one, or None for torch's global generator."""
        own: Any = {} if rng is None else {"generator": generator(rng, like)}  # a None forbids symbolic shapes
        return dispatch.signed_uniforms(shape, like, **own)

    def gammas(self, rng: object, concentration: float, shape: tuple[int, ...], like: Array) -> Array:
        return estimators.gammas(generator(rng, like), concentration, shape, like)

    def evaluate(
        self, function: Callable[..., Array], law: Law, parameters: Array, *arrays: Array, solution: Known = None
    ) -> Array:
        wrapped = torch._C._functorch.is_functorch_wrapped_tensor
        if torch.compiler.is_compiling() or any(map(wrapped, (parameters, *arrays))):
            solution = None
        call = Evaluation(function, law.static, _value, solution)
        if function is functions.marginals_jvp:
            if torch.compiler.is_compiling():
                refuse_derivatives_while_compiling()
            return product(call, parameters, law.counts, arrays[0])
        return autograd_evaluate(call, parameters, law.counts, *arrays)

    def at_once(
        self, function: Callable[..., Array], logits: Array, k: int, second: Array | None = None
    ) -> Array | None:
        given = (logits,) if second is None else (logits, second)
        if not cpu.is_plain(*given) or is_tracked(*given) or torch._C._is_tracing():
            return None
        return cpu.at_once(function, k, logits, second)

    def draw_at_once(self, function: Callable[..., Array], logits: Array, k: int, rng: object) -> Array | None:
        if not cpu.is_plain(logits) or torch._C._are_functorch_transforms_active() or torch._C._is_tracing():
            return None
        call = cpu.draw_at_once(logits, k)
        if call is None:
            return None
        law = FixedSize(k, min(k, logits.shape[-1] - k))
        drawn = call(cpu.seed(generator(rng, logits)))
        return attached(_product_of(law), cpu.product, function, law, logits, drawn)

    def moments(self, law: Law, parameters: Array) -> Any:
        if cpu.takes(law, "moments", parameters):
            return cpu.moments(law, parameters)
        with torch.no_grad():
            return cuda.moments(self.ops(parameters), law, parameters)

    def path(self, law: Law, name: str, parameters: torch.Tensor) -> "Path | Launch | str":
        if parameters.device.type == cuda.DEVICE:
            return cuda.path(law, name, parameters)
        return cpu.path(law, name, parameters)

    def draw_indices(
        self, law: Law, parameters: Array, places: int, rng: object, sample_shape: tuple[int, ...]
    ) -> Array | None:
        if torch._C._are_functorch_transforms_active() or not places or not cpu.takes(law, "draw", parameters):
            return None
        return cpu.draw_indices(law, parameters, places, generator(rng, parameters), sample_shape)

    def indices_of(self, z: Array, places: int) -> Array:
        return indices_compiled(z, places) if torch.compiler.is_compiling() else super().indices_of(z, places)

    def draw(
        self,
        function: Callable[..., Array],
        law: Law,
        parameters: Array,
        rng: object,
        sample_shape: tuple[int, ...],
    ) -> Array | None:
        if torch._C._are_functorch_transforms_active():
            return None
        if torch.compiler.is_compiling():
            draws = rng is None and dispatch.may_draw(law, parameters)
            return _draw_by_compiled(function, law, parameters, sample_shape) if draws else None
        if cpu.takes(law, "draw", parameters):
            drawn = cpu.sample(law, parameters, cpu.seed(generator(rng, parameters)), sample_shape)
            return attached(_product_of(law), cpu.product, function, law, parameters, drawn)
        if cuda.draws(law, parameters):
            drawn = cuda.draw(law, parameters, cuda.seed(generator(rng, parameters), parameters), sample_shape)
            return attached(_product_of(law), cuda.product, function, law, parameters, drawn)
        return None

    def draw_with_marginals(
        self, law: Law, parameters: Array, rng: object, sample_shape: tuple[int, ...]
    ) -> tuple[Array, Array] | None:
        """Where CUDA kernels do both; the gradient of the marginals starts from the λ of the draws."""
        if torch._C._are_functorch_transforms_active() or not cuda.suits(law, parameters):
            return None
        seed = cuda.seed(generator(rng, parameters), parameters)
        z, tilts, mean = cuda.draw_with_marginals(law, parameters, seed, sample_shape)
        product = _product_of(law)
        return z, attached(product, cuda.product, functions.rsample, law, parameters, (mean, tilts))


ADAPTER = Torch()
enter("torch", ADAPTER, torch.Tensor, torch.nn.Parameter)

__all__ = ["KSubset", "SubsetGate", "SubsetSampler"]


def __getattr__(name: str) -> Any:
    """A public class, imported when first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "distribution" if name == "KSubset" else "layers"
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return __all__
