"""Where the CPU fast path is taken, and that it changes nothing but the time."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from conftest import Target

import ksubset
from ksubset.backends._cpu import calls, small


def record(names: list[str], name: str, function: Callable[..., object], *args: object, **options: object) -> object:
    if name == "moments" and not options.get("partition", True):
        name = "marginals" if options.get("chosen", True) else "unchosen"
    names.append(name)
    return function(*args, **options)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the calls that the fast path takes, as they come; small calls go the way of all others."""
    names: list[str] = []
    monkeypatch.setattr(small, "value", lambda *_: None)
    monkeypatch.delenv("KSUBSET_FAST", raising=False)
    kernels = {"jacobian_product": "marginals_jvp", "sample": "draw", "moments": "moments", "scalars": "scalars"}
    kernels |= {"log_prob": "log_prob", "divergence": "divergence"}
    for function, name in kernels.items():
        monkeypatch.setattr(calls, function, partial(record, names, name, getattr(calls, function)))
    return names


@pytest.mark.backends("numpy", "torch")
@pytest.mark.parametrize("batch", [(), (7,), (2, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_answers_on_and_off(
    target: Target, taken: list[str], monkeypatch: pytest.MonkeyPatch, dtype: str, batch: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    logits, v = (
        target.array(rng.normal(size=(*batch, 30)), dtype),
        target.array(rng.normal(size=(4, *batch, 30)), dtype),
    )
    for k in (11, target.array(rng.integers(0, 31, size=batch[-1:]))):
        answers = []
        for setting in ("1", "0"):
            monkeypatch.setenv("KSUBSET_FAST", setting)
            answers.append([ksubset.marginals(logits, k), ksubset.marginals_jvp(logits, k, v)])
            assert taken == ["marginals", "marginals_jvp"]
        taken.clear()
        for fast, core in zip(*answers, strict=True):
            assert (fast.shape, fast.dtype) == (core.shape, core.dtype)
            tolerance = 1e-5 if dtype == "float32" else 1e-13
            np.testing.assert_allclose(target.to_numpy(fast), target.to_numpy(core), rtol=tolerance, atol=tolerance)


@pytest.mark.backends("numpy", "torch")
def test_mean_and_variance_of_the_distribution_object(
    target: Target, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = target.array(20 * np.random.default_rng(0).normal(size=(5, 40)))  # both sides of μ come near 0
    for make in distributions(target):
        d = make(logits, 11)
        fast = d.mean, d.variance
        assert taken == ["marginals", "marginals", "unchosen"]
        taken.clear()
        d.entropy()
        assert taken == ["scalars"]
        taken.clear()
        getattr(d, "_subsets", d).kl_to_uniform()
        assert taken == ["scalars"]
        taken.clear()
        getattr(d, "_subsets", d).log_prob_count()
        assert taken == ["moments"]
        taken.clear()
        shared = d.mean, d.variance
        monkeypatch.setenv("KSUBSET_FAST", "0")
        core = make(logits, 11)
        assert taken == []
        for answers in (fast, shared):
            for found, expected in zip(answers, (core.mean, core.variance), strict=True):
                np.testing.assert_allclose(target.to_numpy(found), target.to_numpy(expected), rtol=1e-12)
        monkeypatch.delenv("KSUBSET_FAST")


def distributions(target: Target) -> list[type]:
    if target.backend != "torch":
        return [ksubset.KSubset]
    from ksubset.backends.torch import KSubset

    return [ksubset.KSubset, KSubset]


@pytest.mark.backends("numpy", "torch")
@pytest.mark.parametrize("batch", [(), (7,), (2, 3)])
def test_scalars_on_and_off(
    target: Target, taken: list[str], monkeypatch: pytest.MonkeyPatch, batch: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(3)
    logits, other = (target.array(3 * rng.normal(size=(*batch, 30))) for _ in range(2))
    sizes = rng.integers(0, 31, size=batch)
    z = target.array(np.argsort(np.argsort(rng.normal(size=(*batch, 30)))) < sizes[..., None], "float64")
    k, answers = target.array(sizes), []
    for setting in ("1", "0"):
        monkeypatch.setenv("KSUBSET_FAST", setting)
        scalars = ("log_normalizer", "log_prob_count", "entropy", "kl_to_uniform")
        found = [getattr(ksubset, name)(logits, k) for name in scalars]
        found += [ksubset.log_prob(logits, k, z), ksubset.kl_divergence(logits, other, k)]
        d, e = ksubset.KSubset(logits, 11), ksubset.KSubset(other, 11)
        found += [d.entropy(), d.kl_divergence(e)]
        answers.append([target.to_numpy(x) for x in found])
        pair = ["scalars", "divergence"]
        assert taken == ["scalars", "moments", "scalars", "scalars", "log_prob", "divergence", *pair]
    for fast, core in zip(*answers, strict=True):
        assert (fast.shape, fast.dtype) == (batch, np.float64)
        np.testing.assert_allclose(fast, core, rtol=1e-13, atol=1e-13)


@pytest.mark.backends("numpy", "torch")
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_the_inverse_map_on_and_off(
    target: Target, taken: list[str], monkeypatch: pytest.MonkeyPatch, batch: tuple[int, ...]
) -> None:
    logits = np.random.default_rng(4).normal(size=(*batch, 30))
    for k in (11, target.array(np.random.default_rng(5).integers(1, 30, size=batch))):
        mu = ksubset.marginals(target.array(logits), k)
        for setting, kernels in (("1", {"marginals"}), ("0", set())):
            monkeypatch.setenv("KSUBSET_FAST", setting)
            taken.clear()
            found = ksubset.logits_from_marginals(mu, k)
            assert set(taken) == kernels
            np.testing.assert_allclose(
                target.to_numpy(found), logits - logits.mean(axis=-1, keepdims=True), rtol=0, atol=1e-12
            )
        monkeypatch.delenv("KSUBSET_FAST")


@pytest.mark.backends("torch")
def test_the_derivative_of_the_inverse_map_takes_kernels(target: Target, taken: list[str]) -> None:
    logits, v = np.random.default_rng(4).normal(size=(2, 3, 30))
    mu = ksubset.marginals(target.array(logits), 11).requires_grad_()
    theta = ksubset.logits_from_marginals(mu, 11)
    taken.clear()
    (theta * target.array(v)).sum().backward()
    assert set(taken) == {"marginals", "marginals_jvp"}
    image = ksubset.marginals_jvp(target.array(logits), 11, mu.grad)
    np.testing.assert_allclose(image, v - v.mean(axis=-1, keepdims=True), rtol=0, atol=1e-12)


@pytest.mark.backends("numpy", "torch")
def test_draws_follow_their_generator(target: Target, taken: list[str]) -> None:
    logits = target.array(np.zeros((2, 3, 20)))
    for draw in (ksubset.sample, ksubset.rsample):
        once, again, other = (
            target.to_numpy(draw(logits, 5, rng=target.rng(s), sample_shape=(4, 6))) for s in (1, 1, 2)
        )
        assert once.shape == (4, 6, 2, 3, 20)
        assert (once.sum(-1) == 5).all()
        assert (once == again).all()
        assert (once != other).any()
    assert taken == ["draw"] * 6
    assert draw(logits, 5, sample_shape=(0,)).shape == (0, 2, 3, 20)
    with pytest.raises(TypeError, match="rng must be a"):
        draw(logits, 5, rng="seed")


@pytest.mark.backends("numpy", "torch")
def test_what_stays_with_the_core(target: Target, taken: list[str]) -> None:
    logits = target.array(np.zeros((3, 6)))
    ksubset.sample_from_uniforms(logits, 2, target.array(np.zeros((3, 5))))
    ksubset.mode(logits, 2)
    for function in (ksubset.marginals, ksubset.entropy):
        function(logits[:0], 2)
    assert taken == []


@pytest.mark.backends("torch")
def test_gradients_of_torch(target: Target, taken: list[str]) -> None:
    import torch

    logits = target.array(np.random.default_rng(1).normal(size=(3, 9))).requires_grad_()
    g = torch.randn(5, 3, 9, dtype=torch.float64)
    z = ksubset.rsample(logits, 4, sample_shape=(5,))
    (gradient,) = torch.autograd.grad((z * g).sum(), logits)
    assert taken == ["draw", "marginals_jvp"]
    torch.testing.assert_close(gradient, ksubset.marginals_jvp(logits.detach(), 4, g.sum(0)))
    z = ksubset.rsample(logits, 4)
    (gradient,) = torch.autograd.grad((z * g[0]).sum(), logits, create_graph=True)
    (second,) = torch.autograd.grad((gradient * g[1]).sum(), logits)
    expected = torch.autograd.grad((ksubset.marginals_jvp(logits, 4, g[0]) * g[1]).sum(), logits)[0]
    torch.testing.assert_close(second, expected)
    assert torch.autograd.gradcheck(lambda x: ksubset.marginals(x, 4), logits)
    assert torch.autograd.gradcheck(lambda x: ksubset.KSubset(x, 4).variance, logits)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(logits.detach(), g[0])
        tangent = torch.autograd.forward_ad.unpack_dual(ksubset.rsample(dual, 4)).tangent
    torch.testing.assert_close(tangent, ksubset.marginals_jvp(logits.detach(), 4, g[0]))
    z.mul_(2)  # a result is the caller's own


@pytest.mark.backends("torch")
@pytest.mark.parametrize("changed", ["logits", "k"])
def test_changes_before_the_backward_pass_are_noticed(target: Target, taken: list[str], changed: str) -> None:
    leaf, k = target.array(np.zeros((3, 9))).requires_grad_(), target.array([1, 2, 3])
    logits = leaf * 1
    z = ksubset.rsample(logits, k)
    assert taken == ["draw"]
    (logits if changed == "logits" else k).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


@pytest.mark.backends("torch")
def test_transformations_take_the_core_and_compiled_programs_kernels(target: Target, taken: list[str]) -> None:
    import torch

    logits = target.array(np.zeros((3, 9)))
    torch.func.vmap(lambda x: ksubset.rsample(x, 4), randomness="different")(logits)
    with torch._subclasses.FakeTensorMode() as mode:
        ksubset.marginals(mode.from_tensor(logits), 4)
    shift = target.array([1.0, 2.0])
    torch.func.vmap(lambda x: ksubset.rsample(logits, 4) + x, randomness="same")(shift)
    assert taken == []
    torch.compile(lambda x: ksubset.marginals(x, 4), backend="eager")(logits)
    assert taken == ["marginals"]


@pytest.mark.backends("torch")
def test_a_training_step_frees_its_memory(target: Target) -> None:
    import gc
    import weakref

    logits = target.array(np.zeros((3, 9))).requires_grad_()
    gc.disable()
    try:
        z = ksubset.rsample(logits, 4)
        node = weakref.ref(z.grad_fn)
        del z
        assert node() is None
    finally:
        gc.enable()


def test_show_config_says_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("KSUBSET_FAST", raising=False)
    ksubset.show_config()
    versions, path, *_ = capsys.readouterr().out.splitlines()
    assert versions.startswith(f"ksubset {ksubset.__version__}, array-api-compat ")
    assert path == "CPU fast path: on, KSUBSET_FAST is not set"
    monkeypatch.setenv("KSUBSET_FAST", "1")
    ksubset.show_config()
    assert "CPU fast path: on, KSUBSET_FAST=1\n" in capsys.readouterr().out
    monkeypatch.delenv("KSUBSET_FAST")
    ksubset.show_config(np.zeros((128, 350), np.float32), 10)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-11].startswith("marginals: the fast path: ")
    assert printed[-8] == "mode: the fast path: row by row, items in SIMD lanes, by bisection"
    assert printed[-6].startswith("entropy: the fast path: ")
    assert printed[-4].startswith("log_prob: the fast path: ")
    assert printed[-3].startswith("divergences, log_prob_count: the fast path: ")
    assert printed[-2].startswith("count_log_pmf: the fast path: ")
    assert printed[-1] == "everything else: the core: there is no kernel for it"
    ksubset.show_config(np.zeros((0, 350)), 10)
    assert "sample, rsample: the core: there are kernels for float32 and float64 and no empty arrays" in (
        capsys.readouterr().out
    )
    monkeypatch.setenv("KSUBSET_FAST", "0")
    ksubset.show_config(np.zeros(4), 2)
    printed = capsys.readouterr().out
    assert "CPU fast path: off, KSUBSET_FAST is 0\n" in printed
    assert "marginals: the core: KSUBSET_FAST is 0" in printed
    with pytest.raises(TypeError, match="k must be an int"):
        ksubset.show_config(np.zeros(4))


@pytest.mark.parametrize(("setting", "imported"), [("1", "True"), ("0", "False")])
def test_numba_is_imported_by_the_first_call_that_uses_it(setting: str, imported: str) -> None:
    code = """
import sys, numpy as np, ksubset
ksubset.mode(np.zeros(4), ksubset.at_most(2))
early = "numba" in sys.modules
ksubset.marginals(np.zeros(4), 2)
print(early, "numba" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "KSUBSET_FAST": setting},
    )
    assert done.stdout.split() == ["False", imported]
