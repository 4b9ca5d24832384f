"""The layers of Flax NNX: modes and keys as in nnx.Dropout, and a gate that is trained, split and merged."""

import copy
import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
from conftest import Target

import ksubset
from ksubset import estimators

nnx = pytest.importorskip("flax.nnx", reason="Flax is not installed in this environment")
pytestmark = pytest.mark.backends("jax")
X = np.random.default_rng(5).normal(size=(4, 6))


def sampler(*args: Any, **kwargs: Any) -> Any:
    from ksubset.backends.flax import SubsetSampler

    return SubsetSampler(*args, rngs=nnx.Rngs(3), **kwargs)


def gate(*args: Any, **kwargs: Any) -> Any:
    from ksubset.backends.flax import SubsetGate

    return SubsetGate(*args, rngs=nnx.Rngs(3), **kwargs)


def test_modes_are_switched_as_those_of_dropout(target: Target) -> None:
    x, layer = target.array(X), sampler(2)
    assert (layer(x).sum(-1) == 2).all()
    np.testing.assert_array_equal(layer(x, deterministic=True), ksubset.mode(x, 2))
    model = nnx.List([layer, sampler(2, "marginals", deterministic=True)])
    np.testing.assert_array_equal(model[1](x), ksubset.marginals(x, 2))
    model[0].eval()
    np.testing.assert_array_equal(layer(x), ksubset.mode(x, 2))
    drawing = nnx.view(model, deterministic=False)
    assert len({tuple(map(int, z)) for z in drawing[0](x, sample_shape=(50,))[:, 0]}) > 3
    np.testing.assert_array_equal(layer(x), ksubset.mode(x, 2))


def test_keys_come_from_a_stream_or_from_the_call(target: Target) -> None:
    import jax

    from ksubset.backends.flax import SubsetSampler

    x, rngs = target.array(X), nnx.Rngs(1, subset=2)
    expected = nnx.Rngs(1, subset=2)["subset"].fork()
    layer = SubsetSampler(2, rngs=rngs)
    for _ in range(2):
        np.testing.assert_array_equal(layer(x), ksubset.rsample(x, 2, rng=expected()))
    bare, key = SubsetSampler(2), jax.random.key(5)
    np.testing.assert_array_equal(bare(x, rngs=key), ksubset.rsample(x, 2, rng=key))
    np.testing.assert_array_equal(bare(x, rngs=nnx.Rngs(7)), bare(x, rngs=nnx.Rngs(7)["subset"]))
    with pytest.raises(ValueError, match="rngs must be given to the layer or to the call"):
        bare(x)
    with pytest.raises(TypeError, match=r"rngs must be nnx.Rngs or an nnx.RngStream; got int"):
        SubsetSampler(2, rngs=3)


def test_options_reach_the_estimator(target: Target) -> None:
    import jax

    x, k, key = target.array(X), target.array([0, 2, 3, 6]), jax.random.key(5)
    soft = partial(estimators.softsub, t=0.5)
    layer = sampler(2, estimator=soft, sample_shape=(3,))
    np.testing.assert_array_equal(layer(x, rngs=key), soft(x, 2, rng=key, sample_shape=(3,)))
    model = nnx.List([layer])
    model[0].set_attributes(estimator=estimators.simple)
    np.testing.assert_array_equal(layer(x, k, rngs=key), ksubset.rsample(x, k, rng=key, sample_shape=(3,)))
    assert (sampler(ksubset.at_most(2))(x).sum(-1) <= 2).all()
    with pytest.raises(ValueError, match="k must be at most max_k = 3; got 6 in row 3"):
        sampler(max_k=3)(x, k)
    with pytest.raises(TypeError, match="estimator must take"):
        sampler(2, estimator=estimators.exact_gradient)


def test_a_sampler_under_jit_draws_anew_each_time(target: Target) -> None:
    layer, x = sampler(2), target.array(X)
    draw = nnx.jit(lambda layer, x: layer(x, sample_shape=(20,)))
    other = sampler(2)
    for _ in range(2):
        np.testing.assert_array_equal(draw(layer, x), other(x, sample_shape=(20,)))
    layer.eval()
    np.testing.assert_array_equal(nnx.jit(lambda layer, x: layer(x))(layer, x), ksubset.mode(x, 2))


def test_gradients_of_a_gate_are_those_of_its_subsets(target: Target) -> None:
    x, g = target.array(X), target.array(X[::-1].copy())
    for options in ({}, {"per_row": False}):
        module = gate(6, 2, param_dtype=x.dtype, **options)
        slopes = nnx.grad(lambda module: (module(x) * g).sum())(module)
        expected = ksubset.marginals_jvp(module.logits[...], 2, (x * g).sum(0))
        np.testing.assert_allclose(slopes["logits"][...], expected, rtol=1e-12)
    ones = target.xp.ones((50, 6))
    assert len(np.unique(gate(6, 2)(ones), axis=0)) > 10
    assert len(np.unique(gate(6, 2, per_row=False)(ones), axis=0)) == 1


def test_gates_of_a_batch_choose_each_for_itself(target: Target) -> None:
    x = target.array(X)
    module = gate(6, ksubset.at_most(target.array([1, 2, 3, 4])), "marginals", batch_shape=(4,), param_dtype=x.dtype)
    assert ((module(target.xp.ones((9, 4, 6))) != 0).sum(-1) <= target.array([1, 2, 3, 4])).all()
    module.logits[...] = x
    np.testing.assert_array_equal(module.chosen, ksubset.mode(x, module.sampler.k) == 1)
    np.testing.assert_array_equal(module.probabilities, ksubset.marginals(x, module.sampler.k))
    module.eval()
    np.testing.assert_array_equal(module(x), x * module.probabilities)
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 4, 6\), like the logits; got \(3, 6\)"):
        module(x[:3])


def test_options_of_a_gate_are_those_of_its_sampler(target: Target) -> None:
    import jax

    x, key = target.array(X), jax.random.key(5)
    options = {"estimator": estimators.simple, "max_k": 3, "validate": False, "rng_collection": "own"}
    module = gate(6, 2, "marginals", deterministic=True, **options)
    assert {name: getattr(module.sampler, name) for name in options} == options
    with jax.numpy_rank_promotion("raise"):
        np.testing.assert_allclose(module(x), x / 3, rtol=1e-6)
    z = ksubset.rsample(module.logits[...], 2, rng=key, sample_shape=(4,))
    np.testing.assert_array_equal(module(x, deterministic=False, rngs=key), x * z)


def test_a_gate_finds_features_tells_them_and_is_saved(target: Target) -> None:
    import jax
    import optax

    model = nnx.List([gate(6, 2), nnx.Linear(6, 1, rngs=nnx.Rngs(0))])
    optimizer = nnx.Optimizer(model, optax.adam(0.05), wrt=nnx.Param)

    @nnx.jit
    def step(model: Any, optimizer: Any, key: Any) -> None:
        x = jax.random.normal(key, (64, 6), "float32")
        loss = nnx.grad(lambda model: ((model[1](model[0](x))[:, 0] - x[:, 1] + 2 * x[:, 4]) ** 2).mean())
        optimizer.update(model, loss(model))

    for key in jax.random.split(jax.random.key(0), 150):
        step(model, optimizer, key)
    trained, x = model[0], jax.random.normal(jax.random.key(1), (3, 6), "float32")
    assert trained.chosen.nonzero()[0].tolist() == [1, 4]
    assert trained.probabilities[trained.chosen].min() > 0.8
    graph, parameters, rest = nnx.split(trained, nnx.Param, ...)
    saved = pickle.loads(pickle.dumps(jax.tree.map(np.asarray, nnx.to_pure_dict(parameters))))
    nnx.update(fresh := gate(6, 2), saved)
    for other in (fresh, copy.deepcopy(fresh), nnx.merge(graph, parameters, rest)):
        other.eval()
        np.testing.assert_array_equal(nnx.jit(lambda module: module(x))(other), x * trained.chosen)
    assert list(nnx.to_pure_dict(parameters)) == ["logits"]


def test_layers_are_pickled_by_their_public_names(target: Target) -> None:
    for layer in (sampler(2), gate(6, 2)):
        assert type(layer).__module__ == "ksubset.backends.flax"
        assert type(pickle.loads(pickle.dumps(layer))) is type(layer)
