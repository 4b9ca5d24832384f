"""Batches of torch spread over processes, as `torch.distributed.tensor.DTensor`: each process computes its own rows.

Rows do not depend on one another, so nothing is sent. Torch's own dispatch of a DTensor, operation by operation, never
comes into play: the rows of this process are taken out, treated like any plain tensor, and put together again in the
result, with gradients that are placed like the arguments.
"""

from math import prod
from typing import Any

import torch
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard

from ksubset.backends.torch import generator


class TensorShards:
    """Where the rows of a batch are; see `ksubset._call.backend.Shards`.

    Raises
    ------
    ValueError
        If the logits are split along their items or are yet to be added up, or are none of this process's.
    """

    def __init__(self, logits: DTensor, name: str) -> None:
        self.name, self.shape = name, tuple(logits.shape)
        self.mesh, self.placements = logits.device_mesh, tuple(logits.placements)
        advice = f"redistribute {name} to Replicate() or to Shard of an axis of the batch"
        if any(type(place) not in (Shard, Replicate) for place in self.placements):
            raise ValueError(f"{name} must be placed by Shard and Replicate; got {self.placements}: {advice}")
        if any(place.is_shard(len(self.shape) - 1) for place in self.placements):
            raise ValueError(f"{name} must not be split along the items; got {self.placements}: {advice}")
        if self.mesh.get_coordinate() is None:
            raise ValueError(f"{name} must be on a device mesh that this process is part of; got {self.mesh}")

    def local(self, x: Any, name: str, *, items: bool = True) -> Any:
        """The rows of this process of a tensor that goes with the logits; numbers and other objects as they are.

        A tensor lies as the logits do along the axes that it shares with them, and is whole where it is broadcast.
        There its gradient is a sum over processes, which torch carries out when it is needed.
        """
        if not isinstance(x, torch.Tensor):
            return x
        if not isinstance(x, DTensor):
            advice = "distribute_tensor or DTensor.from_local makes one"
            raise TypeError(f"{name} must be a DTensor, as {self.name} is; got {type(x).__name__}: {advice}")
        if x.device_mesh != self.mesh:
            raise ValueError(f"{name} must be on the device mesh of {self.name}, {self.mesh}; got {x.device_mesh}")
        shift = x.ndim - len(self.shape) + (not items)
        expected = tuple(self._expected(place, x, shift, name) for place in self.placements)
        if tuple(x.placements) != expected:
            advice = f"redistribute {name}, or change {self.name}"
            raise ValueError(f"{name} must have the placements {expected}; got {tuple(x.placements)}: {advice}")
        pairs = zip(self.placements, expected, strict=True)
        gradients = [Partial() if place.is_shard() and here.is_replicate() else here for place, here in pairs]
        local: torch.Tensor = x.to_local(grad_placements=gradients)
        return local if type(local) is torch.Tensor else local.clone()  # it may still be on its way

    def _expected(self, place: Placement, x: DTensor, shift: int, name: str) -> Placement:
        """How a tensor with ``shift`` more axes than the logits must lie along one dimension of the mesh."""
        if not isinstance(place, Shard):
            return Replicate()
        axis, size = place.dim + shift, self.shape[place.dim]
        if axis < 0 or (x.shape[axis] == 1 and size != 1):
            return Replicate()
        if x.shape[axis] != size:
            raise ValueError(f"{name} must have size {size} on axis {axis}, as {self.name} does; got {x.shape[axis]}")
        return Shard(axis)

    def whole(self, value: torch.Tensor, leading: int) -> DTensor:
        """The result for all processes, from this process's rows, with ``leading`` axes before the batch axes."""
        places, shape = list(self.placements), list(value.shape)
        for i, place in enumerate(self.placements):
            if isinstance(place, Shard):
                places[i] = Shard(place.dim + leading)
                shape[place.dim + leading] = self.shape[place.dim]
        stride = tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
        value = value.contiguous()
        return DTensor.from_local(value, self.mesh, places, run_check=False, shape=torch.Size(shape), stride=stride)

    def stream(self, rng: object, like: torch.Tensor) -> torch.Generator:
        """A generator for this process's rows alone; processes with the same rows get the same generator.

        One number is drawn from the given generator, which must be in the same state on every process, and stays so.
        """
        seed = torch.empty((), dtype=torch.int64, device=like.device).random_(generator=generator(rng, like))
        index = 0
        for i, place in enumerate(self.placements):
            if place.is_shard():
                index = index * self.mesh.size(i) + self.mesh.get_local_rank(i)
        return torch.Generator(like.device).manual_seed((int(seed) + index) % 2**63)
