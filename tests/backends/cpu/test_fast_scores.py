"""Log-probabilities and divergences by kernels: the answers of the core for all shapes, draws, and strange entries."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from conftest import Target

import ksubset
from ksubset.backends._cpu import calls

pytestmark = pytest.mark.backends("numpy", "torch")
CASES = {
    "a row": ((6,), (6,), 2),
    "rows": ((3, 7), (3, 7), 3),
    "draws of rows": ((3, 7), (5, 3, 7), 3),
    "draws of rows on the contour": ((20, 40), (2, 3, 20, 40), 17),
    "complements": ((20, 40), (2, 20, 40), 38),
    "sizes": ((6, 40), (4, 6, 40), np.array([0, 1, 20, 39, 40, 33])),
    "few items of long rows": ((9, 600), (9, 600), 5),
    "items in lanes": ((2, 5000), (3, 2, 5000), 2000),
    "a subset of all rows": ((4, 7), (7,), 3),
    "rows inside": ((4, 1, 7), (4, 5, 7), 3),
}
each = pytest.mark.parametrize("name", CASES)


def drawn(shape: tuple[int, ...], k: Any, rng: np.random.Generator) -> np.ndarray:
    """Subsets of k items, or in a tenth of the rows of n − k."""
    ranks = np.argsort(np.argsort(rng.normal(size=shape)))
    z = ranks < np.broadcast_to(k, shape[:-1])[..., None]
    return np.where(rng.random((*shape[:-1], 1)) < 0.1, ~z, z).astype(float)


def masked(x: np.ndarray) -> np.ndarray:
    x[..., -2:] = np.finfo(x.dtype).min
    return x


def infinite(x: np.ndarray) -> np.ndarray:
    x[..., 0], x[..., 1] = -np.inf, np.inf
    return x


KINDS = {
    "plain": lambda x: x,
    "huge": lambda x: x * np.sqrt(np.finfo(x.dtype).max) ** 1.5,
    "infinite": infinite,
    "masked": masked,
}


@each
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_agrees_with_the_core(
    target: Target, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, dtype: str
) -> None:
    (shape, whole, k), rng = CASES[name], np.random.default_rng(0)
    x = KINDS[kind](5 * rng.normal(size=shape).astype(dtype))
    z = drawn(whole, k, rng)
    z[..., 0] = np.where(rng.random(whole[:-1]) < 0.1, 0.5, z[..., 0])
    found = []
    for setting in ("1", "0"):
        monkeypatch.setenv("KSUBSET_FAST", setting)
        size = k if isinstance(k, int) else target.array(k)
        value = ksubset.log_prob(target.array(x, dtype), size, target.array(z, dtype), validate=False)
        found.append(target.to_numpy(value))
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    assert found[0].dtype == dtype
    np.testing.assert_allclose(*found, rtol=tolerance, atol=tolerance)


@each
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divergences_agree_with_the_core(
    target: Target, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, dtype: str
) -> None:
    (shape, whole, k), rng = CASES[name], np.random.default_rng(0)
    x, plain = (5 * rng.normal(size=shape).astype(dtype) for _ in range(2))
    other = plain if shape == whole else 5 * rng.normal(size=whole).astype(dtype)
    x, other = target.array(KINDS[kind](x), dtype), target.array(other, dtype)
    k, found = k if isinstance(k, int) else target.array(k), []
    for setting in ("1", "0"):
        monkeypatch.setenv("KSUBSET_FAST", setting)
        values = (
            ksubset.kl_divergence(x, other, k, validate=False),
            ksubset.kl_divergence(other, x, k, validate=False),
            ksubset.kl_to_uniform(x, k, validate=False),
        )
        found.append([target.to_numpy(value) for value in values])
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@each
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_diverges_from_itself(target: Target, name: str, kind: str) -> None:
    shape, _, k = CASES[name]
    x = target.array(KINDS[kind](5 * np.random.default_rng(0).normal(size=shape)))
    k = k if isinstance(k, int) else target.array(k)
    found = target.to_numpy(ksubset.kl_divergence(x, x, k, validate=False))
    assert (found[np.isfinite(found)] == 0).all()
    assert np.isfinite(found).any()


@pytest.mark.parametrize(("n", "k"), [(40, 3), (40, 38), (40, 20), (600, 300)])
def test_certain_items_count_only_where_they_are_forbidden(target: Target, n: int, k: int) -> None:
    x = np.random.default_rng(0).normal(size=(3, n))
    x[:, 0], x[:, -1] = np.inf, -np.inf
    other = x.copy()
    other[1, 0] = 1.0
    other[2, -1] = 1.0
    there, back = (ksubset.kl_divergence(*pair, k) for pair in ((x, other), (other, x)))
    assert np.isfinite(there).all()
    assert (there[0], *back[1:]) == (0, np.inf, np.inf)


def test_a_row_is_tilted_once_for_all_its_draws(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KSUBSET_FAST", raising=False)
    shapes, log_prob = [], calls.log_prob

    def watched(logits: Any, k: Any, z: Any, *rest: Any, **settings: Any) -> Any:
        shapes.append((tuple(logits.shape), tuple(z.shape)))
        return log_prob(logits, k, z, *rest, **settings)

    monkeypatch.setattr(calls, "log_prob", watched)
    z = target.array(drawn((1000, 9), 4, np.random.default_rng(0)), "int32")
    x = target.array(np.zeros(9))
    assert ksubset.log_prob(x, 4, z).shape == ksubset.KSubset(x, 4).log_prob(z).shape == (1000,)
    assert shapes == [((9,), (1000, 9))] * 2


@pytest.mark.parametrize(("n", "k"), [(40, 5), (40, 20), (70_000, 30_000)])
def test_draws_of_no_row_and_no_draws(target: Target, n: int, k: int) -> None:
    x = target.array(np.zeros((2, n)))
    assert ksubset.log_prob(x, k, target.array(np.zeros((0, 2, n)))).shape == (0, 2)
    assert ksubset.log_prob(x[:0], k, target.array(np.zeros((3, 0, n)))).shape == (3, 0)
    z = ksubset.sample(x, k, rng=target.rng(0))
    expected = -target.to_numpy(ksubset.log_normalizer(x, k))
    np.testing.assert_allclose(target.to_numpy(ksubset.log_prob(x, k, z)), expected, rtol=1e-13)
