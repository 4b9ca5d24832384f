"""For NumPyro: the distribution, and a kernel that samples it by MCMC."""

from ksubset.backends.numpyro.distribution import KSubset
from ksubset.backends.numpyro.metropolis import SubsetMetropolis

__all__ = ["KSubset", "SubsetMetropolis"]
