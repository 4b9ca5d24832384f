"""What `dask_zarr.py` wrote, looked at again, and how it came about."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import zarr

import ksubset

PACKAGES = ("ksubset", "numpy", "numba", "dask", "distributed", "zarr")
ARRAYS = ("marginals", "samples")
AGAIN = 6
"""Chunks that are computed again, without the cluster."""


def report(out: Path, logits: da.Array, z: da.Array, k: int) -> dict[str, Any]:
    """Checks of the values, events, and the memory of every process that wrote a chunk."""
    chunks = again(out, logits, z, k)
    checks = {"chunks_computed_again": chunks} | sums(out, k)
    exact = all(chunk["marginals_equal"] and chunk["samples_equal"] for chunk in chunks)
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    return {
        "settings": json.loads((out / "settings.json").read_text()) | {"n": logits.shape[-1], "k": k},
        "correct": exact and checks["sizes_of_samples"] == [k, k] and checks["largest_error_of_a_sum"] < 1e-5 * k,
        "checks": checks,
        "bytes": {name: size(out / f"{name}.zarr") for name in ARRAYS},
        "peak_mib": peaks(out),
        "events": [event | {"seconds": round(event["seconds"] - events[0]["seconds"], 1)} for event in events],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def again(out: Path, logits: da.Array, z: da.Array, k: int) -> list[dict[str, Any]]:
    """A few chunks at random, and the last, by NumPy; samples from the stream of the chunk."""
    count = logits.numblocks[0]
    chosen = {count - 1, *np.random.default_rng(1).integers(count, size=AGAIN - 1).tolist()}
    found = []
    for i in sorted(chosen):
        rows = slice(sum(logits.chunks[0][:i]), sum(logits.chunks[0][: i + 1]))
        stored = [zarr.open_array(out / f"{name}.zarr", mode="r")[rows] for name in ARRAYS]
        x, drawn = (part.blocks[i].compute(scheduler="synchronous") for part in (logits, z))
        found.append(
            {
                "chunk": i,
                "marginals_equal": bool(np.array_equal(stored[0], ksubset.marginals(x, k))),
                "samples_equal": bool(np.array_equal(stored[1], drawn != 0)),
            }
        )
    return found


def sums(out: Path, k: int) -> dict[str, Any]:
    """Of every row, and of every item: the samples' frequencies against the marginals, in standard errors."""
    mu, z = (da.from_zarr(out / f"{name}.zarr") for name in ARRAYS)
    sizes, totals = z.sum(axis=-1), mu.sum(axis=-1)
    found = da.compute(
        sizes.min(),
        sizes.max(),
        abs(totals - k).max(),
        z.sum(axis=0),
        mu.sum(axis=0, dtype=np.float64),
        (mu * (1 - mu)).sum(axis=0, dtype=np.float64),
    )
    least, most, error, drawn, expected, variance = found
    return {
        "sizes_of_samples": [int(least), int(most)],
        "largest_error_of_a_sum": float(error),
        "largest_standard_score_of_an_item": round(float((abs(drawn - expected) / np.sqrt(variance)).max()), 2),
    }


def peaks(out: Path) -> dict[str, dict[str, int]]:
    """For each process, the chunks it wrote and the most memory it has held."""
    found: dict[str, dict[str, int]] = {}
    for marker in sorted(out.glob("done/*.json")):
        seen = json.loads(marker.read_text())
        entry = found.setdefault(str(seen["process"]), {"chunks": 0, "peak_mib": 0})
        entry["chunks"] += 1
        entry["peak_mib"] = max(entry["peak_mib"], seen["peak_mib"])
    return found
