"""Every chunk has a random stream of its own, found from the seed and its position, whatever process draws from it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracle import Enumeration
from significance import check_frequencies, check_mean

import ksubset

da = pytest.importorskip("dask.array", reason="a test of the adapter of Dask, of the extra dask")

ROWS, CHUNK, N, K = 40, 10, 64, 16
LOGITS = da.zeros((ROWS, N), chunks=(CHUNK, N), dtype=np.float32)


@pytest.fixture(autouse=True)
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their compilation would take longer than the tests."""
    monkeypatch.setenv("KSUBSET_FAST", "0")


def drawn(rng: Any, **arguments: Any) -> np.ndarray:
    return ksubset.sample(LOGITS, K, rng=rng, **arguments).compute(scheduler="synchronous")


def test_chunks_draw_independently() -> None:
    many = da.zeros((4000, N), chunks=(1000, N), dtype=np.float32)
    z = ksubset.sample(many, K, rng=7).compute(scheduler="synchronous").reshape(4, 1000, N)
    shared = [(z[i] * z[j]).sum(axis=-1) for i in range(4) for j in range(i)]
    check_mean(np.stack(shared, axis=-1), np.full(6, K * K / N))
    grid = ksubset.sample(da.zeros((4, 4, N), chunks=(2, 2, N)), K, rng=7).compute(scheduler="synchronous")
    assert len({grid[i : i + 2, j : j + 2].tobytes() for i in (0, 2) for j in (0, 2)}) == 4


def test_chunks_together_draw_from_the_law() -> None:
    row = np.array([1.0, 0.0, -0.5, 0.3])
    law = Enumeration(row, 2)
    logits = da.from_array(np.broadcast_to(row, (20_000, 4)), chunks=(10, 4))
    z = ksubset.sample(logits, 2, rng=5).compute(scheduler="synchronous")
    counts = (z @ law.subsets.T == 2).sum(axis=0)
    check_frequencies(counts, np.exp(law.log_probabilities))


def test_seeds() -> None:
    z = drawn(7)
    assert (z.sum(axis=-1) == K).all()
    np.testing.assert_array_equal(drawn(7), z)
    np.testing.assert_array_equal(drawn(np.int64(7)), z)
    np.testing.assert_array_equal(drawn(np.random.SeedSequence(7)), z)
    others = [drawn(8), drawn(None), drawn(None), drawn(np.random.SeedSequence(7).spawn(1)[0])]
    assert len({x.tobytes() for x in (z, *others)}) == 5


def test_a_generator_moves_on_when_called_alone() -> None:
    first, second = (np.random.default_rng(3) for _ in range(2))
    lazy = [ksubset.sample(LOGITS, K, rng=first) for _ in range(2)]
    later, sooner = (x.compute(scheduler="synchronous") for x in reversed(lazy))
    assert not np.array_equal(sooner, later)
    np.testing.assert_array_equal(sooner, drawn(second))
    np.testing.assert_array_equal(later, drawn(second))


def test_stream_is_as_documented() -> None:
    sequence = np.random.SeedSequence(7, spawn_key=(0x6B73, 2))
    seed = int.from_bytes(sequence.generate_state(4).astype("<u4").tobytes(), "little")
    expected = ksubset.sample(np.zeros((CHUNK, N), np.float32), K, rng=seed, sample_shape=(3,))
    found = ksubset.sample(LOGITS, K, rng=7, sample_shape=(3,))
    assert found.chunks == ((3,), (CHUNK,) * 4, (N,))
    np.testing.assert_array_equal(found.blocks[:, 2].compute(scheduler="synchronous"), expected)


@pytest.mark.parametrize("k", [K, ksubset.at_most(K), "array"])
def test_rsample_draws_what_sample_draws(k: Any) -> None:
    k = da.full(ROWS, K, chunks=CHUNK, dtype=np.int64) if k == "array" else k
    pair = [f(LOGITS, k, rng=1).compute(scheduler="synchronous") for f in (ksubset.sample, ksubset.rsample)]
    np.testing.assert_array_equal(*pair)
    assert len({chunk.tobytes() for chunk in pair[0].reshape(-1, CHUNK, N)}) == 4


def test_schedulers_agree() -> None:
    distributed = pytest.importorskip("distributed", reason="a cluster needs distributed")
    logits = da.random.default_rng(0).normal(size=(ROWS, N), chunks=(CHUNK, N))
    lazy = [ksubset.sample(logits, K, rng=7), ksubset.marginals(logits, K), ksubset.entropy(logits, ksubset.at_most(K))]
    expected = da.compute(*lazy, scheduler="synchronous")
    for found, value in zip(da.compute(*reversed(lazy), scheduler="threads"), reversed(expected), strict=True):
        np.testing.assert_array_equal(found, value)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0") as cluster,
        distributed.Client(cluster),
    ):
        for found, value in zip(da.compute(*lazy), expected, strict=True):
            np.testing.assert_array_equal(found, value)


SCRIPT = Path(__file__).parents[3] / "docs" / "scale" / "dask_zarr.py"


def start(out: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SCRIPT), "--rows=12000", "--chunk=100", f"--out={out}", *options]
    environment = os.environ | {"KSUBSET_FAST": "0"}
    environment["PYTHONPATH"] = os.pathsep.join([str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)


def test_a_run_survives_a_killed_worker_and_goes_on_after_being_killed(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="the run writes to Zarr")
    pytest.importorskip("distributed", reason="a cluster needs distributed")
    out = tmp_path / "out"
    run, limit = start(out, "--kill-worker-after=10"), time.monotonic() + 120
    while len(list(out.glob("done/*.json"))) < 40:
        assert run.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert start(out).wait(timeout=120) != 0  # not without being told
    assert start(out, "--resume").wait(timeout=120) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["correct"]
    begin, killed, again, end = report["events"]
    assert [begin["event"], killed["event"], again["event"], end["event"]] == ["begin", "kill a worker", "begin", "end"]
    assert 40 <= again["chunks_done"] < end["chunks_done"] == 120
    assert len(report["peak_mib"]) >= 4
