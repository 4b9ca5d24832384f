"""One training in a process of its own: losses, the time of a step and the peak of memory, printed as JSON."""

import json
import os
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from clients_layers import CLIENTS, Batch
from clients_samplers import SAMPLERS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

WAYS = ("eager", "bfloat16 autocast", "checkpointing", "compiled", "two processes")
LAST = 5
"""Rows of the last batch, which is smaller than the others: compiled programs see a second shape."""

Loss = Callable[..., Tensor]


def train(client: str, way: str, sampler: str, rank: int = 0) -> dict[str, Any]:
    """Train by Adam; the median time of a step without the first tenth."""
    torch.manual_seed(0)
    made = CLIENTS[client](SAMPLERS[sampler])
    loss_of, context = prepared(made.model, way)
    optimizer = torch.optim.Adam(made.model.parameters(), lr=5e-3)
    made.model(*next(made.batches(2))).backward()  # what is imported and compiled once is not of the training
    torch.manual_seed(1 + rank)
    before, losses, times = peak(), [], []
    for batch in endings(made.batches(made.size), made.steps):
        start = time.perf_counter()
        with context():
            loss = loss_of(*batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
        losses.append(loss.item())
    steady = sorted(times[made.steps // 10 : -1])
    return {
        "loss": sum(losses[-made.steps // 3 :]) / len(losses[-made.steps // 3 :]),
        "milliseconds": 1000 * steady[len(steady) // 2],
        "megabytes": peak() - before,
    }


def endings(batches: Iterator[Batch], steps: int) -> Iterator[Batch]:
    """Some batches, the last one smaller."""
    for _ in range(steps - 1):
        yield next(batches)
    yield tuple(x[:LAST] for x in next(batches))


def prepared(model: nn.Module, way: str) -> tuple[Loss, Callable[[], AbstractContextManager[Any]]]:
    """The model as it is called, and what is around the call."""
    if way == "bfloat16 autocast":
        return model, partial(torch.autocast, "cpu", dtype=torch.bfloat16)
    if way == "checkpointing":
        return partial(checkpoint, model, use_reentrant=False), nullcontext
    if way == "compiled":
        return torch.compile(model), nullcontext
    if way == "two processes":
        return nn.parallel.DistributedDataParallel(model, find_unused_parameters=True), nullcontext
    return model, nullcontext


def peak() -> float:
    """The most memory that the process has had so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def member(rank: int, size: int, port: int, client: str, way: str, sampler: str) -> None:
    """One of the processes that train together; the first prints."""
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=size)
    found = train(client, way, sampler, rank)
    if rank == 0:
        print(json.dumps(found), flush=True)
    torch.distributed.destroy_process_group()


def main() -> None:
    client, way, sampler = sys.argv[1:]
    if way == "two processes":
        with socket.socket() as one:
            one.bind(("", 0))
            port = one.getsockname()[1]
        torch.multiprocessing.spawn(member, (2, port, client, way, sampler), nprocs=2)
        return
    torch.set_num_threads(1)
    print(json.dumps(train(client, way, sampler)))


if __name__ == "__main__":
    main()
