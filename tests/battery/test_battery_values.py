"""The battery: every function on generated rows, against enumeration and, for longer rows, the 80-bit recursion."""

from collections.abc import Callable
from typing import Any

import numpy as np
from battery_bounds import check_images, check_marginals, check_scalars, check_sums, rounding_of_the_truth
from conftest import Target
from oracle import Enumeration, recursion
from significance import check_frequencies
from strategies import Rows, battery
from transforms import Transforms, differentiable

import ksubset

Value = Callable[..., np.ndarray]
SHORT = (1, 2, 3, 5, 8, 10)


@battery(0.3, sizes=SHORT, lazy=(6,))
def test_functions(target: Target, case: Rows) -> None:
    logits, k = case.arguments(target)
    other, n = target.array(case.other, case.dtype), case.logits.shape[-1]

    def value(name: str, *arrays: Any) -> np.ndarray:
        return target.to_numpy(getattr(ksubset, name)(logits, k, *arrays))

    check_answers(target, case, value)
    check_marginals(case, value("marginals"), np.stack([row.marginals for row in case.truth]))
    check_sums(case, value("marginals"))
    unchosen = target.to_numpy(ksubset.marginals(-logits, n - k))
    check_marginals(case, unchosen, np.stack([row.unchosen for row in case.truth]))
    check_scalars(case, target.to_numpy(ksubset.kl_divergence(logits, other, k)), divergences(case))


@battery(0.1, sizes=SHORT, lazy=(6,))
def test_distribution_object(target: Target, case: Rows) -> None:
    logits, k = case.arguments(target)
    d = ksubset.KSubset(logits, k)
    check_answers(target, case, lambda name, *arrays: target.to_numpy(getattr(d, name)(*arrays)))
    check_marginals(case, target.to_numpy(d.mean), np.stack([row.marginals for row in case.truth]))
    check_sums(case, target.to_numpy(d.mean))
    variance = np.stack([row.marginals * row.unchosen for row in case.truth])
    check_marginals(case, target.to_numpy(d.variance), variance)
    if isinstance(k, int):
        other = ksubset.KSubset(target.array(case.other, case.dtype), k)
        check_scalars(case, target.to_numpy(d.kl_divergence(other)), divergences(case))


def check_answers(target: Target, case: Rows, value: Value) -> None:
    """What the functions and the methods of `KSubset` have in common."""
    rows, z, v = case.truth, target.array(case.z, case.dtype), target.array(case.v, case.dtype)
    check_scalars(case, value("log_normalizer"), [np.inf if np.inf in x.logits else x.log_normalizer for x in rows])
    check_scalars(case, value("log_prob", z), [row.log_prob(subset) for row, subset in zip(rows, case.z, strict=True)])
    for name in ("log_prob_count", "entropy", "kl_to_uniform"):
        check_scalars(case, value(name), [getattr(row, name) for row in rows])
    check_images(case, value("marginals_jvp", v), np.stack([x.jvp(w) for x, w in zip(rows, case.v, strict=True)]))
    check_images(case, value("covariance"), np.stack([row.covariance for row in rows]))
    assert (value("mode") == case.modes(target)).all()


def divergences(case: Rows) -> list[float]:
    return [row.kl(Enumeration(eta, row.k)) for row, eta in zip(case.truth, case.other, strict=True)]


@battery(0.06, sizes=(11, 33, 70), lazy=(40,))
def test_long_rows(target: Target, case: Rows) -> None:
    logits, k = case.arguments(target)
    truth = [recursion(*row) for row in zip(case.logits, case.k, case.v, strict=True)]
    found = target.to_numpy(ksubset.marginals(logits, k))
    check_marginals(case, found, np.stack([row.chosen for row in truth]))
    check_sums(case, found)
    unchosen = target.to_numpy(ksubset.marginals(-logits, case.logits.shape[1] - k))
    check_marginals(case, unchosen, np.stack([row.unchosen for row in truth]))
    scale = np.where((case.logits == np.inf).any(axis=1), np.inf, [float(row.log_normalizer) for row in truth])
    check_scalars(case, target.to_numpy(ksubset.log_normalizer(logits, k)), scale, rounding_of_the_truth(case))
    check_scalars(case, target.to_numpy(ksubset.entropy(logits, k)), [row.entropy for row in truth])
    image = target.to_numpy(ksubset.marginals_jvp(logits, k, target.array(case.v, case.dtype)))
    check_images(case, image, np.stack([row.jvp for row in truth]))


def test_samples(target: Target) -> None:
    """Each draw is put through the distribution function of its row's subsets: all are uniform together."""
    places: list[float] = []
    rng = np.random.default_rng(1)  # Hypothesis repeats its seeds

    @battery(0.2, sizes=(2, 3, 5, 8, 10), lazy=(6,))
    def collect(target: Target, case: Rows) -> None:
        logits, k = case.arguments(target)
        rows, n = case.logits.shape
        u = rng.random((2, rows, n - 1))
        draws = [
            ksubset.sample(logits, k, rng=target.rng(int(rng.integers(2**31))), sample_shape=(2,)),
            ksubset.rsample(logits, k, rng=target.rng(int(rng.integers(2**31))))[None, ...],
            ksubset.sample_from_uniforms(logits, k, target.array(u - (u >= 0.5))),
        ]
        for z in np.concatenate([target.to_numpy(z) for z in draws]):
            places.extend(map(place, case.truth, z, rng.random(rows)))

    collect(target)
    check_frequencies(np.histogram(places, 100, (0, 1))[0], np.full(100, 0.01))


def place(row: Enumeration, z: np.ndarray, u: float) -> float:
    """A point in the interval that a subset takes up when all are laid end to end, by their probabilities."""
    drawn = int(np.flatnonzero((row.subsets == z).all(axis=1))[0])
    assert row.probabilities[drawn] > 1e-18  # by chance once in 1e13 draws at the most
    return float(row.probabilities[:drawn].sum() + u * row.probabilities[drawn])


@differentiable
@battery(0.1, sizes=(2, 5, 9), lazy=(6,))
def test_gradients(target: Target, case: Rows, diff: Transforms) -> None:
    logits, k = case.arguments(target)
    g = target.array(case.v, case.dtype)
    image = np.stack([row.jvp(v) for row, v in zip(case.truth, case.v, strict=True)])
    for function in (ksubset.marginals, lambda x, k: ksubset.rsample(x, k, rng=target.rng(0))):
        found = diff.grad(lambda x, f=function: (f(x, k) * g).sum())(logits)
        check_images(case, target.to_numpy(found), image)
    found = diff.grad(lambda x: ksubset.log_normalizer(x, k).sum())(logits)
    check_marginals(case, target.to_numpy(found), np.stack([row.marginals for row in case.truth]))
    theta = np.where(np.isinf(case.logits), 0, case.logits)
    found = diff.grad(lambda x: ksubset.entropy(x, k).sum())(logits)
    check_images(
        case, target.to_numpy(found), np.stack([-row.jvp(x) for row, x in zip(case.truth, theta, strict=True)])
    )
