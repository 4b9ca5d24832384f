"""The true values, by enumeration of all subsets in plain Python; no code is shared with the library."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from math import exp, fsum, inf, isinf

Subset = tuple[int, ...]
"""Of 0 and 1, an entry for each item."""


def distribution(logits: list[float], k: int) -> dict[Subset, float]:
    """Give every subset that is possible its probability; infinite logits decide an item."""
    scores = {
        z: fsum(x for x, chosen in zip(logits, z, strict=True) if chosen and not isinf(x)) for z in _all(logits, k)
    }
    largest = max(scores.values())
    weights = {z: exp(score - largest) for z, score in scores.items()}
    total = fsum(weights.values())
    return {z: weight / total for z, weight in weights.items()}


def _all(logits: list[float], k: int) -> Iterator[Subset]:
    items = range(len(logits))
    for chosen in map(set, combinations(items, k)):
        if all(not isinf(logits[i]) or (i in chosen) == (logits[i] > 0) for i in items):
            yield tuple(int(i in chosen) for i in items)


def marginals(logits: list[float], k: int) -> list[float]:
    """Probability of each item."""
    law = distribution(logits, k)
    return [fsum(p for z, p in law.items() if z[i]) for i in range(len(logits))]


def jacobian_product(logits: list[float], k: int, v: list[float]) -> list[float]:
    """J · v as a sum over pairs of subsets, Σ p(y) p(z) (y − z) (y − z)·v / 2: rounded means would cancel."""
    law = distribution(logits, k)
    image: list[list[float]] = [[] for _ in logits]
    for (y, p), (z, q) in combinations(law.items(), 2):
        apart = [a - b for a, b in zip(y, z, strict=True)]
        push = p * q * fsum(a * b for a, b in zip(apart, v, strict=True))
        for terms, a in zip(image, apart, strict=True):
            terms.append(a * push)
    return [fsum(terms) for terms in image]


def chi_squared(counts: Mapping[tuple[float, ...], int], law: Mapping[Subset, float]) -> float:
    """Pearson's test that subsets were drawn from a law of an odd number of subsets: its p-value, 0 for any other."""
    if set(counts) - set(law):
        return 0.0
    draws = sum(counts.values())
    statistic = fsum((counts.get(z, 0) - draws * p) ** 2 / (draws * p) for z, p in law.items())
    return _upper_tail(statistic, len(law) - 1)


def _upper_tail(x: float, freedom: int) -> float:
    """P(χ² > x) for an even ``freedom``: the chance that a Poisson variable of mean x/2 is below freedom/2."""
    if freedom % 2 or x == inf:
        raise ValueError(f"expected an even number of degrees of freedom; got {freedom}")
    term, terms = exp(-x / 2), []
    for j in range(freedom // 2):
        terms.append(term)
        term *= x / 2 / (j + 1)
    return fsum(terms)
