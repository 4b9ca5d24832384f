"""For Flax NNX: a layer that turns logits into subsets, and a gate with logits of its own."""

from ksubset.backends.flax.layers import SubsetGate, SubsetSampler

__all__ = ["SubsetGate", "SubsetSampler"]
