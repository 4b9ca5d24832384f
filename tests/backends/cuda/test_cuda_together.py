"""Samples with their marginals by one CUDA kernel: the public function on tensors that count as CUDA tensors."""

from typing import Any

import numpy as np
import pytest
from cuda_on_cpu.cases import JACOBIAN, LOGITS, POTENTIAL, RNG, SAMPLE, SOLVE, TOGETHER, K, N
from cuda_on_cpu.emulator import NEEDED, OWN_SESSION

import ksubset

torch = pytest.importorskip("torch", reason="a test of torch's adapter, which needs torch")
pytestmark = [NEEDED, OWN_SESSION]
COUNTS = np.array([[3], [8]])
BOTH = pytest.mark.parametrize("k", [K, COUNTS], ids=["k", "k by row"])


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from cuda_on_cpu import torch_launch

    return torch_launch.as_cuda(monkeypatch)


def tensor(x: Any, *, grad: bool = False) -> Any:
    return torch.from_numpy(np.array(x)).requires_grad_(grad)


def same(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-12, atol=1e-13)


def size(k: Any) -> Any:
    return k if isinstance(k, int) else tensor(k)


@BOTH
def test_values_are_those_of_two_calls(launched: list[str], k: Any) -> None:
    z, mu = ksubset.sample_with_marginals(tensor(LOGITS), size(k), rng=5, sample_shape=(2, 4))
    assert launched == [TOGETHER]
    same(mu, ksubset.marginals(LOGITS, k))
    same(z, ksubset.sample(tensor(LOGITS), size(k), rng=5, sample_shape=(2, 4)).numpy())


@BOTH
def test_one_product_goes_back_through_both(launched: list[str], k: Any) -> None:
    x, g, h = tensor(LOGITS, grad=True), RNG.normal(size=(5, 2, 3, N)), RNG.normal(size=LOGITS.shape)
    z, mu = ksubset.sample_with_marginals(x, size(k), sample_shape=(5,))
    ((z * tensor(g)).sum() + (mu * tensor(h)).sum()).backward()
    assert launched == [TOGETHER, JACOBIAN]
    same(x.grad, ksubset.marginals_jvp(LOGITS, k, g.sum(0) + h))


def test_the_tilt_is_found_once(launched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from ksubset.backends.torch import cuda

    given: list[Any] = []
    run = cuda._run
    monkeypatch.setattr(cuda, "_run", lambda launch, *rest: given.append(rest[0]) or run(launch, *rest))
    x = tensor(LOGITS, grad=True)
    _, mu = ksubset.sample_with_marginals(x, K)
    mu.square().sum().backward()
    drawn, product = given
    assert product[10] is drawn[-3]
    assert not product[10].isnan().any()


def test_forward_and_second_derivatives(launched: list[str]) -> None:
    from torch.autograd import forward_ad

    x, v = tensor(LOGITS, grad=True), tensor(RNG.normal(size=LOGITS.shape))
    image = ksubset.marginals_jvp(LOGITS, K, v.numpy())
    with forward_ad.dual_level():
        z, mu = ksubset.sample_with_marginals(forward_ad.make_dual(x.detach(), v), K, sample_shape=(2,))
        same(forward_ad.unpack_dual(mu).tangent, image)
        same(forward_ad.unpack_dual(z).tangent, np.stack([image] * 2))
    (first,) = torch.autograd.grad(ksubset.sample_with_marginals(x, K)[1].square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad((first * v).sum(), x)
    (expected,) = torch.autograd.grad(ksubset.marginals(x, K).square().sum(), x, create_graph=True)
    same(second, torch.autograd.grad((expected * v).sum(), x)[0])


def test_bad_rows_and_half_precision(launched: list[str]) -> None:
    rows = LOGITS.reshape(6, N).copy()
    rows[2, 0] = np.nan
    z, mu = ksubset.sample_with_marginals(tensor(rows), tensor([0, N, 3, -1, N + 1, 4]))
    for found in (z, mu):
        np.testing.assert_array_equal(found.isnan().all(-1), [False, False, True, True, True, False])
    z, mu = ksubset.sample_with_marginals(tensor(LOGITS).to(torch.bfloat16), K)
    assert z.dtype == mu.dtype == torch.bfloat16
    assert launched == [TOGETHER] * 2


def test_what_is_found_apart(launched: list[str]) -> None:
    z, mu = ksubset.sample_with_marginals(tensor(LOGITS), POTENTIAL)
    same(mu, ksubset.marginals(LOGITS, POTENTIAL))
    assert launched == [SOLVE, SAMPLE, SOLVE]
    launched.clear()
    draw = torch.compile(lambda x: ksubset.sample_with_marginals(x, K), fullgraph=True, backend="aot_eager")
    z, mu = draw(tensor(LOGITS))
    same(mu, ksubset.marginals(LOGITS, K))
    assert (z.sum(-1) == K).all()
    assert sorted(launched) == [SAMPLE, SOLVE]
