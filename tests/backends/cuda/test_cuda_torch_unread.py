"""The public functions on CUDA tensors read no value and leave nothing on the CPU.

Meta tensors, which hold nothing, stand in for CUDA tensors.
"""

from typing import Any

import pytest
from cuda_on_cpu.cases import CALLS, JACOBIAN, LOGITS, POTENTIAL, SAMPLE, SOLVE, WEIGHTED, K
from cuda_on_cpu.emulator import OWN_SESSION

import ksubset
from ksubset.backends._cuda.launch import Device, Launch
from ksubset.backends._cuda.launchers import Launcher

torch = pytest.importorskip("torch", reason="a test of torch's adapter, which needs torch")
pytestmark = OWN_SESSION


@pytest.fixture
def unread(monkeypatch):
    """The names of the kernels that would be launched; meta tensors count as CUDA tensors."""
    from ksubset.backends.torch import cuda

    names: list[str] = []

    def run(launch: Launch, arguments: list[Any], like: Any) -> None:
        assert {x.device for x in arguments if isinstance(x, torch.Tensor)} == {like.device}
        names.append(launch.kernel)

    monkeypatch.setattr(cuda, "_run", run)
    monkeypatch.setattr(cuda, "_device", lambda index: Device(100_000, 100))
    monkeypatch.setattr(cuda, "launcher", lambda index: Launcher("nothing", run))
    monkeypatch.setattr(cuda, "DEVICE", "meta")
    return names


COUNTS = pytest.mark.parametrize("by_row", [False, True], ids=["k", "k by row"])


def counts(by_row: bool) -> Any:
    return torch.ones(2, 1, dtype=torch.int32, device="meta") if by_row else K


@COUNTS
@pytest.mark.parametrize("name", CALLS)
def test_no_value_is_read(unread, name, by_row):
    """A meta tensor raises an error where a value is asked for, or where it meets a tensor on the CPU."""
    arrays, kernels = CALLS[name]
    given = [torch.empty(x.shape, dtype=torch.float64, device="meta") for x in (LOGITS, *arrays)]
    assert getattr(ksubset, name)(given[0], counts(by_row), *given[1:]).is_meta
    assert unread == kernels


@pytest.mark.parametrize("name", WEIGHTED)
def test_no_value_is_read_under_a_potential(unread, name):
    arrays, kernels = WEIGHTED[name]
    given = [torch.empty(x.shape, dtype=torch.float64, device="meta") for x in (LOGITS, *arrays)]
    assert getattr(ksubset, name)(given[0], POTENTIAL, *given[1:]).is_meta
    assert unread == kernels


@COUNTS
def test_the_inverse_map_reads_no_value(unread, by_row):
    mu = torch.empty(LOGITS.shape, device="meta", requires_grad=True)
    ksubset.logits_from_marginals(mu, counts(by_row)).sum().backward()
    assert mu.grad.is_meta
    assert set(unread) == {SOLVE, JACOBIAN}


@COUNTS
def test_no_value_is_read_on_the_way_back(unread, by_row):
    x, y = (torch.empty(LOGITS.shape, device="meta", requires_grad=True) for _ in range(2))
    ksubset.rsample(x, counts(by_row), sample_shape=(5,)).sum().backward()
    assert unread == [SAMPLE, JACOBIAN]
    ksubset.kl_divergence(x, y, counts(by_row)).sum().backward()
    assert unread == [SAMPLE, JACOBIAN, SOLVE, SOLVE, JACOBIAN, SOLVE, SOLVE]
    assert x.grad.is_meta


def test_no_value_is_read_on_the_way_back_under_a_potential(unread):
    x = torch.empty(LOGITS.shape, device="meta", requires_grad=True)
    ksubset.rsample(x, POTENTIAL, sample_shape=(5,)).sum().backward()
    assert unread == [SOLVE, SAMPLE, SOLVE, SOLVE, JACOBIAN]
    assert x.grad.is_meta


def test_a_read_would_be_noticed():
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        torch.empty(3, device="meta").sum().item()
