"""An object is one distribution: that of the arrays as they were when it was made."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Target
from oracle import Enumeration

import ksubset
from ksubset import estimators

MUTABLE = pytest.mark.backends("numpy", "strict", "torch", "cupy")
X = np.array([[2.0, 1.0, 0.0, -1.0], [0.5, 0.0, -0.5, 3.0]])


def answers(d: ksubset.KSubset, z: Any) -> list[Any]:
    return [d.mean, d.variance, d.entropy(), d.log_normalizer(), d.log_prob(z), d.mode()]


@MUTABLE
@pytest.mark.parametrize("first", ["mean", "entropy", "nothing"])
def test_changes_in_place_do_not_reach_it(target: Target, first: str) -> None:
    """Whatever had been asked for before."""
    x, k = target.array(X), target.array([1, 3])
    d, z = ksubset.KSubset(x, k), ksubset.mode(target.array(X), target.array([1, 3]))
    if first != "nothing":
        value = getattr(d, first)
        _ = value() if callable(value) else value
    x[:, 0], k[0] = 50.0, 2
    same = ksubset.KSubset(target.array(X), target.array([1, 3]))
    for found, expected in zip(answers(d, z), answers(same, z), strict=True):
        np.testing.assert_allclose(target.to_numpy(found), target.to_numpy(expected), rtol=1e-12)
    assert (target.to_numpy(d.sample(rng=target.rng(0), sample_shape=(50,))).sum(-1) == [1, 3]).all()
    np.testing.assert_array_equal(target.to_numpy(d.logits), X)


@MUTABLE
def test_log_weights_too(target: Target) -> None:
    x, omega = target.array(X[0]), target.array(np.zeros(5))
    potential = ksubset.Cardinality(omega)
    d, e = (ksubset.KSubset(y, potential) for y in (x, target.array(X[1])))
    expected = float(ksubset.entropy(x, potential)), float(d.kl_divergence(e))
    omega[1] = 7.0
    assert (float(d.entropy()), float(d.kl_divergence(e))) == expected
    later = ksubset.KSubset(x, potential)
    assert float(later.entropy()) != expected[0]
    with pytest.raises(ValueError, match="the log-weights were changed"):
        d.kl_divergence(later)


@MUTABLE
def test_either_bound_too(target: Target) -> None:
    for changed in (0, 1):
        bounds = target.array(1), target.array(2)
        potential = ksubset.between(*bounds)
        d = ksubset.KSubset(target.array(X[0]), potential)
        assert float(d.kl_divergence(ksubset.KSubset(target.array(X[0]), potential))) == pytest.approx(0, abs=1e-6)
        bounds[changed][...] = 3 * changed
        with pytest.raises(ValueError, match="the log-weights were changed"):
            d.kl_divergence(ksubset.KSubset(target.array(X[0]), potential))


@MUTABLE
def test_a_copy_hides_no_bad_k(target: Target) -> None:
    """Sums make numbers of truth values."""
    with pytest.raises(TypeError, match="k must have an integer dtype"):
        ksubset.KSubset(target.array(X), target.array([True, False]))


@pytest.mark.backends("torch")
def test_gradients_are_those_of_the_array_that_was_given(target: Target) -> None:
    import torch

    x = target.array(X[0]).requires_grad_()
    d = ksubset.KSubset(x, 2)
    with torch.no_grad():
        x += 3 * torch.arange(4)
    d.mean[0].backward()
    np.testing.assert_allclose(x.grad, Enumeration(X[0], 2).covariance[0], atol=1e-12)


@pytest.mark.backends("torch")
@pytest.mark.filterwarnings("ignore:.torch.jit.trace. is deprecated:DeprecationWarning")  # which is still called
def test_a_trace_is_refused(target: Target) -> None:
    """It would hold the numbers of its example."""
    import torch

    for function in (ksubset.marginals, ksubset.rsample, ksubset.entropy, ksubset.mode):
        with pytest.raises(RuntimeError, match=r"use torch.compile or torch.export"):
            torch.jit.trace(lambda x, function=function: function(x, 2), target.array(X))


DECIDED = 99.0 * np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0]])
"""Logits of which every sample is the mode."""
TRACED: dict[str, Callable[..., Any]] = {
    "marginals": lambda x: ksubset.marginals(x, 2, validate=False),
    "sample": lambda x: ksubset.sample(x, 2),
    "rsample": lambda x: ksubset.rsample(x, 2, validate=False, sample_shape=(2,)),
    "entropy": lambda x: ksubset.entropy(x, 2),
    "log_prob": lambda x: ksubset.log_prob(x, 2, ksubset.mode(x, 2)),
    "gumbel_topk_st": lambda x: estimators.gumbel_topk_st(x, 2),
}


@pytest.mark.backends("torch")
@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("name", TRACED)
def test_a_recorded_graph_holds_no_values(target: Target, name: str, early: bool) -> None:
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    later, function = target.array(DECIDED[::-1].copy()), TRACED[name]
    graph = make_fx(function, pre_dispatch=early)(target.array(DECIDED))
    torch.testing.assert_close(graph(later), function(later))


@pytest.mark.backends("torch")
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", TRACED)
def test_an_exported_program_takes_any_batch(target: Target, name: str, strict: bool) -> None:
    import torch

    class Layer(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return TRACED[name](x)

    rows, later = {0: torch.export.Dim("rows")}, target.array(DECIDED)
    program = torch.export.export(Layer(), (target.array(X),), dynamic_shapes=(rows,), strict=strict).module()
    torch.testing.assert_close(program(later), TRACED[name](later))


@pytest.mark.backends("torch")
def test_an_exported_program_has_no_generator_of_its_own(target: Target) -> None:
    import torch

    class Layer(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return ksubset.sample(x, 2, rng=0)

    with pytest.raises(ValueError, match=r"rng must be None under torch\.export"):
        torch.export.export(Layer(), (target.array(X),))


@pytest.mark.backends("jax")
@pytest.mark.parametrize("fast", ["0", "1"])
@pytest.mark.parametrize("name", ["marginals", "entropy", "log_prob", "rsample"])
def test_a_program_of_jax_takes_any_batch(
    target: Target, monkeypatch: pytest.MonkeyPatch, name: str, fast: str
) -> None:
    import jax
    from jax import export

    def function(x: Any) -> Any:
        return ksubset.rsample(x, 2, rng=0) if name == "rsample" else TRACED[name](x)

    monkeypatch.setenv("KSUBSET_FAST", fast)
    shape = (*export.symbolic_shape("rows"), 4)
    program = export.export(jax.jit(function))(jax.ShapeDtypeStruct(shape, "float64"))
    later = target.array(DECIDED)
    np.testing.assert_allclose(program.call(later), function(later), atol=1e-12)


@pytest.mark.parametrize(("n", "k"), [(0, 0), (10, 10), (10, 0), (20, 3), (300, 2)])
def test_supports_take_no_more_memory_than_they_have(n: int, k: int) -> None:
    import tracemalloc
    from math import comb

    from ksubset._law.support import subsets

    tracemalloc.start()
    z = subsets(n, k)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert z.shape == (comb(n, k), n)
    assert (z.sum(axis=1) == k).all()
    assert len(np.unique(z, axis=0)) == len(z)
    assert most <= 4 * z.size + 16 * comb(n, k) * k + 10_000
