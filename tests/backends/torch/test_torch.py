"""What torch's users expect beyond the transformations."""

import threading
from functools import partial
from typing import Any

import numpy as np
import pytest
from conftest import Target
from derivatives import DIRECTIONS, LOGITS, SIZES

import ksubset

pytestmark = pytest.mark.backends("torch")
X = LOGITS[12:17]


def test_third_order_by_double_backward(target: Target) -> None:
    import torch

    x = target.array(X[0]).requires_grad_()
    value = ksubset.log_normalizer(x, 3)
    for _ in range(2):
        (slope,) = torch.autograd.grad(value, x, create_graph=True)
        value = (slope * target.array(DIRECTIONS[0])).sum()
    (found,) = torch.autograd.grad(value, x)
    from oracle import Enumeration

    expected = Enumeration(X[0], 3).third_cumulant @ DIRECTIONS[0] @ DIRECTIONS[0]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("layout", ["transposed", "expanded", "strided"])
def test_any_memory_layout(target: Target, layout: str) -> None:
    import torch

    base = target.array(X)
    views = {
        "transposed": base.T.contiguous().T,
        "expanded": base[:1].expand(5, 7),
        "strided": base.repeat(1, 2)[:, ::2],
    }
    x = views[layout].detach()
    for function in (ksubset.marginals, ksubset.entropy, ksubset.log_normalizer):
        one, two = x.clone(memory_format=torch.contiguous_format).requires_grad_(), x.clone().requires_grad_()
        function(one, 3).sum().backward()
        function(two.as_strided(two.shape, two.stride()), 3).sum().backward()
        torch.testing.assert_close(function(x, 3), function(one, 3).detach())
        torch.testing.assert_close(one.grad, two.grad)


@pytest.mark.parametrize("fast", ["0", "1"])
def test_the_negative_bit(target: Target, monkeypatch: pytest.MonkeyPatch, fast: str) -> None:
    """Of the imaginary part of a conjugate, whose memory holds the opposite numbers."""
    import torch

    monkeypatch.setenv("KSUBSET_FAST", fast)
    given = torch.complex(*torch.randn(2, 3, 8, dtype=torch.float64)).conj().imag
    assert given.is_neg()
    z = ksubset.mode(given, 3)
    for function in (
        ksubset.log_normalizer,
        ksubset.log_prob_count,
        ksubset.marginals,
        ksubset.entropy,
        partial(ksubset.sample, rng=0, sample_shape=(4,)),
        lambda x, k: ksubset.marginals_jvp(x, k, x),
        lambda x, k: ksubset.log_prob(x, k, z),
        lambda x, k: ksubset.marginals(x, ksubset.at_most(k)),
        lambda x, k: ksubset.count_log_pmf(x),
    ):
        torch.testing.assert_close(function(given, 3), function(given.resolve_neg(), 3), rtol=0, atol=0)


def test_without_gradient_nothing_is_saved(target: Target) -> None:
    import torch

    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        z = ksubset.rsample(target.array(X), 3)
        with torch.no_grad():
            ksubset.marginals(target.array(X).requires_grad_(), 3)
    assert z.grad_fn is None
    assert not saved


def test_autocast_and_reduced_matmul_precision_change_nothing(target: Target) -> None:
    import torch

    x = target.array(np.random.default_rng(0).normal(size=(4, 300)), "float32")
    expected = ksubset.marginals(x, 120)
    with torch.autocast(target.device.type, dtype=torch.bfloat16):
        torch.testing.assert_close(ksubset.marginals(x, 120), expected, rtol=0, atol=0)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        torch.testing.assert_close(ksubset.marginals(x, 120), expected, rtol=2e-6, atol=0)
    finally:
        torch.set_float32_matmul_precision(before)


def test_bfloat16(target: Target) -> None:
    import torch

    x = target.array(X, "float32").to(torch.bfloat16).requires_grad_()
    mu = ksubset.marginals(x, 3)
    mu.sum().backward()
    assert mu.dtype == x.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoint(target: Target, reentrant: bool) -> None:
    import torch
    from torch.utils.checkpoint import checkpoint

    x, g = target.array(X).requires_grad_(), target.array(DIRECTIONS[:5])

    def loss(x: Any) -> Any:
        return (ksubset.rsample(x, 3) * g).sum() + ksubset.entropy(x, 3).sum()

    checkpoint(loss, x, use_reentrant=reentrant).backward()
    plain = x.detach()
    torch.testing.assert_close(x.grad, ksubset.marginals_jvp(plain, 3, g) - ksubset.marginals_jvp(plain, 3, plain))


def test_threads(target: Target) -> None:
    import torch

    k, g = target.array(SIZES), target.array(DIRECTIONS)
    expected = ksubset.marginals_jvp(target.array(LOGITS), k, g)
    errors = []

    def work() -> None:
        for _ in range(10):
            x = target.array(LOGITS).requires_grad_()
            (ksubset.rsample(x, k) * g).sum().backward()
            if not torch.allclose(x.grad, expected):
                errors.append(x.grad)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
