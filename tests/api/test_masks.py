"""A warning where finite masks leave a row fewer items than it must choose, and only there."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Target

import ksubset
from ksubset._call import masks

MASKS = {"float64": [-1e4, -1e9, np.finfo(np.float64).min], "float32": [-1e4, -1e9, np.finfo(np.float32).min]}
HALF = {"float16": [-1e4, -65504.0], "bfloat16": [-1e4, -1e9, -3.3e38]}
readable = pytest.mark.backends("numpy", "strict", "torch", "jax")


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not warned yet."""
    monkeypatch.setattr(masks, "_told", set())


def padded(mask: float, added: bool = False) -> np.ndarray:
    """Scores of four items, of which three, one and none are real."""
    scores = np.array([[0.5, -3.0, 2.0, 1.0], [7.0, 1.0, 0.0, -2.0], [0.0, 1.0, 2.0, 3.0]])
    real = np.arange(4) < np.array([3, 1, 0])[:, None]
    return np.where(real, scores, scores * added + mask)


def warned(call: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in found if one.category is ksubset.MaskWarning]


@readable
@pytest.mark.parametrize(("dtype", "mask"), [(d, m) for d, ms in (MASKS | HALF).items() for m in ms])
@pytest.mark.parametrize("added", [False, True])
def test_masks_of_every_dtype(target: Target, dtype: str, mask: float, added: bool) -> None:
    if dtype in HALF and target.backend in ("torch", "jax"):
        wide, narrow = target.array(padded(mask, added), "float32"), getattr(target.xp, dtype)
        logits = wide.to(narrow) if target.backend == "torch" else wide.astype(narrow)
    else:
        target.require(dtype)
        logits = target.array(padded(mask, added), dtype)
    (message,) = warned(lambda: ksubset.mode(logits, 2))
    assert "look like a mask in row 1, where fewer than k items are left, 1: give each row a k of its own" in message
    assert not warned(lambda: ksubset.mode(logits, target.array([2, 1, 0])))
    assert not warned(lambda: ksubset.mode(logits[:1, :], 3))
    assert not warned(lambda: ksubset.mode(logits, 2, validate=False))


@readable
def test_every_function_warns(target: Target) -> None:
    logits = target.array(padded(-1e9))
    z, v = target.array([1.0, 1.0, 0.0, 0.0]), target.array(np.zeros(4))
    calls: list[Callable[[], Any]] = [
        lambda: ksubset.marginals(logits, 2),
        lambda: ksubset.sample(logits, 2, rng=target.rng(0)),
        lambda: ksubset.rsample(logits, 2, rng=target.rng(0)),
        lambda: ksubset.entropy(logits, 2),
        lambda: ksubset.log_prob(logits, 2, z),
        lambda: ksubset.kl_divergence(v + 0 * logits, logits, 2),
        lambda: ksubset.KSubset(logits, 2),
        lambda: ksubset.marginals(logits, ksubset.at_least(2)),
        lambda: ksubset.marginals(logits, target.array([1, 2, 0])),
        lambda: ksubset.marginals(logits, ksubset.between(target.array([0, 2, 0]), 3)),
    ]
    for call in calls:
        (message,) = warned(call)
        assert "in row 1" in message


@readable
def test_a_single_row_has_no_number(target: Target) -> None:
    row = target.array([0.0, -1e9, -1e9, -1e9])
    calls = [
        lambda: ksubset.marginals(row, 2),
        lambda: ksubset.marginals(row, ksubset.at_least(2)),
    ]
    for call in calls:
        (message,) = warned(call)
        assert "fewer than k items are left, 1" in message
        assert "row" not in message.partition(":")[0]
    assert not warned(lambda: ksubset.marginals(row, ksubset.at_most(2)))


@readable
def test_at_most_never_needs_what_is_masked(target: Target) -> None:
    logits = target.array(padded(-1e9))
    assert not warned(lambda: ksubset.marginals(logits, ksubset.at_most(2)))
    assert not warned(lambda: ksubset.marginals(logits, ksubset.at_least(target.array([2, 1, 0]))))


@readable
@pytest.mark.parametrize(
    "row",
    [
        [-12_001.0, -12_000.0, -12_030.0, -11_990.0],  # likelihoods of long series
        [3e5, 1e5, -2e4, -3e5],  # scores over a small temperature
        [0.0, -5e3, -9.5e3, -1.2e4],
        [0.0, 1.0, -8e3, -8e3],
        [np.inf, 1.0, 2.0, -1e9],
        [-5e3, -5e3, -1.2e4, -1.2e4],  # 7000 apart
        [6e3, -8e3, -2e4, -2e4],  # nearer to the rest than its ends are to each other
        [-9e3, -1e5, -1e5, -1e5],  # all are low, and they differ
    ],
    ids=str,
)
def test_what_is_no_mask(target: Target, row: list[float]) -> None:
    assert not warned(lambda: ksubset.marginals(target.array([row]), 3))


@readable
@pytest.mark.parametrize(
    "row",
    [
        [0.0, -9e3, -9e3, -9e3],  # the highest mask
        [np.inf, 0.0, -1e9, -1e9],  # beside an item that is always chosen
        [1.0, 0.0, -np.inf, -1e9],  # beside an item that is never chosen
        [4e4, 0.0, -4e4, -4e4],  # as far below the rest as its ends are from each other
    ],
    ids=str,
)
def test_what_is_just_a_mask(target: Target, row: list[float]) -> None:
    (message,) = warned(lambda: ksubset.marginals(target.array([row]), 3))
    assert message.startswith(f"logits of {row[-1]:.3g} look like a mask")
    (message,) = warned(lambda: ksubset.marginals(target.array([row]), ksubset.at_least(3)))
    assert message.startswith(f"logits of {row[-1]:.3g} look like a mask")


@pytest.mark.backends("numpy")
def test_once_for_each_place(target: Target) -> None:
    logits = padded(-1e9)

    def here() -> None:
        ksubset.marginals(logits, 2)

    assert len(warned(here)) == 1
    assert not warned(here)
    assert len(warned(lambda: ksubset.marginals(logits, 2))) == 1
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        ksubset.KSubset(logits[1], 2)
    assert found[0].filename == __file__
    assert "in row" not in str(found[0].message)


@pytest.mark.backends("torch")
def test_layers_and_distributions(target: Target) -> None:
    from ksubset.backends.torch import KSubset, SubsetSampler

    logits = target.array(padded(-1e9))
    assert len(warned(lambda: SubsetSampler(2)(logits))) == 1
    assert len(warned(lambda: KSubset(logits, 2, validate_args=True))) == 1  # torch.compile changes the default
    assert not warned(lambda: KSubset(logits, 2, validate_args=False))


@pytest.mark.backends("jax")
def test_traced_values_are_not_read(target: Target) -> None:
    import jax

    assert not warned(lambda: jax.jit(lambda x: ksubset.mode(x, 2))(target.array(padded(-1e9))))
