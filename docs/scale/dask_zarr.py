"""Marginals and samples of many rows, written chunk by chunk to Zarr by a cluster of processes; any process may die.

    python docs/scale/dask_zarr.py --rows 50_000_000 --out /data/scale
    python docs/scale/dask_zarr.py --rows 50_000_000 --out /data/scale --resume

A chunk is done when its marker is there, which is written after its data. ``--resume`` skips the chunks that are done.
The result does not depend on which process died when: a chunk's random stream is found from the seed and its position.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import dask.array as da
import dask_report
import numpy as np
import zarr
from distributed import Client, LocalCluster, as_completed
from tqdm import tqdm

import ksubset

N, K = 32, 4
"""Items and size of the subsets."""


def logits_of_chunk(seed: int, rows: tuple[int, ...], block_id: tuple[int, ...]) -> np.ndarray:
    """In place of reading a file: the same every time."""
    rng = np.random.default_rng([seed, *block_id])
    return rng.standard_normal((rows[block_id[0]], N), dtype=np.float32)


def make(rows: int, chunk: int, seed: int) -> tuple[da.Array, da.Array, da.Array]:
    """Logits, marginals and samples, all lazy."""
    sizes = tuple(min(chunk, rows - start) for start in range(0, rows, chunk))
    logits = da.map_blocks(
        logits_of_chunk, seed, sizes, chunks=(sizes, N), dtype=np.float32, meta=np.empty((0, 0), np.float32)
    )
    return logits, ksubset.marginals(logits, K), ksubset.sample(logits, K, rng=seed)


def write(mu: np.ndarray, z: np.ndarray, out: str, chunk: int, block_id: tuple[int, ...]) -> np.ndarray:
    """The data of a chunk, then its marker, which appears at once and complete."""
    number = block_id[0]
    rows = slice(number * chunk, number * chunk + len(mu))
    zarr.open_array(f"{out}/marginals.zarr", mode="r+")[rows] = mu
    zarr.open_array(f"{out}/samples.zarr", mode="r+")[rows] = z.astype(bool)
    marker = Path(out, "done", f"{number:06}.json")
    draft = marker.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({"process": os.getpid(), "peak_mib": peak_memory()}))
    draft.replace(marker)
    return np.ones((1, 1), bool)


def peak_memory() -> int:
    """The largest resident size of this process so far, in MiB, as Linux counts it."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def done(out: Path) -> set[int]:
    return {int(marker.stem) for marker in out.glob("done/*.json")}


def begin(args: argparse.Namespace) -> None:
    """Empty arrays, or the ones of the run that is resumed."""
    settings = {name: getattr(args, name) for name in ("rows", "chunk", "seed")}
    file = args.out / "settings.json"
    if file.exists():
        if not args.resume:
            sys.exit(f"{args.out} holds a run already: give --resume, or another --out")
        if json.loads(file.read_text()) != settings:
            sys.exit(f"{args.out} was begun with {file.read_text()}; got {settings}")
        return
    (args.out / "done").mkdir(parents=True)
    for name, dtype in (("marginals", "float32"), ("samples", "bool")):
        zarr.create_array(
            args.out / f"{name}.zarr", shape=(args.rows, N), chunks=(args.chunk, N), dtype=dtype, compressors=None
        )
    file.write_text(json.dumps(settings))


def run(client: Client, args: argparse.Namespace) -> None:
    """Write the missing chunks; on the way kill a worker, if asked to."""
    _, mu, z = make(args.rows, args.chunk, args.seed)
    written = da.map_blocks(
        write, mu, z, str(args.out), args.chunk, chunks=(1, 1), dtype=bool, meta=np.empty((0, 0), bool)
    )
    found = done(args.out)
    missing = [i for i in range(written.numblocks[0]) if i not in found]
    log(args.out, event="begin", chunks_done=len(found), workers=sorted(client.run(os.getpid).values()))
    futures = as_completed(client.compute([written.blocks[i] for i in missing]))
    for count, future in enumerate(tqdm(futures, total=len(missing), mininterval=10), 1):
        future.result()
        future.release()
        if count == args.kill_worker_after:
            process = min(client.run(os.getpid).values())
            os.kill(process, signal.SIGKILL)
            log(args.out, event="kill a worker", chunks_done=len(done(args.out)), worker=process)
    log(args.out, event="end", chunks_done=len(done(args.out)))


def log(out: Path, **event: Any) -> None:
    """Append to what happened in this run and those that it resumed."""
    with (out / "events.jsonl").open("a") as file:
        file.write(json.dumps({"seconds": round(time.time(), 1), "load": round(os.getloadavg()[0], 1)} | event) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--chunk", type=int, default=250_000, help="rows of a chunk")
    parser.add_argument("--out", type=Path, required=True, help="folder of the two Zarr arrays")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--memory-limit", default="1GiB", help="for each worker, which is restarted beyond it")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--kill-worker-after", type=int, help="chunks, once, to see what happens")
    parser.add_argument("--json", type=Path, help="where the report goes; else into the folder")
    args = parser.parse_args()
    begin(args)
    cluster = LocalCluster(
        n_workers=args.workers, threads_per_worker=1, memory_limit=args.memory_limit, dashboard_address=":0"
    )
    with cluster, Client(cluster) as client:
        run(client, args)
        logits, _, z = make(args.rows, args.chunk, args.seed)
        report = dask_report.report(args.out, logits, z, K)
    (args.json or args.out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report["checks"], indent=1))
    if not report["correct"]:
        sys.exit("what was written is not what a second computation gives")


if __name__ == "__main__":
    main()
