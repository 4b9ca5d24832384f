"""The self-check of an installation, which ``python -m ksubset`` runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ksubset._selfcheck.checks import CHECKS, Finding, attempt, layer_paths, time_layer
from ksubset._selfcheck.places import PLACES, Place, Unusable, in_words, is_installed, survey

__all__ = ["PLACES", "Checked", "Unusable", "examine"]


@dataclass(frozen=True)
class Checked:
    """The results of all checks at one place with one dtype.

    Attributes
    ----------
    framework, version, device, dtype
        The place and the dtype.
    findings
        By the name of the check.
    layer_ms
        The time of a standard layer, forward and backward; None if it failed.
    paths
        The path by which each function is computed in such a layer, and the reason.
    """

    framework: str
    version: str
    device: str
    dtype: str
    findings: dict[str, Finding]
    layer_ms: float | None
    paths: dict[str, str]

    @property
    def agrees(self) -> bool:
        """Whether every check is passed."""
        return self.layer_ms is not None and all(finding.agrees for finding in self.findings.values())


def examine(frameworks: Sequence[str] = ()) -> Iterator[Checked | Unusable]:
    """Check the frameworks of those names, or all that are installed, one place and dtype after the other."""
    for framework in frameworks or filter(is_installed, PLACES):
        for place in survey(framework):
            if isinstance(place, Unusable):
                yield place
            else:
                yield from (_check(place, dtype) for dtype in place.dtypes)


def _check(place: Place, dtype: str) -> Checked:
    findings = {name: attempt(name, place, dtype) for name in CHECKS}
    try:
        milliseconds, found = time_layer(place, dtype), layer_paths(place, dtype)
    except Exception as error:
        milliseconds, found = None, {"the standard layer": in_words(error)}
    return Checked(place.framework, place.version, place.device, dtype, findings, milliseconds, found)
