"""Exact, differentiable k-subset sampling on every array framework."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ksubset._api.covariance import covariance, marginals_jvp
from ksubset._api.distribution import KSubset
from ksubset._api.indices import log_prob_indices, mode_indices, sample_indices
from ksubset._api.information import entropy, kl_divergence, kl_to_uniform, log_prob
from ksubset._api.inverse_map import logits_from_marginals
from ksubset._api.marginals import marginals
from ksubset._api.mode import mode
from ksubset._api.normalizer import log_normalizer, log_prob_count
from ksubset._api.poisson_binomial import count_log_cdf, count_log_pmf, count_log_sf
from ksubset._api.quantile import count_quantile
from ksubset._api.sampling import rsample, sample, sample_with_marginals
from ksubset._api.show_config import show_config
from ksubset._api.uniforms import sample_from_uniforms
from ksubset._call.cardinality import Cardinality, at_least, at_most, between
from ksubset._call.masks import MaskWarning

if TYPE_CHECKING:
    from ksubset import estimators as estimators
    from ksubset import survey as survey
else:

    def __getattr__(name: str) -> Any:
        """A subpackage, imported when first asked for."""
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module(f"{__name__}.{name}")


__all__ = [
    "Cardinality",
    "KSubset",
    "MaskWarning",
    "at_least",
    "at_most",
    "between",
    "count_log_cdf",
    "count_log_pmf",
    "count_log_sf",
    "count_quantile",
    "covariance",
    "entropy",
    "kl_divergence",
    "kl_to_uniform",
    "log_normalizer",
    "log_prob",
    "log_prob_count",
    "log_prob_indices",
    "logits_from_marginals",
    "marginals",
    "marginals_jvp",
    "mode",
    "mode_indices",
    "rsample",
    "sample",
    "sample_from_uniforms",
    "sample_indices",
    "sample_with_marginals",
    "show_config",
]
__version__ = "0.2.0"
_LATER = ("estimators", "survey")


def __dir__() -> list[str]:
    return [*__all__, "__version__", "backends", *_LATER]
