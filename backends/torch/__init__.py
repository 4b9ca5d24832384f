"""Adapter for torch tensors."""

from collections.abc import Callable
from functools import partial
from math import nan
from typing import TYPE_CHECKING, Any

import array_api_compat.torch as xp
import torch

from ksubset._call.arguments import kind, seed_of
from ksubset._call.backend import Backend, Known
from ksubset._engine.inference import Solution
from ksubset._engine.ops import Array, Ops, choose_needed, repeat_until_settled
from ksubset._engine.potential.mixture import Mixture
from ksubset._law import functions, weighted
from ksubset._law.derivatives import PRODUCTS
from ksubset.backends import KNOWN, is_spread
from ksubset.backends.torch import cpu, cuda, estimators
from ksubset.backends.torch.autograd import Call, product
from ksubset.backends.torch.autograd import evaluate as autograd_evaluate
from ksubset.backends.torch.compile import evaluate_compiled

if TYPE_CHECKING:
    from ksubset.backends._cpu.calls import Path
    from ksubset.backends._cuda.geometry import Launch


def _matmul(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A matrix product whatever precision the user allows torch elsewhere: no TF32, no bfloat16, no autocast."""
    if x.dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest":
        return (x[..., :, :, None] * y[..., None, :, :]).sum(-2)
    with torch.autocast(x.device.type, enabled=False):
        return torch.matmul(x, y)


def _sort(x: torch.Tensor) -> torch.Tensor:
    return torch.sort(x, dim=-1).values


def _sort_on_cpu(x: torch.Tensor) -> torch.Tensor:
    """NumPy sorts short rows up to twenty times faster, and shares torch's memory."""
    try:
        import numpy as np
    except ImportError:
        return _sort(x)
    return torch.from_numpy(np.sort(x.numpy(force=True), axis=-1))


EAGER = Ops(
    xp,
    _matmul,
    _sort_on_cpu,
    repeat_until_settled(torch),
    choose=choose_needed(torch),
    join=torch.complex,
    item_sums=partial(torch.sum, dim=0),
    stop_gradient=torch.Tensor.detach,
    sweeps=True,
    eager_on_cpu=True,
)
LAZY = Ops(
    xp, _matmul, _sort, join=torch.complex, item_sums=partial(torch.sum, dim=0), stop_gradient=torch.Tensor.detach
)


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


def _value(call: Call, logits: torch.Tensor, k: torch.Tensor | None, *arrays: torch.Tensor) -> torch.Tensor:
    if torch.compiler.is_compiling():
        compiled: torch.Tensor = evaluate_compiled(call.name, call.size, call.width, logits, k, arrays)
        return compiled
    count = call.size if k is None else k
    if call.sampler is not None:
        return call.sampler(logits, count)
    if cpu.takes(call.name, logits, count, call.width, *arrays):
        if call.function in functions.SOLVING or call.function in weighted.SOLVING:
            known = _known(call, logits, count, *arrays)
            result: torch.Tensor = call.function(ADAPTER.ops(logits), logits, count, call.width, *arrays, **known)
            return result.to(logits.dtype)
        if call.solution is None:
            return cpu.evaluate(call.name, logits, count, call.width, *arrays)
    return cuda.evaluate(ADAPTER.ops(logits), call.function, logits, count, call.width, *arrays, solution=call.solution)


def _known(call: Call, logits: torch.Tensor, k: int | torch.Tensor, *arrays: torch.Tensor) -> dict[str, Any]:
    """The solution from which array code starts, found by a kernel."""
    if call.function in weighted.SOLVING:
        solve_weighted = partial(cpu.solve_weighted, low=call.size, high=call.width)
        return dict(weighted.solutions(call.function, solve_weighted, logits, *arrays, solution=call.solution))
    solve = partial(cpu.solve, k=k)
    return dict(functions.solutions(call.function, solve, logits, *arrays, solution=call.solution))


def _draw_on_cuda(
    function: Callable[..., Array],
    logits: torch.Tensor,
    k: int | torch.Tensor,
    width: int,
    rng: object,
    sample_shape: tuple[int, ...],
) -> torch.Tensor | None:
    if not cuda.suits(logits, k, width):
        return None
    size, counts = (k, None) if isinstance(k, int) else (-1, k)
    seed = cuda.seed(generator(rng, logits), logits)
    sampler = partial(cuda.draw, LAZY, width=width, seed=seed, sample_shape=sample_shape)
    return autograd_evaluate(Call(function.__name__, size, width, _value, sampler=sampler), logits, counts)


class Torch(Backend):
    """Tensors of torch."""

    differentiates = True

    surrogate = staticmethod(estimators.surrogate)
    value_and_gradient = staticmethod(estimators.value_and_gradient)

    def ops(self, x: Array) -> Ops:
        return EAGER if self.is_readable(x) else LAZY

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
        if not x.is_cpu or torch.compiler.is_compiling() or cpu.is_recorded():
            return False
        if type(x).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:  # a fake tensor, or one made of others
            return False
        return not torch._C._functorch.is_functorch_wrapped_tensor(x)

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
        u = torch.rand(shape, dtype=torch.float64, device=like.device, **own)
        return (u - (u >= 0.5).to(u.dtype)).to(like.dtype)

    def gammas(self, rng: object, concentration: float, shape: tuple[int, ...], like: Array) -> Array:
        return estimators.gammas(generator(rng, like), concentration, shape, like)

    def evaluate(
        self,
        function: Callable[..., Array],
        logits: Array,
        k: int | Array,
        width: int,
        *arrays: Array,
        solution: Known,
    ) -> Array:
        size, counts = (k, None) if isinstance(k, int) else (-1, k)
        known = solution
        if torch.compiler.is_compiling() or any(
            map(torch._C._functorch.is_functorch_wrapped_tensor, (logits, *arrays))
        ):
            known = None
        call = Call(function.__name__, size, width, _value, known)
        if function in PRODUCTS:
            return product(call, logits, counts, arrays[0])
        return autograd_evaluate(call, logits, counts, *arrays)

    def solve(self, logits: Array, k: int | Array, width: int) -> Solution:
        if cpu.takes("solve", logits, k, width):
            return cpu.solve(logits, k)
        with torch.no_grad():
            return cuda.solve(self.ops(logits), logits, k, width)

    def solve_weighted(self, logits: Array, low: int, high: int) -> Mixture:
        if cpu.takes("weighted_solve", logits, low, high):
            return cpu.solve_weighted(logits, low=low, high=high)
        with torch.no_grad():
            return weighted.solve(self.ops(logits), logits, low, high)

    def path(self, name: str, logits: torch.Tensor, width: int) -> "Path | Launch | str":
        if logits.device.type == cuda.DEVICE:
            return cuda.path(name, logits, width)
        return cpu.path(name, logits, width)

    def draw(
        self,
        function: Callable[..., Array],
        logits: Array,
        k: int | Array,
        width: int,
        rng: object,
        sample_shape: tuple[int, ...],
    ) -> Array | None:
        if torch._C._are_functorch_transforms_active():
            return None
        if not cpu.takes("draw", logits, k, width):
            return _draw_on_cuda(function, logits, k, width, rng, sample_shape)

        def differentiate(x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            size, counts = (k, None) if isinstance(k, int) else (-1, k)
            return product(Call("marginals_jvp", size, width, _value), x, counts, v)

        return cpu.draw(differentiate, function, logits, k, width, generator(rng, logits), sample_shape)

    def draw_weighted(
        self, logits: Array, low: int, high: int, rng: object, sample_shape: tuple[int, ...]
    ) -> Array | None:
        if torch._C._are_functorch_transforms_active() or not cpu.takes("weighted_draw", logits, low, high):
            return None
        return cpu.draw_weighted(logits, low, high, generator(rng, logits), sample_shape)


ADAPTER = Torch()
KNOWN[torch.Tensor] = KNOWN[torch.nn.Parameter] = ADAPTER


def __getattr__(name: str) -> object:
    """`KSubset` and `SubsetSampler`, imported when first asked for."""
    if name in ("KSubset", "SubsetSampler"):
        from ksubset.backends.torch import distribution

        return getattr(distribution, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
