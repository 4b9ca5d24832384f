"""The battery: what lies in memory in another way gives the same results, and is left as it was."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from battery_bounds import check_images, check_marginals, check_scalars
from conftest import Target
from strategies import Rows, battery

import ksubset

SIZES = (1, 4, 9, 40)
LAZY = (7,)


def strided(x: np.ndarray) -> np.ndarray:
    """Every other entry of a wider array, in both directions."""
    wide = np.full((2 * x.shape[0], 2 * x.shape[1] + 1), 77, x.dtype)
    wide[::2, 1::2] = x
    return wide[::2, 1::2]


def backwards(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def unaligned(x: np.ndarray) -> np.ndarray:
    """One byte after an address that suits the dtype."""
    buffer = np.zeros(x.nbytes + 1, np.uint8)
    view = buffer[1:].view(x.dtype).reshape(x.shape) if x.size else x
    view[...] = x
    return view


def foreign(x: np.ndarray) -> np.ndarray:
    """A record's field: its rows lie further apart than an array's."""
    record = np.zeros(len(x), [("first", np.int8), ("row", x.dtype, x.shape[1:])])
    record["row"] = x
    return record["row"]


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Fortran order": np.asfortranarray,
    "strided": strided,
    "backwards": backwards,
    "read-only": read_only,
    "unaligned": unaligned,
    "field of a record": foreign,
}

LACKING = {
    "torch": "torch's tensors have positive strides, are aligned and may be written to",
    "strict": "array-api-strict copies its argument",
    "jax": "JAX copies its argument",
    "cupy": "CuPy's arrays are made on the device, in order, aligned, and may be written to",
}
"""Why a framework has no arrays of a layout."""


def laid_out(target: Target, x: np.ndarray, name: str) -> Any:
    """An array of the target that lies as named, or None where the framework knows no such thing."""
    if target.backend == "numpy":
        return LAYOUTS[name](x)
    plain = target.array(x, x.dtype.name)
    if target.backend == "torch" and name in ("Fortran order", "strided"):
        import torch

        wide = torch.zeros((2 * x.shape[0], 2 * x.shape[1] + 1), dtype=plain.dtype, device=target.device)
        y = torch.as_strided(wide, x.shape, (1, x.shape[0])) if name == "Fortran order" else wide[::2, 1::2]
        return y.copy_(plain)
    if name == "Fortran order":
        return target.xp.permute_dims(target.array(x.T, x.dtype.name), (1, 0))
    return None


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(target: Target, name: str) -> None:
    if laid_out(target, np.zeros((2, 3), target.dtypes[0]), name) is None:
        pytest.skip(f"{LACKING[target.backend]}; asked for: {name}")

    @battery(0.02, sizes=SIZES, lazy=LAZY)
    def same(target: Target, case: Rows) -> None:
        arrays = [x.astype(case.dtype) for x in (case.logits, case.v, case.z, case.other)]
        plain, laid = [target.array(x, case.dtype) for x in arrays], [laid_out(target, x, name) for x in arrays]
        assert [x.dtype for x in laid] == [x.dtype for x in plain]
        sizes = [laid_out(target, case.k[:, None], name)[:, 0], target.array(case.k)]
        found, expected = answers(target, case, sizes[0], *laid), answers(target, case, sizes[1], *plain)
        check_marginals(case, found[0], expected[0])
        check_images(case, found[1], expected[1])
        for mine, theirs in zip(found[2:], expected[2:], strict=True):
            check_scalars(case, mine, theirs)
        for x, given in zip(laid, arrays, strict=True):
            np.testing.assert_array_equal(target.to_numpy(x), given)

    same(target)


def answers(target: Target, case: Rows, k: Any, logits: Any, v: Any, z: Any, other: Any) -> list[np.ndarray]:
    u = target.array(case.rng.random((3, logits.shape[0], logits.shape[1] - 1)), case.dtype)
    found = [
        ksubset.marginals(logits, k),
        ksubset.marginals_jvp(logits, k, v),
        ksubset.log_prob(logits, k, z),
        ksubset.kl_divergence(logits, other, k),
        ksubset.entropy(logits, k),
        ksubset.log_normalizer(logits, k),
        ksubset.mode(logits, k),
        ksubset.sample_from_uniforms(logits, k, u),
    ]
    for draw in (ksubset.sample, ksubset.rsample):
        assert (target.to_numpy(draw(logits, k, rng=target.rng(0))).sum(axis=-1) == case.k).all()
    return [target.to_numpy(x) for x in found]


@battery(0.08, sizes=SIZES, lazy=LAZY)
def test_broadcasting(target: Target, case: Rows) -> None:
    """One row repeated without a copy; logits, k, v, z and other of fewer dimensions or longer ones than the batch."""
    x, k = case.logits[:1], int(case.k[0])
    one = Rows(case.dtype, np.repeat(x, len(case.k), axis=0), np.full(len(case.k), k), True, case.seed)
    row, rows = target.array(x[0], case.dtype), target.array(one.logits, case.dtype)
    wide = target.xp.broadcast_to(row, tuple(rows.shape))
    v, z, other = (target.array(a, case.dtype) for a in (one.v, one.z, one.other))
    for narrow in (row, wide, row[None, ...]):
        mu = target.to_numpy(ksubset.marginals(narrow, k))
        check_marginals(one, np.broadcast_to(mu, one.logits.shape), target.to_numpy(ksubset.marginals(rows, k)))
        image = target.to_numpy(ksubset.marginals_jvp(narrow, k, v))
        check_images(one, image, target.to_numpy(ksubset.marginals_jvp(rows, k, v)))
        for function, second in (
            (lambda a, b: ksubset.log_prob(a, k, b), z),
            (lambda a, b: ksubset.kl_divergence(a, b, k), other),
        ):
            check_scalars(one, target.to_numpy(function(narrow, second)), target.to_numpy(function(rows, second)))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0), (3, 0, 4), (0, 2, 5), (2, 3, 0)])
@pytest.mark.parametrize("by_row", [False, True])
def test_nothing_at_all(target: Target, shape: tuple[int, ...], by_row: bool) -> None:
    batch, n = shape[:-1], shape[-1]
    if target.backend == "jax" and (len(shape) > 2 or not by_row):
        pytest.skip("JAX compiles every function for every shape; three shapes are enough")
    for dtype in target.dtypes[-1:] if target.backend == "jax" else target.dtypes:
        x, k = target.array(np.zeros(shape), dtype), target.array(np.zeros(batch, int)) if by_row else 0
        for name in ("log_normalizer", "log_prob_count", "entropy", "kl_to_uniform"):
            assert tuple(getattr(ksubset, name)(x, k).shape) == batch
        for result in (ksubset.marginals(x, k), ksubset.mode(x, k), ksubset.marginals_jvp(x, k, x)):
            assert (tuple(result.shape), result.dtype) == (shape, x.dtype)
        assert tuple(ksubset.covariance(x, k).shape) == (*shape, n)
        assert tuple(ksubset.log_prob(x, k, x).shape) == batch
        assert tuple(ksubset.kl_divergence(x, x, k).shape) == batch
        for draws in ((), (0,), (2, 3)):
            assert tuple(ksubset.sample(x, k, rng=target.rng(0), sample_shape=draws).shape) == (*draws, *shape)
            u = target.array(np.zeros((*draws, *batch, max(n - 1, 0))), dtype)
            assert tuple(ksubset.sample_from_uniforms(x, k, u).shape) == (*draws, *shape)
        assert tuple(ksubset.rsample(x, k, rng=target.rng(0), sample_shape=(2,)).shape) == (2, *shape)
        assert tuple(ksubset.KSubset(x, k).variance.shape) == shape
