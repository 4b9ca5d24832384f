"""What a DTensor costs beyond the plain tensor of its rows: microseconds a call, on one process and one thread."""

import os
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

import ksubset

SHAPES = ((8, 16, 4), (4096, 512, 32))
ROUNDS = 15


def step(function: Callable[..., Any], x: torch.Tensor) -> None:
    function(x).sum().backward()


def seconds(task: Callable[[], Any], repeats: int) -> float:
    start = perf_counter()
    for _ in range(repeats):
        task()
    return (perf_counter() - start) / repeats


def compare(name: str, task: Callable[[torch.Tensor], Any], tensors: list[torch.Tensor], repeats: int) -> None:
    """In turns, so that what else the machine does falls on both."""
    times = [[seconds(lambda x=x: task(x), repeats) for x in tensors] for _ in range(ROUNDS)]
    plain, spread = (1e6 * median(column) for column in zip(*times, strict=True))
    more = 1e6 * median(b - a for a, b in times)
    print(f"{name:34} plain {plain:10.1f} µs   DTensor {spread:10.1f} µs   difference {more:8.1f} µs", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    mesh = init_device_mesh("cpu", (1,))
    print(f"torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
    for rows, n, k in SHAPES:
        x = torch.randn(rows, n, generator=torch.Generator().manual_seed(0))
        pair = [x.requires_grad_(), distribute_tensor(x.detach(), mesh, [Shard(0)]).requires_grad_()]
        repeats = 1 if rows * n > 1e5 else 50
        tasks = {
            "marginals": lambda x, k=k: ksubset.marginals(x.detach(), k),
            "rsample": lambda x, k=k: ksubset.rsample(x.detach(), k),
            "rsample, backward": lambda x, k=k: step(lambda x: ksubset.rsample(x, k), x),
            "torch.sigmoid": lambda x: torch.sigmoid(x.detach()),
            "torch.sigmoid, backward": lambda x: step(torch.sigmoid, x),
        }
        for name, task in tasks.items():
            compare(f"{rows} × {n}, k = {k}: {name}", task, pair, repeats)
    print(f"load {os.getloadavg()[0]:.1f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
