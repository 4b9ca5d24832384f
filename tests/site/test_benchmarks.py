"""What the benchmark compares with is what it says it is, and its page says what was measured."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the peers in tests/benchmarks are written in torch, which is absent")
import torch
from benchmarks import peers
from significance import check_binomial

import ksubset

K = 3


@pytest.fixture
def logits() -> torch.Tensor:
    rows = torch.randn((50, 8), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return rows.requires_grad_()


def noisy(logits: torch.Tensor) -> torch.Tensor:
    """Logits with the Gumbel noise that a peer adds after the same seed."""
    torch.manual_seed(1)
    result = logits.detach() - torch.log(torch.empty_like(logits).exponential_()).detach()
    torch.manual_seed(1)
    return result


def top(scores: torch.Tensor) -> torch.Tensor:
    """1 where fewer than K others are larger."""
    return ((scores[..., None, :] > scores[..., None]).sum(-1) < K).to(scores.dtype)


@pytest.mark.parametrize("name", ["gumbel_straight_through", "gumbel_top_k"])
def test_gumbel_takes_the_largest_with_noise(logits: torch.Tensor, name: str) -> None:
    expected = top(noisy(logits))
    torch.testing.assert_close(getattr(peers, name)(logits, K).detach(), expected, rtol=0, atol=1e-15)


def test_both_ways_to_draw_gumbel_noise_have_its_law() -> None:
    torch.manual_seed(0)
    levels = torch.tensor([-1.0, 0.0, 2.0, 5.0], dtype=torch.float64)
    for noise in (peers.exponential_noise, peers.uniform_noise):
        below = (noise(torch.zeros(100_000, dtype=torch.float64))[:, None] < levels).sum(0)
        check_binomial(below.numpy(), 100_000, torch.exp(-torch.exp(-levels)).numpy())


def test_gumbel_sends_back_the_gradient_of_the_softmax(logits: torch.Tensor) -> None:
    weights, leaf = torch.arange(8.0, dtype=torch.float64), noisy(logits).requires_grad_()
    (peers.gumbel_straight_through(logits, K) @ weights).sum().backward()
    (K * torch.softmax(leaf, -1) @ weights).sum().backward()
    torch.testing.assert_close(logits.grad, leaf.grad)


def test_softsub_adds_up_and_tends_to_the_largest_with_noise(logits: torch.Tensor) -> None:
    expected = top(noisy(logits))
    hard = peers.softsub(logits, K, temperature=1e-3).detach()
    soft = peers.softsub(logits, K)
    torch.testing.assert_close(soft.sum(-1).detach(), torch.full((50,), float(K), dtype=soft.dtype))
    assert ((hard - expected).abs() < 0.01).double().mean() > 0.95  # ties within the temperature are shared
    soft.square().sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_log_space_recursion_gives_the_marginals(logits: torch.Tensor) -> None:
    torch.testing.assert_close(peers.log_space_marginals(logits, K), ksubset.marginals(logits.detach(), K))


def test_the_page_says_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.syspath_prepend(root / "tests" / "benchmarks")
    import report

    text, copy = (root / "docs" / "benchmark.md").read_text(), tmp_path / "benchmark.md"
    copy.write_text(text)
    report.write(json.loads((root / "docs" / "benchmark.json").read_text()), copy)
    assert copy.read_text() == text


def test_the_dynamic_programme_draws_exactly_and_sends_back_the_jacobian(logits: torch.Tensor) -> None:
    torch.manual_seed(2)
    subsets = torch.stack([peers.dynamic_programme(logits, K) for _ in range(400)]).detach().round()
    assert (subsets.sum(-1) == K).all()
    p = ksubset.marginals(logits.detach(), K)
    check_binomial(subsets.sum(0).numpy(), 400, p.numpy())
    g = torch.arange(8.0, dtype=torch.float64)
    (peers.dynamic_programme(logits, K) @ g).sum().backward()
    torch.testing.assert_close(logits.grad, ksubset.marginals_jvp(logits.detach(), K, g.expand_as(logits)))
