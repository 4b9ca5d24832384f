"""Threads that share one long row: what they find does not depend on how many they are."""

import threading
import weakref
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from ksubset.backends._cpu import calls, planning, threads
from ksubset.backends._cpu.kernels import moments as moment_kernels
from ksubset.backends._cpu.kernels import team

N = planning.SHARED + 1237
"""The last section and the last group of items are not full."""

FORMS = {"exchanges": (20.0, 1000), "factors": (1.0, 6), "powers": (1.0, N // 3), "all but one": (1.0, N - 1)}
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def rows_of(form: str, dtype: type, rows: int = 1) -> tuple[np.ndarray, int]:
    """Logits that lead to a form of the integrand, and their k; for exchanges k items stand out."""
    scale, k = FORMS[form]
    logits = np.random.default_rng(0).normal(size=(rows, N))
    if form == "exchanges":
        logits[:, ::131] += 2 * scale
        k = len(logits[0, ::131])
    return logits.astype(dtype), k


def answers(logits: np.ndarray, k: int | np.ndarray, size: int) -> list[np.ndarray]:
    """Everything that kernels compute."""
    v = np.cos(np.arange(logits.size)).reshape(logits.shape).astype(logits.dtype)
    z, shifts = calls.sample(logits, k, 3, (2,), threads=size)
    known = calls.jacobian_product(logits, k, v, shifts=shifts, threads=size)
    return [
        z,
        shifts,
        known,
        calls.jacobian_product(logits, k, v, threads=size),
        *calls.moments(logits, k, threads=size),
        *(calls.scalars(logits, k, normaliser=normaliser, threads=size) for normaliser in (False, True)),
        calls.log_prob(logits, k, z, threads=size),
        calls.divergence(logits, k, v, threads=size),
    ]


@DTYPES
@pytest.mark.parametrize("form", FORMS)
def test_the_size_of_the_team_changes_nothing(form: str, dtype: type) -> None:
    logits, k = rows_of(form, dtype)
    expected = answers(logits, k, 1)
    assert (expected[0].sum(-1) == k).all()
    for size in (2, 3, team.MEMBERS + 1):
        for found, one in zip(answers(logits, k, size), expected, strict=True):
            np.testing.assert_array_equal(found, one)


def test_rows_of_all_kinds_one_after_the_other() -> None:
    """Each with a k of its own: infinite items, a NaN, too few items."""
    logits, k = rows_of("factors", np.float32, 4)
    logits[1, : N // 2], logits[2, 5], logits[3, 7:] = -np.inf, np.nan, -np.inf
    counts = np.array([k, N // 4, k, 8])
    expected = answers(logits, counts, 1)
    assert np.isnan(expected[0]).all(axis=(0, 2)).tolist() == [False, False, True, True]
    for found, one in zip(answers(logits, counts, 5), expected, strict=True):
        np.testing.assert_array_equal(found, one)


def test_many_callers_at_once() -> None:
    """More teams than threads: each waits until all of its members have come."""
    logits, k = rows_of("powers", np.float32)
    expected, found = answers(logits, k, 1), []
    callers = [threading.Thread(target=lambda: found.append(answers(logits, k, 3))) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    assert len(found) == len(callers)
    assert all(np.array_equal(x, y) for one in found for x, y in zip(one, expected, strict=True))


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_nobody_waits_for_a_member_that_failed(failing: int) -> None:
    """Here or on another thread, before it has met anyone."""
    plan = planning.arrange("moments", np.dtype(np.float32), "contour", "items", N, N)
    logits, shifts = rows_of("powers", np.float32)[0], np.empty((2, 1), np.float32)

    def member(rank: int, size: int, shared: int, own: int) -> None:
        if rank == failing:
            raise KeyboardInterrupt
        head = logits.ctypes.data, 0, 1000, N, 1, 0, 1, shifts.ctypes.data, 0, 0, 0
        moment_kernels.solve(*head, own, own + plan.scratch, rank, size, shared, plan.layout)

    with pytest.raises(KeyboardInterrupt):
        threads.run_together(member, 3, plan.shared, plan.scratch)
    assert len(answers(*rows_of("powers", np.float32), 3)) == 12


def test_members_keep_what_they_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may outlive the call, where an interrupt ends the wait for them."""
    members: list[object] = []
    monkeypatch.setattr(threads, "run_together", lambda member, *_: members.append(member))
    arrays = [rows_of("factors", np.float32)[0], np.full(1, 6), np.zeros((1, N), np.float32)]
    alive = [weakref.ref(x) for x in arrays]
    calls.jacobian_product(*arrays, threads=2)
    del arrays
    assert members
    assert all(x() is not None for x in alive)


def test_sections_cover_the_row() -> None:
    """Whole chunks, none of them empty."""
    from numba import njit

    from ksubset.backends._cpu.simd.vectors import zeros

    layout = planning.LAYOUTS[np.dtype(np.float32), "items"]

    @njit
    def bounds(n, s, layout):  # type: ignore[no-untyped-def]
        row = team.Row(0, 0, 0, 0, n, team.Team(0, 1, 0))
        return team.section(row, s, zeros(layout))

    for n in (team.LONG, team.LONG + 1, N, 10**7 + 3):
        edges = [bounds(n, s, layout) for s in range(team.SECTIONS)]
        assert edges[0][0] == 0
        assert edges[-1][1] == n
        assert all(a[1] == b[0] for a, b in pairwise(edges))
        assert all(first < stop for first, stop in edges)
