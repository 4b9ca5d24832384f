"""Gradients of compiled programs with the tensors that are given to them, which their operations carry."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Target
from derivatives import LOGITS

import ksubset

pytestmark = pytest.mark.backends("torch")

V = [0.3, -1.0, 2.0, 0.5, 0.0, -0.7, 1.1]
Z = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0]
FUNCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "marginals": lambda x, v, _: ksubset.marginals(x, 3) * v,
    "marginals of a potential": lambda x, v, _: ksubset.marginals(x, ksubset.at_most(3)) * v,
    "sizes in a tensor": lambda x, v, _: ksubset.marginals(x, v.argmax()) * v,
    "log_prob": lambda x, v, z: ksubset.log_prob(x, 3, z) * v.sum(),
    "kl_divergence": lambda x, v, _: ksubset.kl_divergence(x, v, 3),
    "marginals_jvp": lambda x, v, _: ksubset.marginals_jvp(x, 3, v) ** 2,
    "logits_from_marginals": lambda x, v, _: ksubset.logits_from_marginals(ksubset.marginals(x, 3), 3) * v,
    "count_log_pmf": lambda x, v, _: ksubset.count_log_pmf(x)[..., :7] * v,
}
MAPPED = ("marginals", "log_prob")
"""Compiled for seconds each; the others are left to ``slow``."""


def gradients(function: Callable[..., Any], target: Target, second: bool = False) -> list[Any]:
    """Of the sum of squares with the logits and v; with ``second``, of the sum of squares of the gradients."""
    import torch

    x = target.array([LOGITS[12], LOGITS[12][::-1]]).requires_grad_()
    v, z = target.array([V, V[1:] + V[:1]]).requires_grad_(), target.array([Z, Z])
    found = torch.autograd.grad((function(x, v, z) ** 2).sum(), (x, v), create_graph=second, allow_unused=True)
    if second:
        total = sum((g**2).sum() for g in found if g is not None)
        found = torch.autograd.grad(total, (x, v), allow_unused=True)
    return [torch.zeros(0) if g is None else g for g in found]


def assert_same(found: list[Any], expected: list[Any]) -> None:
    import torch

    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "name", [name if name in MAPPED else pytest.param(name, marks=pytest.mark.slow) for name in FUNCTIONS]
)
def test_of_a_mapped_function(target: Target, name: str) -> None:
    """The tensors that are derived are outside of the map, where a Function within it does not see them."""
    import torch

    torch._dynamo.reset()
    function = torch.vmap(FUNCTIONS[name])
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    assert_same(gradients(compiled, target), gradients(function, target))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_ones_where_the_backend_takes_them(target: Target, name: str) -> None:
    import torch

    torch._dynamo.reset()
    compiled = torch.compile(FUNCTIONS[name], backend="eager")
    assert_same(gradients(compiled, target, second=True), gradients(FUNCTIONS[name], target, second=True))


@pytest.mark.parametrize("k", [3, ksubset.at_most(3), None])
@pytest.mark.parametrize("draws", [(), (5,)])
@pytest.mark.parametrize("backend", ["aot_eager", "eager"])
def test_of_a_sample(target: Target, backend: str, draws: tuple[int, ...], k: Any) -> None:
    """First ones, from the λ that the sampler found, and second ones; None stands for sizes in a tensor."""
    import torch

    torch._dynamo.reset()
    sizes = torch.tensor([2, 3]) if k is None else k
    x, v = target.array([LOGITS[12], LOGITS[12][::-1]]).requires_grad_(), target.array([V, V[::-1]])

    def drawn(x: Any) -> Any:
        return (ksubset.rsample(x, sizes, sample_shape=draws) * v).sum()

    second = backend == "eager"
    found = torch.autograd.grad(torch.compile(drawn, backend=backend)(x), x, create_graph=second)
    times = 5 if draws else 1
    expected = torch.autograd.grad(times * (ksubset.marginals(x, sizes) * v).sum(), x, create_graph=True)
    assert_same([found[0].detach()], [expected[0].detach()])
    if second:
        assert_same(*([torch.autograd.grad((g**2).sum(), x)[0]] for (g,) in (found, expected)))
