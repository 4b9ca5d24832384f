"""For scikit-learn: a selector that chooses features jointly."""

from ksubset.backends.sklearn.selector import SubsetSelector

__all__ = ["SubsetSelector"]
