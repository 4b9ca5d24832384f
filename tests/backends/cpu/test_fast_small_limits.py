"""What is left to ordinary calls, and what a small call refuses or tells after another like it."""

from functools import partial
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from conftest import Target
from small_calls import FUNCTIONS, assert_same, at_once, readable, rows

import ksubset
from ksubset._call import masks
from ksubset._law import functions
from ksubset.backends import find
from ksubset.backends._cpu import threads
from ksubset.backends._cpu.kernels.counts import LONGEST
from ksubset.backends._cpu.prepared import prepared
from ksubset.backends._cpu.small import NAMES

pytestmark = pytest.mark.usefixtures("fast")


@readable
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_that_need_a_look_are_left_to_ordinary_calls(target: Target, name: str) -> None:
    """After a like call has been made, with one value at a time as it must not be, at each place."""
    function = FUNCTIONS[name]
    function(rows(target, (3, 5)), 2)
    for value in (np.nan, np.inf, -np.inf, masks.LOW, -1e30, 1e200):
        for place in ((0, 0), (1, 3), (2, 4)):
            given = np.random.default_rng(1).normal(size=(3, 5))
            given[place] = value
            logits = target.array(given)
            assert at_once(name, logits) is None
            if np.isnan(value):
                with pytest.raises(ValueError, match=rf"logits must not contain NaN; got NaN in row {place[0]}"):
                    function(logits, 2)
            else:
                assert_same(target, function(logits, 2), function(logits, 2, validate=True))


@readable
def test_other_logits_that_need_a_look_are_left_to_ordinary_calls(target: Target) -> None:
    logits, divergence = rows(target, (3, 5)), find(rows(target, (1,)), "logits").at_once
    ksubset.kl_divergence(logits, logits, 2)
    for value in (np.nan, np.inf, -np.inf, masks.LOW, 1e200):
        given = np.random.default_rng(1).normal(size=(3, 5))
        given[1, 3] = value
        other = target.array(given)
        assert divergence(functions.kl_divergence, logits, 2, other) is None
        if np.isnan(value):
            with pytest.raises(ValueError, match="other must not contain NaN; got NaN in row 1"):
                ksubset.kl_divergence(logits, other, 2)
        else:
            found, expected = (ksubset.kl_divergence(logits, other, 2, validate=x) for x in (None, True))
            assert_same(target, found, expected)
    for shape in ((5,), (4, 3, 5), (3, 1)):
        assert divergence(functions.kl_divergence, logits, 2, rows(target, shape)) is None
    assert_same(
        target,
        ksubset.kl_divergence(logits, rows(target, (5,)), 2, validate=True),
        ksubset.kl_divergence(logits, rows(target, (5,)), 2),
    )
    assert divergence(functions.kl_divergence, logits, 2, rows(target, (3, 5), "float32")) is None


@readable
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_limit_of_moderate_values_is_no_rounding_off(target: Target, dtype: str) -> None:
    """A value just above that of a mask is one to compute with at once, and the mask's own is not."""
    for others in (0.0, 1e-3, 2e-9):
        given = np.full((1, 9), others, dtype)
        given[0, 4] = masks.LOW
        assert at_once("entropy", target.array(given, dtype)) is None
        given[:] = 0
        given[0, 4] = np.nextafter(np.asarray(masks.LOW, dtype), np.asarray(0, dtype))
        assert at_once("entropy", target.array(given, dtype)) is not None


@readable
def test_masks_are_told_of_after_a_like_call(target: Target) -> None:
    ksubset.entropy(rows(target, (2, 4)), 2)
    given = np.array([[0.0, 1.0, 2.0, 3.0], [0.0, -1e9, -1e9, -1e9]])
    with pytest.warns(ksubset.MaskWarning, match="look like a mask in row 1"):
        ksubset.entropy(target.array(given), 2)


@readable
def test_sizes_are_checked_after_a_like_call(target: Target) -> None:
    logits = rows(target, (4,))
    ksubset.marginals(logits, 1)
    ksubset.marginals(logits, 0)
    for wrong, error in ((5, ValueError), (-1, ValueError), (True, TypeError), (False, TypeError), (1.0, TypeError)):
        with pytest.raises(error, match="k must be"):
            ksubset.marginals(logits, wrong)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ValueError, match="k must be at most max_k = 1; got 2"):
        ksubset.marginals(logits, 2, max_k=1)
    by_numpy: Any = np.int64(1)
    assert_same(target, ksubset.marginals(logits, by_numpy), ksubset.marginals(logits, 1))
    with pytest.raises(ValueError, match=r"k must be in \[0, 3\]"):
        ksubset.marginals(rows(target, (3,)), 4)
    with pytest.raises(ValueError, match="0-dimensional"):
        ksubset.marginals(target.array(np.asarray(1.0)), 0)


@readable
def test_subsets_are_checked_after_a_like_call(target: Target) -> None:
    logits, z = rows(target, (4,)), np.array([1.0, 1.0, 0.0, 0.0])
    ksubset.log_prob(logits, 2, target.array(z))
    for value in (0.5, -1.0, 2.0, np.nan, np.inf):
        wrong = target.array(np.where(z == 1, value, z))
        for call in (partial(ksubset.log_prob, logits, 2), ksubset.KSubset(logits, 2).log_prob):
            with pytest.raises(ValueError, match="z must contain only 0 and 1; got"):
                call(wrong)
    assert float(ksubset.log_prob(logits, 2, target.array(np.ones(4)))) == -np.inf
    with pytest.raises(ValueError, match=r"z must have shape \(\.\.\., 4\)"):
        ksubset.log_prob(logits, 2, target.array(np.ones(3)))
    with pytest.raises(TypeError, match="z must be an array of the same framework"):
        ksubset.log_prob(logits, 2, [1.0, 1.0, 0.0, 0.0])  # type: ignore[arg-type]  # wrong on purpose


@readable
def test_the_switch_is_obeyed_at_every_call(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = rows(target, (9,))
    assert at_once("entropy", logits) is not None
    monkeypatch.setenv("KSUBSET_FAST", "0")
    assert at_once("entropy", logits) is None


def allow(monkeypatch: pytest.MonkeyPatch, target: Target, limit: int) -> None:
    """Let a call take up to ``limit`` threads."""
    monkeypatch.setattr(threads, "default_threads", lambda: limit)
    if target.backend == "torch":
        monkeypatch.setattr("torch.get_num_threads", lambda: limit)


@readable
@pytest.mark.parametrize(
    ("name", "shape", "k"),
    [
        *((name, (4096, 64), 8) for name in FUNCTIONS if name != "count_log_pmf"),
        *((name, (1, 400_000), 200_000) for name in ("marginals", "entropy", "kl_divergence")),
        ("count_log_pmf", (2, 8192), 0),
    ],
)
def test_large_calls_are_left_to_ordinary_ones_unless_they_stay_on_one_thread(
    target: Target, name: str, shape: tuple[int, int], k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, function = rows(target, shape), FUNCTIONS[name]
    allow(monkeypatch, target, 2)
    assert at_once(name, logits, k) is None
    allow(monkeypatch, target, 1)
    assert at_once(name, logits, k) is not None
    assert_same(target, function(logits, k), function(logits, k, validate=True))


@readable
def test_large_draws_and_scores_too(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = rows(target, (4096, 64))
    z = ksubset.sample(logits, 8, rng=0, validate=True)
    for limit in (2, 1):
        allow(monkeypatch, target, limit)
        draw = find(logits, "logits").draw_at_once(functions.sample, logits, 8, 0)
        score = at_once("log_prob", logits, 8, z)
        assert (draw is None) == (score is None) == (limit == 2)
    assert_same(target, ksubset.sample(logits, 8, rng=0), z)
    assert_same(target, score, ksubset.log_prob(logits, 8, z, validate=True))


@readable
@pytest.mark.parametrize(("name", "passes"), [("marginals", 1), ("sample", 2), ("log_prob", 3), ("kl_divergence", 3)])
def test_two_threads_share_what_is_worth_both(
    target: Target, name: str, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's passes over the rows are counted; here `log_prob` is of two subsets to a row."""
    allow(monkeypatch, target, 2)
    work = prepared(NAMES[getattr(functions, name)], np.dtype("float64"), 1000, 64, 8).work / 1000
    for share, alone in ((1.9, True), (2.1, False)):
        logits = rows(target, (int(share * threads.GRAIN / passes / work), 64))
        z = target.array(np.tile(np.repeat([1.0, 0.0], [8, 56]), (2, len(logits), 1)))
        if name == "sample":
            found = find(logits, "logits").draw_at_once(functions.sample, logits, 8, 0)
        else:
            found = at_once(name, logits, 8, z if name == "log_prob" else None)
        assert (found is not None) == alone


@readable
def test_rows_beyond_a_kernel_are_left_to_ordinary_calls(target: Target) -> None:
    assert at_once("count_log_pmf", rows(target, (LONGEST + 1,))) is None


@readable
def test_squares_beyond_the_floats_are_no_trouble(target: Target) -> None:
    """In different parts of the sum."""
    x = np.zeros((1, 20_000), np.float32)
    x[0, 0] = x[0, -1] = 1.5e19
    logits = target.array(x, "float32")
    with np.errstate(all="raise"):
        assert_same(target, ksubset.marginals(logits, 5), ksubset.marginals(logits, 5, validate=True))


@readable
def test_many_moderate_values_are_moderate(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is out of range, however large the sum of all squares; one at the very end is."""
    allow(monkeypatch, target, 1)
    x = np.full((40, 4096), 50.0)
    assert (x**2).sum() > masks.LOW**2
    assert at_once("marginals", target.array(x)) is not None
    x[-1, -1] = masks.LOW
    assert at_once("marginals", target.array(x)) is None


@readable
def test_rows_that_no_kernel_takes_are_left_to_ordinary_calls(target: Target) -> None:
    assert at_once("marginals", rows(target, (0, 5))) is None
    assert at_once("marginals", rows(target, (5, 0)), 0) is None


@pytest.mark.backends("numpy")
def test_arrays_that_no_kernel_reads_as_they_are(target: Target) -> None:
    row = np.random.default_rng(0).normal(size=6)
    row.flags.writeable = False
    assert_same(target, ksubset.marginals(row, 2), ksubset.marginals(row.copy(), 2))
    for other in (row.astype(">f8"), row.astype(np.float16), row.astype(np.longdouble)):
        assert at_once("marginals", other) is None


@pytest.mark.backends("torch")
def test_tensors_under_a_transformation_take_the_ordinary_way(target: Target) -> None:
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    x = torch.tensor([0.3, -1.0, 0.5, 2.0])
    mean = ksubset.marginals(x, 2)
    leaf = x.clone().requires_grad_()
    assert ksubset.marginals(leaf, 2).requires_grad
    with torch.no_grad():
        assert_same(target, ksubset.marginals(leaf, 2), mean)
        assert not ksubset.marginals(torch.nn.Parameter(x), 2).requires_grad
    with torch.inference_mode():
        assert ksubset.marginals(x, 2).is_inference()
    for derived in (leaf, torch.nn.Parameter(x)):
        weights, gradients = torch.tensor([3.0, 1.0, 4.0, 1.0]), []
        for validate in (None, True):
            (ksubset.rsample(derived, 2, rng=1, validate=validate) @ weights).backward()
            gradients.append(derived.grad.clone())
            derived.grad = None
        assert_same(target, *gradients)
        assert not ksubset.sample(derived, 2).requires_grad
    z = torch.tensor([1.0, 1.0, 0.0, 0.0])
    assert ksubset.log_prob(x, 2, z.clone().requires_grad_()).shape == ()
    torch.testing.assert_close(torch.vmap(lambda x: ksubset.marginals(x, 2))(torch.stack([x, x]))[1], mean)
    _, tangent = torch.func.jvp(lambda x: ksubset.entropy(x, 2), (x,), (torch.ones(4),))
    torch.testing.assert_close(tangent, torch.tensor(0.0), atol=1e-6, rtol=0)
    traced = make_fx(lambda x: ksubset.marginals(x, 2))(x)
    torch.testing.assert_close(traced(2 * x), ksubset.marginals(2 * x, 2))
    torch.testing.assert_close(ksubset.marginals(torch._neg_view(-x), 2), mean)


@readable
def test_draws_and_their_arguments_are_checked_after_a_like_call(target: Target) -> None:
    logits = rows(target, (2, 5))
    ksubset.sample(logits, 2)
    for several in ((3,), (1,), (2, 2)):
        assert ksubset.sample(logits, 2, rng=0, sample_shape=several).shape == (*several, 2, 5)
    for wrong, message in ((2.5, "rng must be a"), (True, "rng must be a"), ("seed", "rng must be a")):
        with pytest.raises(TypeError, match=message):
            ksubset.sample(logits, 2, rng=wrong)
    with pytest.raises(TypeError, match="sample_shape must be"):
        ksubset.sample(logits, 2, rng=0, sample_shape=3)  # type: ignore[arg-type]  # wrong on purpose
    bad = target.array([[0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 2.0, np.nan, 4.0]])
    with pytest.raises(ValueError, match="logits must not contain NaN; got NaN in row 1"):
        ksubset.sample(bad, 2, rng=0)
    decided = ksubset.sample(target.array([[np.inf, 1.0, -np.inf, -np.inf, np.inf]]), 2, rng=0)
    np.testing.assert_array_equal(target.to_numpy(decided), [[1, 0, 0, 0, 1]])
