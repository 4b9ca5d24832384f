"""The page on layers that choose: its table holds what the results say, and the peer is what it is said to be."""

import json

import pytest

pytest.importorskip("torch", reason="the layers are torch's")
pytest.importorskip("tqdm", reason="the training shows its progress with tqdm")
import clients
import torch
from clients import END, PAGE, START
from clients_layers import CLIENTS
from clients_samplers import SAMPLERS, dynamic_programme
from support import RESULTS

import ksubset

pytestmark = pytest.mark.backends("torch")
SAVED = json.loads((RESULTS / "clients.json").read_text())["results"]


def test_the_table_of_the_page() -> None:
    shown = PAGE.read_text().partition(START)[2].partition(END)[0].strip()
    assert shown == clients.table(SAVED)
    assert all(claim.holds for claim in clients.claims(SAVED))


def test_the_claims_can_fail() -> None:
    good, bad = {"loss": 1.0, "milliseconds": 1.0, "megabytes": 1.0}, {"error": "it does not run"}
    apart = {"x": {"eager": dict(zip(SAMPLERS, (good, good | {"loss": 2.0}), strict=True))}}
    broken = {"x": {"eager": dict(zip(SAMPLERS, (bad, good), strict=True))}}
    assert [claim.holds for claim in clients.claims(apart)] == [True, False]
    assert not clients.claims(broken)[0].holds


def test_the_dynamic_programme_is_the_same_law_and_gradient() -> None:
    torch.manual_seed(0)
    logits, v = torch.randn(4, 7, requires_grad=True), torch.randn(7)
    k = torch.tensor([0, 1, 3, 3])
    z, mu = dynamic_programme(logits, k, 3, (2000,))
    torch.testing.assert_close(mu, ksubset.marginals(logits, k))
    assert (z.sum(-1).round() == k).all()
    assert (z.mean(0) - mu).abs().max() < 0.06  # five standard deviations
    (slope,) = torch.autograd.grad((z.mean(0) @ v).sum(), logits)
    torch.testing.assert_close(slope, ksubset.marginals_jvp(logits.detach(), k, v.expand(4, 7)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in CLIENTS if name != "experts"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_step_reaches_every_parameter(name: str, sampler: str) -> None:
    made = CLIENTS[name](SAMPLERS[sampler])
    made.model(*next(made.batches(2))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.model.parameters())
