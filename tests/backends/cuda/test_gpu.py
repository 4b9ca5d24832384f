"""On a CUDA device alone: the kernels are taken, and no call waits for the device."""

import re
from typing import Any

import numpy as np
import pytest
from conftest import Target

import ksubset
from ksubset._api.show_config import NAMES
from ksubset.backends._cpu import dispatch
from ksubset.backends._cuda.geometry import BY_CORE

FUNCTIONS = ["log_normalizer", "log_prob_count", "marginals", "entropy", "covariance"]


@pytest.fixture
def cuda(target: Target) -> Target:
    if not target.name.endswith("-cuda"):
        pytest.skip(f"{target.name} has no CUDA device")
    return target


@pytest.mark.backends("jax")
def test_xla_launches_the_kernels(cuda: Target, capsys: pytest.CaptureFixture[str]) -> None:
    ksubset.show_config(cuda.array(np.zeros((3, 9)), "float32"), 4)
    assert re.search("marginals: the CUDA kernels: .*, launched by XLA", capsys.readouterr().out)


@pytest.mark.backends("torch", "cupy")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kernels_are_taken(cuda: Target, capsys: pytest.CaptureFixture[str], dtype: str) -> None:
    ksubset.show_config(cuda.array(np.zeros((3, 9)), dtype), 4)
    printed = capsys.readouterr().out
    for name in (NAMES.get(function, function) for function in dispatch.FUNCTIONS if function not in BY_CORE):
        assert f"{name}: the CUDA kernels: " in printed


@pytest.mark.backends("torch")
@pytest.mark.parametrize("k", [2, ksubset.between(2, 4)], ids=["k", "several"])
@pytest.mark.parametrize("n", [8, 64, 300])
def test_a_graph_captures_a_step(cuda: Target, n: int, k: Any) -> None:
    """Each replay draws anew and leaves the gradient of its draw."""
    import torch

    x, v = (cuda.array(np.random.default_rng(seed).normal(size=(5, n))) for seed in (1, 2))
    x.requires_grad_()

    def step() -> Any:
        z = ksubset.rsample(x, k)
        (x.grad,) = torch.autograd.grad((z * v).sum(), x)
        return z

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        step()  # compiles what is not compiled yet
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        z = step()
    drawn = []
    for _ in range(20):
        graph.replay()
        drawn.append(z.cpu().numpy())
        assert np.isin(drawn[-1].sum(-1), [2] if k == 2 else [2, 3, 4]).all()
        np.testing.assert_allclose(
            x.grad.cpu().numpy(), ksubset.marginals_jvp(x.detach().cpu().numpy(), k, v.cpu().numpy()), atol=1e-5
        )
    assert len({z.tobytes() for z in drawn}) > 1


@pytest.mark.backends("torch")
@pytest.mark.parametrize("k", [4, np.array([1, 2, 3]), ksubset.between(2, 4)], ids=["k", "k by row", "several"])
def test_no_call_waits_for_the_device(cuda: Target, k: Any) -> None:
    import torch

    x, y = (cuda.array(np.zeros((3, 9))).requires_grad_() for _ in range(2))
    k = cuda.array(k) if isinstance(k, np.ndarray) else k

    def step() -> Any:
        values = [getattr(ksubset, name)(x, k).sum() for name in FUNCTIONS]
        values += [ksubset.kl_divergence(x, y, k).sum(), ksubset.rsample(x, k, sample_shape=(5,)).sum()]
        torch.autograd.backward(values)

    step()  # compiles what is not compiled yet
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
