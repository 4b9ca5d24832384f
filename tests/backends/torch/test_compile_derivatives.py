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


OTHER = [0.3, -1.0, 2.0, 0.5, 0.0, -0.7, 1.1]
SUBSETS = [[1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]]
FUNCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "log_prob": lambda x, _, z: ksubset.log_prob(x, 3, z),
    "log_prob of a potential": lambda x, _, z: ksubset.log_prob(x, ksubset.at_most(4), z),
    "kl_divergence from it": lambda x, other, _: ksubset.kl_divergence(x, other, 3),
    "kl_divergence to it": lambda x, other, _: ksubset.kl_divergence(other, x, 3),
    "a size in a tensor": lambda x, other, _: ksubset.marginals(x, other.argmax()) * other,
    "entropy of such a size": lambda x, other, _: ksubset.entropy(x, other.argmax()),
    "marginals_jvp": lambda x, other, _: ksubset.marginals_jvp(x, 3, other) ** 2,
    "marginals_jvp along itself": lambda x, *_: ksubset.marginals_jvp(x, 3, 2 * x) ** 2,
    "marginals_jvp along it": lambda x, other, _: ksubset.marginals_jvp(other, 3, x) ** 2,
    "marginals_jvp of a potential": lambda x, other, _: ksubset.marginals_jvp(x, ksubset.at_most(4), other) ** 2,
    "covariance": lambda x, other, _: ksubset.covariance(x, 3) * other,
    "variance": lambda x, other, _: ksubset.KSubset(x, 3).variance * other,
    "logits_from_marginals": lambda x, *_: ksubset.logits_from_marginals(ksubset.marginals(x, 3), 3) ** 2,
    "count_log_cdf": lambda x, *_: ksubset.count_log_cdf(x)[..., 3],
    "log_prob_count": lambda x, *_: ksubset.log_prob_count(x, 3),
    "kl_to_uniform": lambda x, *_: ksubset.kl_to_uniform(x, 3),
}


SHORT = ("log_prob", "kl_divergence to it", "marginals_jvp along itself")
"""Dynamo traces each for seconds; the others are left to ``slow``."""


@pytest.mark.parametrize(
    "name", [name if name in SHORT else pytest.param(name, marks=pytest.mark.slow) for name in FUNCTIONS]
)
def test_one_derivative_of_every_function_in_a_program(target: Target, name: str) -> None:
    """Beside tensors that are not derived, which torch's operations refuse at another level than the others'."""
    import torch

    torch._dynamo.reset()
    x, other, z = target.array(LOGITS[12]), target.array(OTHER), target.array(SUBSETS)

    def summed(x: Any) -> Any:
        return FUNCTIONS[name](x, other, z).sum()

    found = torch.compile(lambda x: torch.func.grad(summed)(x), backend="aot_eager")(x)
    torch.testing.assert_close(found, torch.func.grad(summed)(x), rtol=1e-11, atol=1e-12)


def test_a_sample_in_a_program_has_its_gradient(target: Target) -> None:
    import torch

    torch._dynamo.reset()
    x, weights = target.array(LOGITS[12]), target.array(OTHER)

    def drawn(x: Any) -> Any:
        return (ksubset.rsample(x, 3) * weights).sum()

    def expected(x: Any) -> Any:
        return (ksubset.marginals(x, 3) * weights).sum()

    found = torch.compile(lambda x: torch.func.grad(drawn)(x), backend="aot_eager")(x)
    torch.testing.assert_close(found, torch.func.grad(expected)(x), rtol=1e-11, atol=1e-12)


def test_what_cannot_be_traced_says_so(target: Target) -> None:
    import torch

    torch._dynamo.reset()
    whole = torch.compile(forward(marginal_sum), backend="eager", fullgraph=True)
    with pytest.raises(Exception, match="takes one derivative"):
        whole(target.array(LOGITS[12]))
    torch._dynamo.reset()
    product = gradient(lambda x: ksubset.marginals_jvp(x, 3, 2 * x).square().sum())
    with pytest.raises(Exception, match="marginals_jvp is one"):
        torch.compile(lambda x: product(x), backend="eager", fullgraph=True)(target.array(LOGITS[12]))
