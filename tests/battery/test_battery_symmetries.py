"""The battery: functions compared with themselves, where a change of the arguments has a known effect on the result.

Both results may be off by the stated bound; here their difference is held to it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from battery_bounds import check_images, check_marginals, check_scalars
from conftest import Target
from strategies import Rows, battery

import ksubset

SIZES = (2, 5, 9, 40)
LAZY = (7,)
Results = dict[str, np.ndarray]


def results(target: Target, case: Rows, logits: np.ndarray, k: Any, dtype: str | None = None) -> Results:
    """What is compared, with the v, z and other logits of the case."""
    return all_results(target, dtype or case.dtype, logits, k, case.v, case.z, case.other)


def all_results(
    target: Target, dtype: str, logits: np.ndarray, k: Any, v: np.ndarray, z: np.ndarray, other: np.ndarray
) -> Results:
    x, eta, w, subset = (target.array(a, dtype) for a in (logits, other, v, z))
    k = k if isinstance(k, int) else target.array(k)
    found = {name: getattr(ksubset, name)(x, k) for name in ("marginals", "entropy", "kl_to_uniform", "mode")}
    found |= {
        "marginals_jvp": ksubset.marginals_jvp(x, k, w),
        "log_prob": ksubset.log_prob(x, k, subset),
        "kl_divergence": ksubset.kl_divergence(x, eta, k),
    }
    return {name: target.to_numpy(value) for name, value in found.items()}


def check_same(case: Rows, found: Results, expected: Results) -> None:
    check_marginals(case, found["marginals"], expected["marginals"])
    check_images(case, found["marginals_jvp"], expected["marginals_jvp"])
    for name in ("entropy", "kl_to_uniform", "log_prob", "kl_divergence"):
        check_scalars(case, found[name], expected[name])
    assert (found["mode"] == expected["mode"]).all()


@battery(0.04, sizes=SIZES, lazy=LAZY)
def test_permutation_of_items(target: Target, case: Rows) -> None:
    order = case.rng.permutation(case.logits.shape[1])
    before = results(target, case, case.logits, case.count(target))
    moved = [x[:, order] for x in (case.logits, case.v, case.z, case.other)]
    after = all_results(target, case.dtype, moved[0], case.count(target), *moved[1:])
    for name in ("marginals", "marginals_jvp", "mode"):
        after[name] = after[name][:, np.argsort(order)]
    distinct = [len(np.unique(row)) == len(row) for row in case.logits]  # ties go by the order of the items
    after["mode"] = np.where(np.array(distinct)[:, None], after["mode"], before["mode"])
    check_same(case, after, before)


@battery(0.04, sizes=SIZES, lazy=LAZY)
def test_a_constant_added_to_the_logits(target: Target, case: Rows) -> None:
    """Multiples of 2⁻⁸, so that sums are exact in float32."""
    logits = np.where(np.isinf(case.logits), case.logits, np.round(np.clip(case.logits, -64, 64) * 256) / 256)
    constant = np.round(case.rng.normal(size=(len(case.k), 1)) * 300)
    before, after = (results(target, case, x, case.count(target)) for x in (logits, logits + constant))
    check_same(case, after, before)
    finite = np.where(np.isinf(logits), 0.0, logits)
    raised = [
        ksubset.log_normalizer(target.array(x, case.dtype), target.array(case.k)) for x in (finite, finite + constant)
    ]
    low, high = (target.to_numpy(x).astype(np.longdouble) for x in raised)
    check_scalars(case, high.astype(case.dtype), low + case.k * constant[:, 0])


@battery(0.04, sizes=SIZES, lazy=LAZY)
def test_complement(target: Target, case: Rows) -> None:
    n, k = case.logits.shape[1], case.count(target)
    before = results(target, case, case.logits, k)
    after = all_results(target, case.dtype, -case.logits, n - k, case.v, 1 - case.z, -case.other)
    unchosen = after["marginals"]
    assert (np.abs(before["marginals"].astype(np.longdouble) + unchosen - 1) <= np.finfo(case.dtype).eps * n).all()
    after |= {"marginals": before["marginals"], "mode": before["mode"]}
    check_same(case, after, before)


@battery(0.04, sizes=SIZES, lazy=LAZY)
def test_rows_alone_and_in_a_batch(target: Target, case: Rows) -> None:
    """Split in two, and each row on its own."""
    together = results(target, case, case.logits, case.count(target))
    for cuts in ([3], range(1, len(case.k))):
        parts = zip(*(np.split(x, cuts) for x in (case.logits, case.k, case.v, case.z, case.other)), strict=True)
        found = [all_results(target, case.dtype, x, k, *rest) for x, k, *rest in parts]
        check_same(case, {name: np.concatenate([part[name] for part in found]) for name in together}, together)
        if target.backend == "jax":
            break  # every other shape is compiled anew


@battery(0.04, sizes=SIZES, lazy=LAZY)
def test_casting(target: Target, case: Rows) -> None:
    """float32 logits in float64; z, v and k of other dtypes."""
    if "float64" not in target.dtypes:
        pytest.skip("this device has one real floating dtype")
    single = np.clip(case.logits, *(np.finfo(np.float32).max * np.array([-0.1, 0.1])))
    single = np.where(np.isinf(case.logits), case.logits, single).astype(np.float32).astype(float)
    if target.backend == "jax":  # XLA compares subnormal numbers, which are normal in float64, as if they were 0
        single = np.where(np.abs(single) < np.finfo(np.float32).tiny, 0, single)
    k = case.count(target)
    narrow, wide = (results(target, case, single, k, dtype) for dtype in ("float32", "float64"))
    loose = Rows("float32", single, case.k, case.one_size, case.seed)
    wide["log_prob"] = np.where(np.abs(wide["log_prob"]) > np.finfo(np.float32).max, -np.inf, wide["log_prob"])
    check_same(loose, narrow, wide)
    x, v, z = target.array(single, "float32"), target.array(case.v, "float64"), case.z
    check_images(loose, target.to_numpy(ksubset.marginals_jvp(x, k_of(target, k), v)), wide["marginals_jvp"])
    for dtype in ("bool", "int8", "uint8", "int64"):
        found = target.to_numpy(ksubset.log_prob(x, k_of(target, k), target.array(z, dtype)))
        assert (found == narrow["log_prob"]).all()
    for dtype in ("int8", "int16", "uint8"):
        found = target.to_numpy(ksubset.marginals(x, target.array(case.k, dtype)))
        check_marginals(loose, found, narrow["marginals"])


def k_of(target: Target, k: Any) -> Any:
    return k if isinstance(k, int) else target.array(k)


HALVES: dict[str, Callable[[Target], list[Any]]] = {
    "numpy": lambda target: [np.float16],
    "torch": lambda target: [target.xp.float16, target.xp.bfloat16],
    "jax": lambda target: [target.xp.float16, target.xp.bfloat16],
    "cupy": lambda target: [target.xp.float16],
}


@battery(0.02, sizes=SIZES, lazy=LAZY)
def test_half_precision(target: Target, case: Rows) -> None:
    """Computed in float32, returned as given: to the bit what the float32 result is after rounding."""
    if target.backend == "strict":
        pytest.skip("the array API standard has no half-precision dtypes")
    limited = np.where(np.isinf(case.logits), case.logits, np.clip(case.logits, -6e4, 6e4))
    k = k_of(target, case.count(target))
    for half in HALVES[target.backend](target):
        x = target.xp.astype(target.array(limited, "float32"), half)
        single = target.xp.astype(x, target.xp.float32)
        for name in ("marginals", "log_normalizer", "entropy", "log_prob_count", "mode", "covariance"):
            found, wide = (getattr(ksubset, name)(y, k) for y in (x, single))
            assert found.dtype == half
            with np.errstate(over="ignore"):
                expected = target.xp.astype(target.xp.astype(wide, half), target.xp.float32)
            np.testing.assert_array_equal(
                *(target.to_numpy(y) for y in (target.xp.astype(found, target.xp.float32), expected))
            )
