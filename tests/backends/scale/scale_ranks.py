"""What `test_scale_torch` runs on processes of gloo: DTensors against the same on one process; and `scale_ddp`."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from scale_ddp import ddp
from torch import Tensor
from torch.distributed._functional_collectives import AsyncCollectiveTensor
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor, init_device_mesh
from torch.distributed.tensor.debug import CommDebugMode

import ksubset
from ksubset import estimators
from ksubset.backends.torch import KSubset
from ksubset.backends.torch.dtensor import TensorShards

ROWS, N = 7, 5
generator = torch.Generator().manual_seed(0)
X, V, U = (torch.randn(ROWS, N, dtype=torch.float64, generator=generator) for _ in range(3))
U = torch.sigmoid(U[:, 1:])
Z = ksubset.mode(X, 2)
INDICES = ksubset.mode_indices(X, 2)
K = torch.arange(ROWS) % N
WEIGHTS = V[0, 0] * torch.arange(N + 1, dtype=torch.float64).cos()
Function = Callable[..., Any]


class Batch:
    """Arguments of the functions, as they are or spread over processes."""

    def __init__(self, place: Callable[..., Tensor]) -> None:
        self.x, self.v, self.z, self.u, self.k = (place(t) for t in (X, V, Z, U, K))
        self.mu, self.indices = place(ksubset.marginals(X, 2)), place(INDICES)
        self.draws = place(torch.stack([U, 1 - U]), 1)
        self.shared, self.weights = place(V[1], None), place(WEIGHTS, None)
        self.floats = [t.requires_grad_() for t in (self.x, self.v, self.mu, self.shared, self.weights)]


FUNCTIONS: dict[str, Function] = {
    "log_normalizer": lambda b: ksubset.log_normalizer(b.x, 2),
    "log_prob_count": lambda b: ksubset.log_prob_count(b.x, b.k),
    "count_log_pmf": lambda b: ksubset.count_log_pmf(b.x),
    "count_log_cdf": lambda b: ksubset.count_log_cdf(b.x),
    "count_log_sf": lambda b: ksubset.count_log_sf(b.x),
    "count_quantile": lambda b: ksubset.count_quantile(b.x, 0.3),
    "marginals": lambda b: ksubset.marginals(b.x, 2),
    "marginals, a k for each row": lambda b: ksubset.marginals(b.x, b.k),
    "marginals, half precision": lambda b: ksubset.marginals(b.x.half(), 2),
    "marginals_jvp": lambda b: ksubset.marginals_jvp(b.x, b.k, b.v),
    "marginals_jvp, one v": lambda b: ksubset.marginals_jvp(b.x, 2, b.shared),
    "logits_from_marginals": lambda b: ksubset.logits_from_marginals(b.mu, 2),
    "covariance": lambda b: ksubset.covariance(b.x, b.k),
    "log_prob": lambda b: ksubset.log_prob(b.x, 2, b.z),
    "log_prob_indices": lambda b: ksubset.log_prob_indices(b.x, 2, b.indices),
    "mode_indices": lambda b: ksubset.mode_indices(b.x, 2),
    "entropy": lambda b: ksubset.entropy(b.x, b.k),
    "kl_divergence": lambda b: ksubset.kl_divergence(b.x, b.v, 2),
    "kl_to_uniform": lambda b: ksubset.kl_to_uniform(b.x, b.k),
    "mode": lambda b: ksubset.mode(b.x, b.k),
    "sample_from_uniforms": lambda b: ksubset.sample_from_uniforms(b.x, b.k, b.draws),
    "sample_from_uniforms, unchecked": lambda b: ksubset.sample_from_uniforms(b.x, 2, b.u, validate=False),
    "Cardinality": lambda b: ksubset.marginals(b.x, ksubset.Cardinality(b.weights)),
    "Cardinality, kl_to_uniform": lambda b: ksubset.kl_to_uniform(b.x, ksubset.Cardinality(b.weights)),
    "at_most": lambda b: ksubset.entropy(b.x, ksubset.at_most(b.k)),
    "between": lambda b: ksubset.log_normalizer(b.x, ksubset.between(1, 3)),
    "KSubset.variance": lambda b: ksubset.KSubset(b.x, b.k).variance,
    "KSubset.log_prob": lambda b: ksubset.KSubset(b.x, 2).log_prob(b.z),
    "KSubset.kl_divergence": lambda b: ksubset.KSubset(b.x, 2).kl_divergence(ksubset.KSubset(b.v, 2)),
    "KSubset.k": lambda b: ksubset.KSubset(b.x, b.k).k,
    "distribution, entropy": lambda b: KSubset(b.x, 2).entropy(),
    "distribution, log_prob": lambda b: KSubset(b.x, 2).log_prob(b.z),
}
RANDOM: dict[str, Function] = {
    "sample": lambda b: ksubset.sample(b.x, b.k, rng=3),
    "rsample": lambda b: ksubset.rsample(b.x, 2, rng=3, sample_shape=(2,)),
    "sample_with_marginals": lambda b: ksubset.sample_with_marginals(b.x, 2, rng=3)[0],
    "rsample, Cardinality": lambda b: ksubset.rsample(b.x, ksubset.at_most(3), rng=3),
    "distribution, rsample": lambda b: KSubset(b.x, 2).rsample((2,)),
}
TWICE = ("entropy", "log_prob", "marginals", "marginals_jvp, one v")
"""Functions of which a second derivative is taken."""

APART = {"KSubset", "MaskWarning", "Cardinality", "at_least", "at_most", "between", "show_config"}
DRAWN = "sample_indices"
"""Neither a value to compare nor 0 and 1; `batches` asks whether these are subsets."""
assert {name.partition(",")[0] for name in FUNCTIONS | RANDOM} >= set(ksubset.__all__) - APART - {DRAWN}


def spread(mesh: Any, *places: Any) -> Callable[..., Tensor]:
    """Put the batch's axis, 0 unless told otherwise or none, where ``places`` say."""

    def place(x: Tensor, axis: int | None = 0) -> Tensor:
        moved = [Replicate() if axis is None or p.is_replicate() else Shard(p.dim + axis) for p in places]
        return distribute_tensor(x, mesh, moved, src_data_rank=None)

    return place


def answers(function: Function, batch: Batch, *, twice: bool = False) -> list[Tensor]:
    """The value, the gradients with respect to what has one, and the gradients of a function of the first."""
    value = function(batch)
    if not value.requires_grad:
        return [value]
    first = torch.autograd.grad(value.square().sum(), batch.floats, allow_unused=True, create_graph=twice)
    found = [x for x in first if x is not None]
    second = torch.autograd.grad(found[0].sin().sum(), batch.floats, allow_unused=True) if twice else []
    return [value, *found, *(x for x in second if x is not None)]


def alone(rank: int, task: Callable[[], Any]) -> Any:
    """Each process in its turn, while the others wait: whatever asks something of another would wait until it fails."""
    for turn in range(dist.get_world_size()):
        if turn == rank:
            result = task()
        dist.barrier()
    return result


def all_answers(batch: Batch) -> dict[str, list[Tensor]]:
    return {name: answers(f, batch, twice=name in TWICE) for name, f in (FUNCTIONS | RANDOM).items()}


@cache
def on_one_process() -> dict[str, list[Tensor]]:
    """Asked for before there are others, so that kernels are compiled once."""
    return all_answers(Batch(lambda x, axis=0: x.clone()))


def batches(rank: int) -> None:
    """Every function, its gradient and the derivative of some: as on one process, and nothing is sent."""
    mesh = init_device_mesh("cpu", (2,))
    here = Batch(spread(mesh, Shard(0)))
    found = alone(rank, lambda: all_answers(here))
    chosen = alone(rank, lambda: getattr(ksubset, DRAWN)(here.x, 2, rng=3))
    with CommDebugMode() as traffic:
        for function in (FUNCTIONS | RANDOM).values():
            answers(function, here)
    assert traffic.get_total_counts() == 0, traffic.get_comm_counts()
    for name in FUNCTIONS:
        assert found[name][0].to_local().is_contiguous(), name
        for given, expected in zip(found[name], on_one_process()[name], strict=True):
            compare(name, given, expected)
    for name in RANDOM:
        z = found[name][0]
        assert z.placements == (Shard(z.ndim - 2),), name
        assert ((z.full_tensor() == 0) | (z.full_tensor() == 1)).all(), name
    assert chosen.placements == (Shard(0),)
    assert ksubset.log_prob_indices(X, 2, chosen.full_tensor()).isfinite().all()
    z = found["rsample"][0].full_tensor()
    v, x = 2 * z.sum(0), X.clone().requires_grad_()
    compare("gradient of rsample", found["rsample"][1], ksubset.marginals_jvp(x, 2, v))


def compare(name: str, given: Any, expected: Tensor) -> None:
    assert isinstance(given, DTensor), name
    assert given.shape == expected.shape, name
    place = given.placements[0]
    assert place == Shard(given.shape.index(ROWS)) if ROWS in given.shape else place == Partial(), (name, place)
    torch.testing.assert_close(given.full_tensor(), expected, rtol=1e-9, atol=1e-11, msg=lambda m: f"{name}: {m}")


def meshes(rank: int) -> None:
    """Two axes of processes, several placements, and shards of no rows."""
    mesh = init_device_mesh("cpu", (2, 2))
    x, k = X[:6].reshape(2, 3, N), K[:6].reshape(2, 3)
    expected = ksubset.marginals(x, k)
    for places in (
        [Shard(0), Replicate()],
        [Replicate(), Shard(1)],
        [Shard(0), Shard(1)],
        [Shard(1), Shard(1)],
        [Replicate(), Replicate()],
    ):
        here = distribute_tensor(x, mesh, places, src_data_rank=None).requires_grad_()
        found = ksubset.marginals(here, distribute_tensor(k, mesh, places, src_data_rank=None))
        assert found.placements == tuple(places)
        torch.testing.assert_close(found.full_tensor(), expected)
        found.square().sum().backward()
        assert here.grad.placements == tuple(places)
        torch.testing.assert_close(here.grad.full_tensor(), 2 * ksubset.marginals_jvp(x, k, expected))
    streams(mesh)
    late = distribute_tensor(x, mesh, [Shard(0), Replicate()], src_data_rank=None)
    late = late.redistribute(placements=[Replicate(), Replicate()], async_op=True)
    assert isinstance(late.to_local(), AsyncCollectiveTensor)
    assert type(TensorShards(late, "logits").local(late, "logits")) is Tensor
    torch.testing.assert_close(ksubset.marginals(late, 2).to_local(), ksubset.marginals(x, 2))


def streams(mesh: Any) -> None:
    """Different rows draw different numbers, and copies of a row the same ones."""
    zeros = torch.zeros(4, 24, dtype=torch.float64)
    for places, parts in (
        ([Shard(0), Replicate()], 2),
        ([Replicate(), Shard(0)], 2),
        ([Shard(0), Shard(0)], 4),
        ([Replicate(), Replicate()], 1),
    ):
        here = distribute_tensor(zeros, mesh, places, src_data_rank=None)
        source = torch.Generator().manual_seed(1)
        draws = [ksubset.sample(here, 12, rng=rng) for rng in (source, source, 1, torch.manual_seed(1) and None)]
        assert torch.equal(draws[0].to_local(), draws[2].to_local())
        assert torch.equal(draws[0].to_local(), draws[3].to_local())
        assert not torch.equal(draws[0].to_local(), draws[1].to_local())
        everywhere = [torch.empty_like(draws[0].to_local()) for _ in range(4)]
        dist.all_gather(everywhere, draws[0].to_local())
        assert len({z.numpy().tobytes() for z in everywhere}) == parts, places
        assert len({row.numpy().tobytes() for row in draws[0].full_tensor()}) == 4, places


@contextmanager
def refused(kind: type[Exception], *words: str) -> Iterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert all(word in str(caught.value) for word in words), caught.value


def errors(rank: int) -> None:
    """Calls that need communication, or whose answer is wrong."""
    mesh, other = init_device_mesh("cpu", (2,)), init_device_mesh("cpu", (2, 1))
    x, whole, items = (distribute_tensor(X, mesh, [p], src_data_rank=None) for p in (Shard(0), Replicate(), Shard(1)))
    with refused(ValueError, "logits", "items", "Shard(dim=1)", "redistribute"):
        ksubset.marginals(items, 2)
    with refused(ValueError, "logits must be placed by Shard and Replicate", "Partial", "redistribute"):
        ksubset.rsample(DTensor.from_local(X, mesh, [Partial()], run_check=False), 2)
    with refused(ValueError, "mu", "items"):
        ksubset.logits_from_marginals(items, 2)
    with refused(TypeError, "v must be a DTensor", "got Tensor"):
        ksubset.marginals_jvp(x, 2, V)
    with refused(TypeError, "k must be a DTensor"):
        ksubset.marginals(x, K)
    with refused(TypeError, "v must be", "DTensor"):
        ksubset.marginals_jvp(X, 2, x)
    with refused(ValueError, "v must have the placements", "Shard(dim=0)", "Replicate()"):
        ksubset.marginals_jvp(x, 2, whole)
    with refused(ValueError, "other must have the placements", "Replicate()", "Shard(dim=0)"):
        ksubset.kl_divergence(whole, x, 2)
    with refused(ValueError, "v must have size 7 on axis 0", "got 5"):
        ksubset.marginals_jvp(x, 2, distribute_tensor(V[:5], mesh, [Shard(0)], src_data_rank=None))
    with refused(ValueError, "v must be on the device mesh"):
        ksubset.marginals_jvp(x, 2, distribute_tensor(V, other, [Shard(0), Replicate()], src_data_rank=None))
    with refused(TypeError, "logits", "DTensor"):
        estimators.imle(x, 2, lambda_=1.0, noise=estimators.Gumbel())
    bad = X.clone()
    bad[0, 1] = float("nan")
    bad = distribute_tensor(bad, mesh, [Shard(0)], src_data_rank=None)
    if rank == 0:
        with refused(ValueError, "NaN", "row 0"):
            ksubset.marginals(bad, 2)
    else:
        assert not ksubset.marginals(bad, 2).to_local().isnan().any()
    single = dist.device_mesh.DeviceMesh("cpu", [0])
    one = distribute_tensor(X[:1], single, [Shard(0)], src_data_rank=None)
    with refused(ValueError, "part of") if rank else nullcontext():
        ksubset.marginals(one, 2)
    empty = ksubset.marginals(distribute_tensor(X[:1], mesh, [Shard(0)], src_data_rank=None), 2)
    torch.testing.assert_close(empty.full_tensor(), ksubset.marginals(X[:1], 2))


TASKS = {"batches": (batches, 2), "meshes": (meshes, 4), "errors": (errors, 2), "ddp": (ddp, 2)}


def work(rank: int, kind: str, meeting: str) -> None:
    task, size = TASKS[kind]
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=timedelta(seconds=60)
    )
    task(rank)
    dist.barrier()
    dist.destroy_process_group()


def main(kind: str) -> None:
    torch.set_num_threads(1)
    if kind == "batches":
        on_one_process()
    with tempfile.TemporaryDirectory() as folder:
        meeting = os.path.join(folder, "meeting")
        mp.start_processes(work, (kind, meeting), TASKS[kind][1], start_method="fork")
    print("agrees")


if __name__ == "__main__":
    main(*sys.argv[1:])
