"""For NumPyro: the distribution, and a kernel that samples it by MCMC."""

from ksubset.backends._numpyro_distribution import KSubset
from ksubset.backends._numpyro_metropolis import SubsetMetropolis

__all__ = ["KSubset", "SubsetMetropolis"]
