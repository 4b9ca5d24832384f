"""Derivatives that torch takes within a program that it compiles, and of one."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from conftest import Target
from derivatives import LOGITS

import ksubset

pytestmark = [
    pytest.mark.backends("torch"),
    pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning"),  # Dynamo's, of frames it compiles alone
]


def marginal_sum(x: Any) -> Any:
    return (ksubset.marginals(x, 3) * x.new_tensor([1.0, 2.0, -1.0, 0.5, 3.0, -2.0, 0.3])).sum()


def entropy_of_up_to_three(x: Any) -> Any:
    return ksubset.entropy(x, ksubset.at_most(3))


def gradient(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    import torch

    return torch.func.grad(function)


def second(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    import torch

    return torch.func.grad(lambda x: (torch.func.grad(function)(x) ** 2).sum())


def forward(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    import torch

    return lambda x: torch.func.jvp(function, (x,), (x + 1,))[1]


def forward_over_reverse(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return forward(gradient(function))


def mapped(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    import torch

    return lambda x: torch.func.vmap(gradient(function))(torch.stack([x, x + 1, -x]))


def dual(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    import torch.autograd.forward_ad as fwad

    def tangent(x: Any) -> Any:
        with fwad.dual_level():
            return fwad.unpack_dual(function(fwad.make_dual(x, x + 1))).tangent

    return tangent


TRANSFORMS = (gradient, second, forward, forward_over_reverse, mapped, dual)
NESTED = (second, forward_over_reverse, mapped)
"""Dynamo itself may fail where a program that it compiled is called within two levels of `torch.func`."""


@pytest.mark.parametrize("function", [marginal_sum, entropy_of_up_to_three])
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("inside", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_against_eager(target: Target, transform: Any, function: Callable[[Any], Any], inside: bool) -> None:
    """Right, or where torch cannot do it an error: forward derivatives were 0 without a word."""
    import torch

    torch._dynamo.reset()
    compiled = partial(torch.compile, backend="eager" if not inside else "aot_eager")
    x = target.array(LOGITS[12])
    call = compiled(transform(function)) if inside else transform(compiled(function))
    try:
        found = call(x)
    except (torch._dynamo.exc.TorchDynamoException, AssertionError):
        assert transform in NESTED
        assert not inside
        return
    torch.testing.assert_close(found, transform(function)(x), rtol=1e-11, atol=1e-12)


def test_what_cannot_be_traced_says_so(target: Target) -> None:
    import torch

    torch._dynamo.reset()
    whole = torch.compile(forward(marginal_sum), backend="eager", fullgraph=True)
    with pytest.raises(Exception, match="takes one derivative"):
        whole(target.array(LOGITS[12]))
