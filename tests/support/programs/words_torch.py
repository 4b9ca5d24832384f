"""Programs in torch."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from torch import func
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from programs.execute import COMMON, Arguments, Stage, variable
from programs.grammar import MAPS, Program
from programs.rows import UNBATCHED


@contextmanager
def settings(program: Program) -> Iterator[None]:
    torch.set_num_threads(1)
    torch.manual_seed(program.seed)
    before = os.environ.get("KSUBSET_FAST")
    os.environ["KSUBSET_FAST"] = str(int(program.fast))
    yield
    if before is not None:
        os.environ["KSUBSET_FAST"] = before


def arguments(program: Program, arrays: dict[str, np.ndarray]) -> Arguments:
    dtype = getattr(torch, program.dtype)
    made = {name: torch.from_numpy(np.array(x)) for name, x in arrays.items()}
    made = {name: x.to(dtype) if x.is_floating_point() else x for name, x in made.items()}
    for name in {"logits", variable(program)}:
        made[name] = laid_out(made[name], program.layout)
    return made


def laid_out(x: torch.Tensor, layout: str) -> torch.Tensor:
    """The same values elsewhere in memory; of an expanded tensor all rows are the first."""
    if layout == "transposed":
        return x.transpose(-1, -2).contiguous().transpose(-1, -2)
    if layout == "strided":
        return x.repeat_interleave(2, dim=-1)[..., ::2]
    if layout == "offset":
        return torch.cat([x.new_zeros(3), x.reshape(-1)])[3:].reshape(x.shape)
    if layout == "expanded" and x.ndim > 1 and x.numel():
        return x.reshape(-1, x.shape[-1])[0].expand(x.shape)
    return x


def rng(program: Program, args: Arguments) -> object:
    """None where torch follows its global generator alone."""
    if program.way == "distribution" or {"compile", "checkpoint", *MAPS} & set(program.transforms):
        return None
    return (None, program.seed, torch.Generator().manual_seed(program.seed))[program.seed % 3]


def distribution(program: Program) -> Any:
    from functools import partial

    from ksubset.backends.torch import KSubset

    traced = {"compile", *MAPS} & set(program.transforms)
    return partial(KSubset, validate_args=False if traced else None)


def to_numpy(x: Any) -> np.ndarray:
    return x if isinstance(x, np.ndarray) else x.detach().to(torch.float64).numpy()


def of_variable(stage: Stage, program: Program, args: Arguments) -> Callable[[torch.Tensor], torch.Tensor]:
    name = variable(program)
    return lambda x: stage({**args, name: x})


def derivative(apply: Callable[..., torch.Tensor]) -> Callable[[Stage, Program, int], Stage]:
    """Of a way to differentiate a function at a point along a direction."""

    def around(stage: Stage, program: Program, place: int) -> Stage:
        def of(args: Arguments) -> torch.Tensor:
            direction = args.get(f"g{place}", args.get(f"v{place}"))
            return apply(of_variable(stage, program, args), args[variable(program)], direction)

        return of

    return around


def backward(f: Callable[..., torch.Tensor], x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    leaf = x.detach().requires_grad_()
    f(leaf).backward(g)
    return leaf.grad


def forward(f: Callable[..., torch.Tensor], x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(f(forward_ad.make_dual(x, v))).tangent


def mapped(axis: int) -> Callable[[Stage, Program, int], Stage]:
    def around(stage: Stage, program: Program, place: int) -> Stage:
        def of(args: Arguments) -> torch.Tensor:
            dims = {name: None if name in UNBATCHED else 0 for name in args} | {"logits": axis}
            moved = {**args, "logits": args["logits"].movedim(0, axis)}
            return func.vmap(stage, in_dims=(dims,), randomness="different")(moved)

        return of

    return around


def compiled(stage: Stage, program: Program, place: int) -> Stage:
    """Called with twice the rows first."""

    def of(args: Arguments) -> torch.Tensor:
        torch._dynamo.reset()
        backend = ("eager", "aot_eager")[program.seed % 2]
        program_code = torch.compile(stage, fullgraph=True, backend=backend)
        if program.batch:
            program_code({n: x if n in UNBATCHED else torch.cat([x, x]) for n, x in args.items()})
        return program_code(args)

    return of


def checkpointed(stage: Stage, program: Program, place: int) -> Stage:
    def of(args: Arguments) -> torch.Tensor:
        return checkpoint(
            of_variable(stage, program, args), args[variable(program)], use_reentrant=program.seed % 2 > 0
        )

    return of


def within(context: Callable[[], AbstractContextManager[Any]]) -> Callable[[Stage, Program, int], Stage]:
    def around(stage: Stage, program: Program, place: int) -> Stage:
        def of(args: Arguments) -> torch.Tensor:
            with context():
                return stage(args)

        return of

    return around


def forked(stage: Stage, program: Program, place: int) -> Stage:
    def of(args: Arguments) -> np.ndarray:
        context = get_context("fork")
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=lambda: theirs.send(to_numpy(stage(args))))
        child.start()
        theirs.close()
        try:
            return ours.recv() if ours.poll(60) else failed(child)
        finally:
            child.join(10)

    return of


def failed(child: Any) -> np.ndarray:
    child.terminate()
    raise AssertionError("a forked child gave no answer within a minute")


TRANSFORMS = {
    **COMMON,
    "grad": derivative(lambda f, x, g: func.grad(lambda x: (f(x) * g).sum())(x)),
    "vjp": derivative(lambda f, x, g: func.vjp(f, x)[1](g)[0]),
    "backward": derivative(backward),
    "jvp": derivative(lambda f, x, v: func.jvp(f, (x,), (v,))[1]),
    "forward": derivative(forward),
    "jacrev": derivative(lambda f, x, _: func.jacrev(f)(x)),
    "jacfwd": derivative(lambda f, x, _: func.jacfwd(f, randomness="different")(x)),
    "vmap": mapped(0),
    "vmap of the second axis": mapped(1),
    "compile": compiled,
    "checkpoint": checkpointed,
    "autocast": within(lambda: torch.autocast("cpu", dtype=torch.bfloat16)),
    "no_grad": within(torch.no_grad),
    "inference_mode": within(torch.inference_mode),
    "fork": forked,
}
