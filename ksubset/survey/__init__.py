"""Samples of fixed size with unequal probabilities, at maximum entropy: conditional Poisson sampling.

From sizes to inclusion probabilities, from these to a design, from the design to a sample, and from the sample to
an estimate with its variance.
"""

from ksubset.survey._design import design
from ksubset.survey._draw import draw
from ksubset.survey._estimate import Estimate, horvitz_thompson
from ksubset.survey._inclusion import inclusion_probabilities
from ksubset.survey._joint import joint_inclusion_probabilities

__all__ = [
    "Estimate",
    "design",
    "draw",
    "horvitz_thompson",
    "inclusion_probabilities",
    "joint_inclusion_probabilities",
]
