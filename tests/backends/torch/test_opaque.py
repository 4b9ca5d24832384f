"""The opaque operations of `torch.compile`: kernels inside, draws that torch's generator repeats, any batch size."""

import os
import subprocess
import sys
from itertools import product
from typing import Any

import numpy as np
import pytest
from conftest import Target

import ksubset
from ksubset.backends._cpu import dispatch

pytestmark = [
    pytest.mark.backends("torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KSUBSET_FAST", raising=False)
    if reason := dispatch.obstacle():
        pytest.skip(f"no kernels: {reason}")


def recorded(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """The calls of functions of ``torch.cpu``, by name."""
    from ksubset.backends.torch import cpu

    taken: list[str] = []
    for name in names:
        whole = getattr(cpu, name)
        monkeypatch.setattr(cpu, name, lambda *args, f=whole, **known: taken.append(f.__name__) or f(*args, **known))
    return taken


def test_a_compiled_layer_takes_the_kernels(target: Target, fast: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    taken = recorded(monkeypatch, "sample", "product", "evaluate", "by_kernels")
    x = torch.randn(5, 9, dtype=torch.float64, requires_grad=True)
    z = torch.compile(lambda x: ksubset.rsample(x, 3), fullgraph=True)(x)
    assert taken == ["sample"]
    g = torch.randn_like(z)
    z.backward(g)
    assert taken == ["sample", "product"]
    np.testing.assert_allclose(x.grad, ksubset.marginals_jvp(x.detach(), 3, g), rtol=1e-10, atol=1e-14)
    taken.clear()
    x = x.detach()
    for function, kernel in ((ksubset.entropy, "evaluate"), (ksubset.kl_to_uniform, "by_kernels")):
        value = torch.compile(lambda x, function=function: function(x, 3), fullgraph=True)(x)
        assert taken == [kernel]
        np.testing.assert_allclose(value, function(x, 3), rtol=1e-12)
        taken.clear()


def test_one_program_serves_every_batch(target: Target) -> None:
    import torch

    compiler = "aot_eager" if dispatch.obstacle() else "inductor"  # which takes half a minute for the core
    layer = torch.compile(
        lambda x: ksubset.rsample(x, 3, sample_shape=(2,)), fullgraph=True, dynamic=True, backend=compiler
    )
    for rows in (8, 5, 1, 0):
        x = torch.randn(rows, 9, requires_grad=True)
        z = layer(x)
        assert z.shape == (2, rows, 9)
        assert (z.sum(-1) == 3).all()
        z.sum().backward()
        assert x.grad is not None
        assert x.grad.shape == x.shape


def test_the_generator_of_torch_repeats_draws(target: Target) -> None:
    import torch

    layer = torch.compile(lambda x: ksubset.sample(x, ksubset.at_most(6)), fullgraph=True)
    x, draws = torch.zeros(40, 12), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(layer(x))
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()
    sizes = torch.stack([layer(x).sum(-1) for _ in range(50)]).flatten()
    expected = (ksubset.marginals(x[0], ksubset.at_most(6))).sum()
    assert abs(sizes.mean() - expected) < 5 * sizes.std() / len(sizes) ** 0.5


OTHERS = {
    "marginals_jvp": lambda x, n: [x.flip(0)],
    "log_prob": lambda x, n: [x.new_zeros((2, *x.shape))],
    "kl_divergence": lambda x, n: [-x],
    "sample": lambda x, n: [x.new_full((4, *x.shape[:-1], n - 1), 0.3)],
    "jacobian_solve": lambda x, n: [x - x.mean(-1, keepdim=True)],
}
"""The arrays of a function beside the parameters."""
NAMES = {"marginals", "unchosen", "log_normalizer", "log_prob_count", "entropy", "kl_to_uniform", "mode", *OTHERS}
OF_ONE_SIZE = NAMES | {"logits_from_marginals"}
OF_WEIGHTS = (NAMES - {"kl_to_uniform", "jacobian_solve", "sample"}) | {"count_log_pmf"}
CALLS = [
    *product(sorted(OF_ONE_SIZE), ("one size", "sizes", "a size for all of a batch")),
    *product(sorted(OF_WEIGHTS), ("weights",)),
]


@pytest.mark.parametrize(("name", "law"), CALLS)
def test_the_shape_is_known_before_the_value(target: Target, name: str, law: str) -> None:
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    from ksubset.backends.torch import operations as operations

    n, weighted = 6, law == "weights"
    x = torch.linspace(-1, 1, 5 * (2 * n + 1 if weighted else n), dtype=torch.float64).reshape(5, -1)
    x = torch.full_like(x, 3 / n) if name == "logits_from_marginals" else x
    k = {"sizes": torch.full((5,), 3), "a size for all of a batch": torch.full((1,), 3)}.get(law)
    numbers = [0, n] if weighted else [3 if k is None else -1, 3]
    arrays = OTHERS.get(name, lambda x, n: [])(x, n)
    found = operations.evaluate(name, weighted, numbers, x, k, arrays)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = [None if y is None else mode.from_tensor(y) for y in (x, k, *arrays)]
        shown = operations.evaluate(name, weighted, numbers, *fake[:2], fake[2:])
    assert (shown.shape, shown.dtype, shown.stride()) == (found.shape, found.dtype, found.stride())


FIRST = """
import torch, ksubset
x = torch.randn(4, 9, requires_grad=True)
z = torch.compile(lambda x: ksubset.rsample(x, 3), fullgraph=True)(x)
z.sum().backward()
print(z.detach().sum(-1).tolist())
"""


def test_the_first_call_of_a_process_may_be_compiled(target: Target) -> None:
    """The adapter is imported while torch traces: whatever guards it sets must hold afterwards."""
    environment: dict[str, Any] = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, env=environment, timeout=300)
    assert found.stdout.strip() == "[3.0, 3.0, 3.0, 3.0]", found.stderr[-2000:]
