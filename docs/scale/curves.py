"""Measure how far ksubset scales: times of one process, what devices send to one another, the memory of a worker.

``python docs/scale/curves.py`` writes curves.json and curves.png beside itself; ``--row N`` is the part that a
process of its own does, on its simulated devices of JAX. The curve of Dask is that of dask.json.
"""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

HERE = Path(__file__).parent
ITEMS = [10**e for e in range(2, 8)]
ROWS = [10**e for e in range(1, 7)]
SPREAD = [2**e for e in (17, 18, 19, 20, 21, 22)]
COLLECTIVE = re.compile(r"\[([\d,]*)\]\S* (?:all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)")
CALLS = {
    "marginals": lambda k, x: k.marginals(x, size(x)),
    "marginals_jvp": lambda k, x: k.marginals_jvp(x, size(x), x),
    "sample": lambda k, x: k.sample(x, size(x), rng=0),
}


def size(x: np.ndarray) -> int:
    return 4 if x.shape[-1] == 32 else x.shape[-1] // 10


def seconds(call: Callable[[], Any], budget: float = 3.0) -> float:
    """Median time of the calls that fit into the budget, at least three, after one call to warm up."""
    call()
    found, start = [], time.perf_counter()
    while len(found) < 3 or (time.perf_counter() - start < budget and len(found) < 50):
        begin = time.perf_counter()
        call()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def times(shapes: list[tuple[int, ...]]) -> dict[str, list[float]]:
    """Seconds of each call in NumPy, float32, for logits of each shape."""
    import ksubset

    rng = np.random.default_rng(0)
    batches = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    return {
        name: [seconds(lambda x=x, call=call: call(ksubset, x)) for x in tqdm(batches, name)]
        for name, call in CALLS.items()
    }


def row(n: int) -> dict[str, int]:
    """The largest collective of a row's marginals, and the memory of one device: in this process, on its devices."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding, PartitionSpec

    import ksubset

    mesh = jax.make_mesh((jax.device_count(),), ("items",), axis_types=(jax.sharding.AxisType.Auto,))
    logits = jax.ShapeDtypeStruct((n,), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec("items")))
    program = jax.jit(lambda x: ksubset.marginals(x, n // 10)).lower(logits).compile()
    found = [m[1] for m in map(COLLECTIVE.search, program.as_text().splitlines()) if m]
    sent = max((prod(int(size) for size in shape.split(",") if size) for shape in found), default=0)
    return {"sent": sent, "bytes": program.memory_analysis().temp_size_in_bytes}


def rows_of(devices: int) -> list[dict[str, int]]:
    """`row` for each size, in a process with this number of devices."""
    environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "KSUBSET_FAST": "0"}
    command = [sys.executable, __file__, "--row"]
    return [
        json.loads(subprocess.run([*command, str(n)], env=environment, check=True, stdout=subprocess.PIPE).stdout)
        for n in tqdm(SPREAD, f"{devices} devices")
    ]


def figure(found: dict[str, Any], dask: dict[str, Any]) -> None:
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullFormatter

    chart, ((items, batch), (sent, memory)) = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    for name in CALLS:
        items.loglog(ITEMS, found["by_items"][name], "o-", label=name)
        batch.loglog(ROWS, [t / rows * 1e6 for t, rows in zip(found["by_rows"][name], ROWS, strict=True)], "o-")
    items.set(title="one row, k = n/10", xlabel="items", ylabel="seconds")
    items.legend()
    batch.set(title="rows of 32 items, k = 4", xlabel="rows", ylabel="microseconds per row")
    eight, one = found["spread"]["8"], found["spread"]["1"]
    sent.loglog(SPREAD, SPREAD, "--", color="gray", label="the row")
    sent.loglog(SPREAD, [x["sent"] for x in eight], "o-", label="largest collective, 8 devices")
    sent.set(title="what devices send", xlabel="items of the row", ylabel="numbers")
    sent.xaxis.set_minor_formatter(NullFormatter())
    sent.legend()
    memory.loglog(SPREAD, [x["bytes"] / 2**20 for x in one], "o-", label="one device")
    memory.loglog(SPREAD, [x["bytes"] / 2**20 for x in eight], "o-", label="each of 8 devices")
    chunks = {int(rows): mib for rows, mib in dask["peak_mib_by_rows_of_a_chunk"].items() if rows.isdigit()}
    memory.loglog([32 * rows for rows in chunks], list(chunks.values()), "s-", label="a Dask worker, all of it")
    memory.set(title="memory", xlabel="items of the row, or of the chunk", ylabel="MiB")
    memory.legend()
    batch.yaxis.set_minor_formatter(NullFormatter())
    chart.savefig(HERE / "curves.png", dpi=130)


def main() -> None:
    load = os.getloadavg()[0]
    os.environ["OMP_NUM_THREADS"] = "1"
    found: dict[str, Any] = {
        "command": "python docs/scale/curves.py",
        "load_before": round(load, 1),
        "threads": 1,
        "by_items": {"n": ITEMS} | times([(n,) for n in ITEMS]),
        "by_rows": {"rows": ROWS} | times([(rows, 32) for rows in ROWS]),
        "spread": {"n": SPREAD} | {str(devices): rows_of(devices) for devices in (1, 8)},
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("ksubset", "numpy", "numba", "jax")},
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    (HERE / "curves.json").write_text(json.dumps(found, indent=1) + "\n")
    figure(found, json.loads((HERE / "dask.json").read_text()))


if __name__ == "__main__":
    arguments = ArgumentParser(description="Measure how far ksubset scales; writes curves.json and curves.png.")
    arguments.add_argument("--row", type=int, metavar="N", help="measure one row on the devices of this process")
    if n := arguments.parse_args().row:
        print(json.dumps(row(n)))
    else:
        main()
