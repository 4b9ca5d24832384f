"""The layers of torch: their options reach the estimators, and a gate learns, tells and keeps what it chose."""

import copy
import io
import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
from conftest import Target

import ksubset
from ksubset import estimators

pytestmark = pytest.mark.backends("torch")
X = np.random.default_rng(5).normal(size=(4, 6))
SAMPLES = {
    "simple": estimators.simple,
    "simple_f": partial(estimators.simple_f, lambda_=0.5),
    "simple_b": partial(estimators.simple_b, noise=estimators.Gumbel()),
    "gumbel_topk_st": partial(estimators.gumbel_topk_st, tau=0.5),
    "softsub": partial(estimators.softsub, t=0.5),
    "l2x": partial(estimators.l2x, tau=0.5),
    "imle": partial(estimators.imle, lambda_=0.5, S=2),
}


def seeded(function: Any, *args: Any, **kwargs: Any) -> Any:
    import torch

    torch.manual_seed(3)
    return function(*args, **kwargs)


def copies(module: Any) -> tuple[Any, ...]:
    return module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))


def test_a_sampler_has_no_state_and_evaluates(target: Target) -> None:
    import torch

    from ksubset.backends.torch import SubsetSampler

    x = target.array(X)
    for layer in copies(SubsetSampler(3)):
        assert layer.state_dict() == {}
        assert (layer(x).sum(-1) == 3).all()
        torch.testing.assert_close(layer.eval()(x), ksubset.mode(x, 3))
    torch.testing.assert_close(SubsetSampler(3, "marginals").eval()(x), ksubset.marginals(x, 3))


def test_layers_are_pickled_by_their_public_names(target: Target) -> None:
    from ksubset.backends.torch import SubsetGate, SubsetSampler

    for layer in (SubsetSampler(3), SubsetGate(4, 2)):
        assert b"ksubset.backends.torch\n" in pickle.dumps(layer, 0)
        assert b"layers" not in pickle.dumps(layer, 0)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sampler_draws_by_any_estimator_that_returns_samples(target: Target, name: str) -> None:
    import torch

    from ksubset.backends.torch import SubsetSampler

    layer, gradients = SubsetSampler(2, estimator=SAMPLES[name], sample_shape=(3,)), []
    for draw in (layer, partial(SAMPLES[name], k=2, sample_shape=(3,))):
        x = target.array(X).requires_grad_()
        z = seeded(draw, x)
        (seeded(torch.randn_like, z) * z).sum().backward()
        gradients += [z, x.grad]
    torch.testing.assert_close(gradients[:2], gradients[2:], rtol=0, atol=0)
    torch.testing.assert_close(layer.eval()(x), ksubset.mode(x, 2))


def test_options_of_a_call_take_the_place_of_the_layers(target: Target) -> None:
    import torch

    from ksubset.backends.torch import SubsetSampler

    x, k = target.array(X), target.array([0, 2, 3, 6])
    layer = SubsetSampler(ksubset.at_most(2), sample_shape=(5,))
    assert layer(x).shape == (5, 4, 6)
    assert (layer(x).sum(-1) <= 2).all()
    z = layer(x, k, sample_shape=(2,), rng=1)
    torch.testing.assert_close(z, ksubset.rsample(x, k, rng=1, sample_shape=(2,)))
    torch.testing.assert_close(layer.eval()(x, k), ksubset.mode(x, k))
    with pytest.raises(TypeError, match="k must be given to the layer or to the call; got None for both"):
        SubsetSampler()(x)


def test_bounds_and_checks_reach_both_modes(target: Target) -> None:
    from ksubset.backends.torch import SubsetSampler

    x, k = target.array(X), target.array([0, 2, 3, 6])
    for layer in (SubsetSampler(max_k=3, validate=True), SubsetSampler(max_k=3, validate=True).eval()):
        with pytest.raises(ValueError, match="k must be at most max_k = 3; got 6 in row 3"):
            layer(x, k)
    bad = target.array(X)
    bad[1, 2] = np.nan
    for layer in (SubsetSampler(2, "marginals", validate=False), SubsetSampler(2, "marginals", validate=False).eval()):
        assert layer(bad).isnan().any(-1).sum() == 1


def test_wrong_options_are_errors_when_the_layer_is_made(target: Target) -> None:
    from ksubset.backends.torch import SubsetSampler

    with pytest.raises(ValueError, match="evaluate must be 'mode' or 'marginals'; got 'median'"):
        SubsetSampler(3, "median")
    with pytest.raises(TypeError, match=r"estimator must be a function of ksubset.estimators.*; got str"):
        SubsetSampler(3, estimator="softsub")
    with pytest.raises(TypeError, match=r"estimator must take \(logits, k, \*, rng, sample_shape\).*argument: 'k'"):
        SubsetSampler(3, estimator=estimators.score_function)
    with pytest.raises(TypeError, match=r"functools.partial; here: missing a required.*argument: 'lambda_'"):
        SubsetSampler(3, estimator=estimators.imle)
    with pytest.raises(TypeError, match=r"\(logits, k, \*, rng, sample_shape, max_k\).*argument 'max_k'"):
        SubsetSampler(3, estimator=estimators.softsub, max_k=2)


def test_reprs_tell_the_options(target: Target) -> None:
    from ksubset.backends.torch import SubsetGate, SubsetSampler

    assert repr(SubsetSampler(3)) == "SubsetSampler(k=3, evaluate='mode')"
    layer = SubsetSampler(ksubset.at_most(3), estimator=SAMPLES["softsub"], sample_shape=(2,), validate=False)
    shown = "k=between(0, 3), evaluate='mode', estimator=partial(softsub, t=0.5), sample_shape=(2,), validate=False"
    assert repr(layer) == f"SubsetSampler({shown})"
    assert "n=6, batch_shape=(2,), per_row=True" in repr(SubsetGate(6, 2, batch_shape=(2,)))


def test_a_temperature_changes_without_a_new_program_for_each(target: Target) -> None:
    import torch
    from torch._dynamo.testing import CompileCounterWithBackend

    from ksubset.backends.torch import SubsetSampler

    x, layer, counter = target.array(X), SubsetSampler(2), CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(layer, backend=counter, fullgraph=True)
    spread = []
    for step in range(12):
        layer.estimator = partial(estimators.softsub, t=0.5**step)
        z = seeded(compiled, x)
        spread.append(float((z - z.round()).abs().mean()))
    assert spread[0] > 0.1 > 0.01 > spread[-1]
    assert counter.frame_count <= 2


def test_a_gate_draws_for_each_row_or_once(target: Target) -> None:
    from ksubset.backends.torch import SubsetGate

    x = target.xp.ones((50, 7, 6), device=target.device)
    for gate, subsets in ((SubsetGate(6, 2), 15), (SubsetGate(6, 2, per_row=False), 1)):
        z = gate.to(target.device)(x)
        assert z.shape == x.shape
        assert (z.sum(-1) == 2).all()
        assert len(z.reshape(-1, 6).unique(dim=0)) == subsets


@pytest.mark.parametrize("per_row", [True, False])
def test_gradients_of_a_gate_are_those_of_its_subsets(target: Target, per_row: bool) -> None:
    import torch

    from ksubset.backends.torch import SubsetGate

    x, g = target.array(X), target.array(X[::-1].copy())
    gate = SubsetGate(6, 2, per_row=per_row, device=target.device, dtype=x.dtype)
    (gate(x) * g).sum().backward()
    torch.testing.assert_close(gate.logits.grad, ksubset.marginals_jvp(gate.logits.detach(), 2, (x * g).sum(0)))


def test_gates_of_a_batch_choose_each_for_itself(target: Target) -> None:
    import torch

    from ksubset.backends.torch import SubsetGate

    x = target.array(X)
    gate = SubsetGate(6, target.array([1, 2, 3, 4]), batch_shape=(4,), device=target.device, dtype=x.dtype)
    assert (gate(x.expand(9, 4, 6)) != 0).sum(-1).unique(dim=0).tolist() == [[1, 2, 3, 4]]
    gate.load_state_dict({"logits": x})
    torch.testing.assert_close(gate.chosen, ksubset.mode(x, gate.sampler.k).bool())
    torch.testing.assert_close(gate.probabilities, ksubset.marginals(x, gate.sampler.k))
    for shape in ((6,), (3, 6), (4, 5)):
        with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 4, 6\), like the logits; got"):
            gate(target.xp.ones(shape, device=target.device))
    with pytest.raises(TypeError, match=r"x must be an array of the layer's framework; got numpy.ndarray"):
        gate(np.ones((4, 6)))
    with pytest.raises(TypeError, match=r"k must be an int; got float"):
        SubsetGate(4, 2.0)
    with pytest.raises(ValueError, match=r"k must be in \[0, 4\], the number of items; got 5"):
        SubsetGate(4, 5)


def test_a_gate_finds_features_tells_them_and_is_saved(target: Target) -> None:
    import torch

    from ksubset.backends.torch import SubsetGate

    torch.manual_seed(0)
    gate, linear = SubsetGate(6, 2).to(target.device), torch.nn.Linear(6, 1).to(target.device)
    optimizer = torch.optim.Adam([*gate.parameters(), *linear.parameters()], lr=0.05)
    for _ in range(150):
        x = torch.randn(64, 6, device=target.device)
        loss = (linear(gate(x))[:, 0] - x[:, 1] + 2 * x[:, 4]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert gate.chosen.nonzero()[:, 0].tolist() == [1, 4]
    assert gate.probabilities[gate.chosen].min() > 0.8
    torch.save(gate.state_dict(), file := io.BytesIO())
    file.seek(0)
    fresh = SubsetGate(6, 2).to(target.device)
    fresh.load_state_dict(torch.load(file))
    for other in copies(fresh):
        torch.testing.assert_close(other.eval()(x), x * gate.chosen)
    fresh.reset_parameters()
    assert (fresh.logits == 0).all()


def test_a_gate_evaluates_by_its_marginals(target: Target) -> None:
    import torch

    from ksubset.backends.torch import SubsetGate

    gate = SubsetGate(6, ksubset.at_most(2), "marginals", dtype=target.xp.float64).to(target.device).eval()
    gate.load_state_dict({"logits": target.array(X[0])})
    expected = ksubset.marginals(target.array(X[0]), ksubset.at_most(2))
    torch.testing.assert_close(gate(target.array(X)), target.array(X) * expected)


def test_options_of_a_gate_are_those_of_its_sampler(target: Target) -> None:
    import torch

    from ksubset.backends.torch import SubsetGate

    x, options = target.array(X), {"estimator": SAMPLES["imle"], "max_k": 3, "validate": False}
    gate = SubsetGate(6, 2, device=target.device, **options)
    assert {name: getattr(gate.sampler, name) for name in options} == options
    z = SAMPLES["imle"](gate.logits, 2, rng=1, sample_shape=(4,))
    torch.testing.assert_close(gate(x, rng=1), x * z)


@pytest.mark.parametrize("name", ["simple", "softsub"])
def test_a_compiled_gate_takes_batches_of_every_size(target: Target, name: str) -> None:
    import torch
    from torch._dynamo.testing import CompileCounterWithBackend

    from ksubset.backends.torch import SubsetGate

    gate, counter = SubsetGate(6, 2, estimator=SAMPLES[name]).to(target.device), CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(gate, backend=counter, fullgraph=True)
    for rows in range(2, 14):
        z = compiled(torch.ones(rows, 6, device=target.device))
        torch.testing.assert_close(z.sum(-1), torch.full_like(z[:, 0], 2))
    assert counter.frame_count <= 2
