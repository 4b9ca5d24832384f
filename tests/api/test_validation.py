"""Bad input: one clear error each, naming the argument, what was given and what was expected."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import Target

import ksubset
from ksubset._api.inverse_map import check_marginals
from ksubset._call.argument_checks import seed_of
from ksubset._call.value_checks import check_values
from ksubset.backends import find

NAN, INF = np.nan, np.inf
Call = Callable[[Target], Any]


def row(target: Target, *values: float) -> Any:
    return target.array(np.array(values, dtype=float))


def good(target: Target) -> Any:
    return row(target, 0.5, 1.0, -2.0, 0.0)


TYPES: dict[str, tuple[Call, type[Exception], str]] = {
    "logits a list": (lambda t: ksubset.marginals([0.0, 1.0], 1), TypeError, "logits must be an array.*got list"),
    "logits None": (lambda t: ksubset.marginals(None, 1), TypeError, "logits must be an array.*got NoneType"),
    "logits a float": (lambda t: ksubset.marginals(1.0, 1), TypeError, "logits must be an array.*got float"),
    "logits integer": (lambda t: ksubset.marginals(t.array([1, 2]), 1), TypeError, "logits .*real floating.*int64"),
    "logits bool": (lambda t: ksubset.marginals(t.array([True, False]), 1), TypeError, "logits .*real floating.*bool"),
    "logits complex": (
        lambda t: ksubset.marginals(t.array([1j, 2], "complex64"), 1),
        TypeError,
        "logits .*real floating.*complex64",
    ),
    "logits 0-d": (lambda t: ksubset.marginals(t.array(1.0), 1), ValueError, r"logits must have shape \(\.\.\., n\)"),
    "k negative": (lambda t: ksubset.marginals(good(t), -1), ValueError, r"k must be in \[0, 4\].*got -1"),
    "k > n": (lambda t: ksubset.marginals(good(t), 5), ValueError, r"k must be in \[0, 4\].*got 5"),
    "k a float": (lambda t: ksubset.marginals(good(t), 2.0), TypeError, "k must be an int.*got float"),
    "k a bool": (lambda t: ksubset.marginals(good(t), True), TypeError, "k must be an int.*got bool"),
    "k None": (lambda t: ksubset.marginals(good(t), None), TypeError, "k must be an int.*got NoneType"),
    "k a list": (lambda t: ksubset.marginals(good(t), [2]), TypeError, "k must be an int.*got list"),
    "k a float array": (lambda t: ksubset.marginals(good(t), t.array(2.0)), TypeError, "k .*integer dtype.*float"),
    "k a bool array": (lambda t: ksubset.marginals(good(t), t.array(True)), TypeError, "k .*integer dtype.*bool"),
    "k of another shape": (
        lambda t: ksubset.marginals(t.array(np.zeros((2, 4))), t.array([1, 2, 3])),
        ValueError,
        r"k must broadcast to the shape \(2,\).*got \(3,\)",
    ),
    "k wider than the batch": (
        lambda t: ksubset.marginals(good(t), t.array([1, 2])),
        ValueError,
        r"k must broadcast to the shape \(\).*got \(2,\)",
    ),
    "max_k out of range": (
        lambda t: ksubset.marginals(good(t), 1, max_k=9),
        ValueError,
        r"max_k must be in \[0, 4\]; got 9",
    ),
    "max_k a float": (lambda t: ksubset.marginals(good(t), 1, max_k=1.5), TypeError, "max_k must be an int; got float"),
    "max_k a bool": (lambda t: ksubset.marginals(good(t), 1, max_k=True), TypeError, "max_k must be an int; got bool"),
    "k a complex array": (lambda t: ksubset.marginals(good(t), t.array(1j, "complex64")), TypeError, "k .*complex64"),
    "k > max_k": (lambda t: ksubset.marginals(good(t), 3, max_k=2), ValueError, "k must be at most max_k = 2; got 3"),
    "v of another length": (
        lambda t: ksubset.marginals_jvp(good(t), 2, row(t, 1.0, 2.0)),
        ValueError,
        r"v must have shape \(\.\.\., 4\), like logits; got \(2,\)",
    ),
    "v of another batch": (
        lambda t: ksubset.marginals_jvp(t.array(np.zeros((2, 4))), 2, t.array(np.zeros((3, 4)))),
        ValueError,
        r"v must broadcast with the shape \(2, 4\) of logits; got \(3, 4\)",
    ),
    "v a list": (lambda t: ksubset.marginals_jvp(good(t), 2, [1.0] * 4), TypeError, "v must be an array of the same"),
    "v a number": (
        lambda t: ksubset.marginals_jvp(good(t), 2, Fraction(1)),
        TypeError,
        r"v must be an array of the same framework as logits, .*; got fractions\.Fraction",
    ),
    "v complex": (
        lambda t: ksubset.marginals_jvp(good(t), 2, t.array([1j] * 4, "complex64")),
        TypeError,
        "v .*real floating.*complex64",
    ),
    "v 0-d": (
        lambda t: ksubset.marginals_jvp(good(t), 2, t.array(1.0)),
        ValueError,
        r"v must have shape \(\.\.\., 4\), like logits; got \(\)",
    ),
    "v integer": (lambda t: ksubset.marginals_jvp(good(t), 2, t.array([1] * 4)), TypeError, "v .*real floating.*int"),
    "other integer": (
        lambda t: ksubset.kl_divergence(good(t), t.array([1, 2, 3, 4]), 2),
        TypeError,
        "other .*real floating.*int",
    ),
    "other of another length": (
        lambda t: ksubset.kl_divergence(good(t), row(t, 1.0), 2),
        ValueError,
        r"other must have shape \(\.\.\., 4\), like logits; got \(1,\)",
    ),
    "other of another batch": (
        lambda t: ksubset.kl_divergence(t.array(np.zeros((2, 4))), t.array(np.zeros((3, 4))), 2),
        ValueError,
        r"other must broadcast with the shape \(2, 4\) of logits; got \(3, 4\)",
    ),
    "other a list": (
        lambda t: ksubset.kl_divergence(good(t), [0.0] * 4, 2),
        TypeError,
        "other must be an array of the same framework as logits.*got list",
    ),
    "z a list": (lambda t: ksubset.log_prob(good(t), 1, [1, 0, 0, 0]), TypeError, "z must be an array.*got list"),
    "z of another batch": (
        lambda t: ksubset.log_prob(t.array(np.zeros((2, 4))), 1, t.array(np.zeros((3, 4)))),
        ValueError,
        r"z must broadcast with the shape \(2, 4\) of logits; got \(3, 4\)",
    ),
    "z of another length": (
        lambda t: ksubset.log_prob(good(t), 1, row(t, 1.0, 0.0)),
        ValueError,
        r"z must have shape \(\.\.\., 4\), like logits; got \(2,\)",
    ),
    "z complex": (
        lambda t: ksubset.log_prob(good(t), 1, t.array([1, 0, 0, 0], "complex64")),
        TypeError,
        "z must have a real dtype.*complex64",
    ),
    "u of another length": (
        lambda t: ksubset.sample_from_uniforms(good(t), 2, row(t, 0.1, 0.2)),
        ValueError,
        r"u must have shape sample_shape \+ \(3,\); got \(2,\)",
    ),
    "u of another batch": (
        lambda t: ksubset.sample_from_uniforms(t.array(np.zeros((2, 4))), 2, t.array(np.zeros((3, 3)))),
        ValueError,
        r"u must have shape sample_shape \+ \(2, 3\); got \(3, 3\)",
    ),
    "u a list": (
        lambda t: ksubset.sample_from_uniforms(good(t), 2, [0.1, 0.2, 0.3]),
        TypeError,
        "u must be an array.*got list",
    ),
    "u integer": (
        lambda t: ksubset.sample_from_uniforms(good(t), 2, t.array([0, 1, 0])),
        TypeError,
        "u .*real floating.*int64",
    ),
    "rng a string": (lambda t: ksubset.sample(good(t), 2, rng="seed"), TypeError, "rng must be .*got str"),
    "rng a bool": (lambda t: ksubset.sample(good(t), 2, rng=True), TypeError, "rng must be .*got bool"),
    "rng a float": (lambda t: ksubset.sample(good(t), 2, rng=1.5), TypeError, "rng must be .*got float"),
    "sample_shape an int": (
        lambda t: ksubset.sample(good(t), 2, rng=0, sample_shape=3),
        TypeError,
        "sample_shape must be a tuple.*got 3",
    ),
    "rng an array": (lambda t: ksubset.rsample(good(t), 2, rng=good(t)), TypeError, "rng must be .*got"),
    "rng below all seeds": (lambda t: ksubset.sample(good(t), 2, rng=-(2**70)), ValueError, "rng must be .*got -11805"),
    "sample_shape None": (
        lambda t: ksubset.rsample(good(t), 2, rng=0, sample_shape=None),
        TypeError,
        "sample_shape must be a tuple.*got None",
    ),
    "sample_shape of floats": (
        lambda t: ksubset.sample(good(t), 2, rng=0, sample_shape=(2.0,)),
        TypeError,
        r"sample_shape must be a tuple.*got \(2.0,\)",
    ),
    "sample_shape of bools": (
        lambda t: ksubset.sample(good(t), 2, rng=0, sample_shape=[True]),
        TypeError,
        r"sample_shape must be a tuple.*got \[True\]",
    ),
    "another distribution is none": (
        lambda t: ksubset.KSubset(good(t), 2).kl_divergence(good(t)),
        TypeError,
        "other must be a KSubset; got",
    ),
    "sample_shape negative": (
        lambda t: ksubset.sample(good(t), 2, rng=0, sample_shape=(-1,)),
        TypeError,
        r"sample_shape must be a tuple.*got \(-1,\)",
    ),
    "sample_shape in part": (
        lambda t: ksubset.sample(good(t), 2, rng=0, sample_shape=(2, -1)),
        TypeError,
        r"sample_shape must be a tuple.*got \(2, -1\)",
    ),
}

VALUES: dict[str, tuple[Call, str]] = {
    "NaN": (lambda t: ksubset.marginals(t.array([[0.0, 1.0], [NAN, 0.0]]), 1, validate=True), "NaN; got NaN in row 1"),
    "all -inf": (
        lambda t: ksubset.entropy(row(t, -INF, -INF, -INF), 1, validate=True),
        r"at most n - k entries of -inf; got 3: give each row a k of its own, such as real\.sum\(-1\)\.clip",
    ),
    "too many -inf": (
        lambda t: ksubset.marginals(t.array([[[0.0, -INF, -INF]], [[-INF, -INF, -INF]]]), 1, validate=True),
        r"at most n - k entries of -inf; got 3 in row \(1, 0\): give each row",
    ),
    "too many +inf": (
        lambda t: ksubset.log_normalizer(row(t, INF, INF, 0.0), 1, validate=True),
        r"at most k entries of \+inf; got 2",
    ),
    "k < 0 in an array": (
        lambda t: ksubset.marginals(t.array(np.zeros((2, 3))), t.array([1, -2]), validate=True),
        r"k must be in \[0, 3\]; got -2 in row 1",
    ),
    "k > n in an array": (
        lambda t: ksubset.marginals(t.array(np.zeros((2, 3))), t.array([4, 2]), validate=True),
        r"k must be in \[0, 3\]; got 4 in row 0",
    ),
    "k > max_k in an array": (
        lambda t: ksubset.marginals(t.array(np.zeros((2, 6))), t.array([1, 3]), max_k=2, validate=True),
        "k must be at most max_k = 2; got 3 in row 1",
    ),
    "z not 0 or 1": (
        lambda t: ksubset.log_prob(good(t), 1, row(t, 0.5, 0.5, 0.0, 0.0), validate=True),
        r"z must contain only 0 and 1; got 0\.5",
    ),
    "z NaN": (
        lambda t: ksubset.log_prob(t.array(np.zeros((2, 3))), 1, t.array([[1, 0, 0], [0, 1, NAN]]), validate=True),
        "z must contain only 0 and 1; got nan in row 1",
    ),
    "u out of range": (
        lambda t: ksubset.sample_from_uniforms(good(t), 2, row(t, 0.1, 0.2, 1.5), validate=True),
        r"u must be in \[-1/2, 1\]; got 1\.5",
    ),
    "u below its range": (
        lambda t: ksubset.sample_from_uniforms(good(t), 2, row(t, 0.1, 0.2, -0.75), validate=True),
        r"u must be in \[-1/2, 1\]; got -0\.75",
    ),
    "u NaN": (
        lambda t: ksubset.sample_from_uniforms(good(t), 2, t.array([[0, 0.5, 0], [NAN, 0, 0]]), validate=True),
        r"u must be in \[-1/2, 1\]; got nan in row 1",
    ),
    "bad values given to an object": (lambda t: ksubset.KSubset(row(t, NAN, 0.0), 1, validate=True), "NaN; got NaN"),
    "NaN in other": (
        lambda t: ksubset.kl_divergence(good(t), row(t, NAN, 0.0, 0.0, 0.0), 1, validate=True),
        "other must not contain NaN",
    ),
    "infeasible other": (
        lambda t: ksubset.kl_divergence(good(t), row(t, INF, INF, 0.0, 0.0), 1, validate=True),
        r"other must contain at most k entries of \+inf; got 2$",
    ),
}


def test_the_table_is_long_enough() -> None:
    assert len(TYPES) + len(VALUES) >= 25


@pytest.mark.parametrize("name", TYPES)
def test_types_and_shapes(target: Target, name: str) -> None:
    call, kind, message = TYPES[name]
    with pytest.raises(kind, match=message):
        call(target)


@pytest.mark.parametrize("name", VALUES)
def test_values(target: Target, name: str) -> None:
    call, message = VALUES[name]
    with pytest.raises(ValueError, match=message):
        call(target)


@pytest.mark.parametrize("bad", [[NAN, 0.0, 1.0], [-INF, -INF, 0.0], [INF, INF, INF]], ids=str)
def test_unchecked_bad_rows_give_nan_in_that_row_alone(target: Target, bad: list[float]) -> None:
    logits, k = target.array([[0.0, 1.0, 2.0], bad, [3.0, 1.0, 0.0]]), target.array([1, 2, 1])
    fine = np.array([True, False, True])
    z = target.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]])
    results = [
        ksubset.marginals(logits, k, validate=False),
        ksubset.log_normalizer(logits, k, validate=False),
        ksubset.log_prob_count(logits, k, validate=False),
        ksubset.entropy(logits, k, validate=False),
        ksubset.kl_to_uniform(logits, k, validate=False),
        ksubset.kl_divergence(logits, logits, k, validate=False),
        ksubset.log_prob(logits, k, z, validate=False),
        ksubset.marginals_jvp(logits, k, target.array(np.ones((3, 3))), validate=False),
        ksubset.mode(logits, k, validate=False),
        ksubset.covariance(logits, k, validate=False),
        ksubset.sample(logits, k, rng=target.rng(0), validate=False),
    ]
    for result in results:
        found = target.to_numpy(result)
        assert np.isfinite(found[fine]).all()
        assert np.isnan(found[~fine]).all()


@pytest.mark.parametrize("size", [-1, 4])
def test_unchecked_bad_k_gives_nan_in_that_row_alone(target: Target, size: int) -> None:
    logits, k = target.array(np.zeros((3, 3))), target.array([1, size, 2])
    for function in (ksubset.marginals, ksubset.log_normalizer, ksubset.entropy, ksubset.kl_to_uniform, ksubset.mode):
        found = target.to_numpy(function(logits, k, validate=False))
        assert np.isfinite(found[[0, 2]]).all()
        assert np.isnan(found[1]).all()


def test_unchecked_z_gives_nan_in_that_row_alone(target: Target) -> None:
    z = target.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [NAN, 0.0, 0.0]])
    found = target.to_numpy(ksubset.log_prob(target.array(np.zeros(3)), 1, z, validate=False))
    assert np.isfinite(found[0])
    assert np.isnan(found[1:]).all()


def test_values_are_checked_anywhere_on_request(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where reading them would cost something, as on a GPU; there they are not checked otherwise."""
    monkeypatch.setattr(find(good(target), "x"), "is_readable", lambda x: False)
    z, u, bad = row(target, 0.5, 0.5, 0.0, 0.0), row(target, 2.0, 0.0, 0.0), row(target, NAN, 0.0, 0.0, 0.0)
    for message, call in {
        "z must contain": lambda **asked: ksubset.log_prob(good(target), 1, z, **asked),
        "u must be in": lambda **asked: ksubset.sample_from_uniforms(good(target), 1, u, **asked),
        "other must not": lambda **asked: ksubset.kl_divergence(good(target), bad, 1, **asked),
        "logits must not": lambda **asked: ksubset.marginals(bad, 1, **asked),
    }.items():
        with pytest.raises(ValueError, match=message):
            call(validate=True)
        assert np.isnan(target.to_numpy(call())).all()


def test_unchecked_uniforms_give_nan_in_that_draw_alone(target: Target) -> None:
    u = target.array([[0.1, 0.2], [0.1, 1.5], [-0.7, 0.2], [NAN, 0.2], [0.4, -0.5]])
    z = target.to_numpy(ksubset.sample_from_uniforms(target.array(np.zeros(3)), 1, u, validate=False))
    assert (z[[0, 4]].sum(axis=-1) == 1).all()
    assert np.isnan(z[1:4]).all()


def test_uniforms_at_the_ends_of_their_range(target: Target) -> None:
    """1 included, to which a framework's [0, 1) may be rounded."""
    u = target.array([[-0.5, 0.2], [1.0, 0.2]])
    z = target.to_numpy(ksubset.sample_from_uniforms(target.array(np.zeros(3)), 1, u))
    assert (z.sum(axis=-1) == 1).all()


def test_values_are_read_through_the_adapter(target: Target) -> None:
    """Which brings them to the memory of the CPU."""
    backend, read = find(good(target), "x"), []
    fake = SimpleNamespace(
        namespace=backend.namespace,
        extremes=lambda x: (NAN, NAN),
        readable=lambda x: read.append(x) or backend.readable(x),
    )
    x, k = target.array(np.full((2, 4), 0.5)), target.array([2, 2])
    for check in (check_values, partial(check_marginals, rescale=False)):
        for size, expected in ((2, [x]), (k, [x, k])):
            read.clear()
            check(x, size, fake, "x")
            assert [id(a) for a in read] == [id(a) for a in expected]


def test_sizes_are_not_wrapped_around(target: Target) -> None:
    with pytest.raises(ValueError, match=r"k must be in \[0, 4\]; got 4294967298"):
        ksubset.marginals(good(target), target.array(2**32 + 2, "uint64"), validate=True)


def test_unchecked_sizes_are_not_wrapped_around(target: Target) -> None:
    k = target.array(2**32 + 2, "uint64")
    for sizes in (k, ksubset.at_most(k), ksubset.at_least(k)):
        assert np.isnan(target.to_numpy(ksubset.marginals(good(target), sizes, validate=False))).all()


@pytest.mark.parametrize("name", ["k", "low", "high"])
def test_the_largest_sizes_are_shown_as_they_are(target: Target, name: str) -> None:
    sizes = target.array(np.array([1, 2**64 - 1], np.uint64), "uint64")
    given = {"k": lambda: sizes, "low": lambda: ksubset.between(sizes, 3), "high": lambda: ksubset.between(1, sizes)}
    with pytest.raises(ValueError, match=rf"{name} must be in \[0, 4\]; got 18446744073709551615 in row 1"):
        ksubset.marginals(target.array(np.zeros((2, 4))), given[name](), validate=True)


def test_seeds() -> None:
    """The least and the greatest are among them."""
    for seed, least, most in [(0, 0, None), (9, 0, None), (-5, -5, 7), (7, -5, 7), (np.int64(7), -5, 7)]:
        assert seed_of(seed, least, most) == seed
    for other in (True, 1.0, "1", None, np.bool_(True), np.float64(1)):
        assert seed_of(other, 0) is None
    with pytest.raises(ValueError, match="rng must be at least 0 where it is an int; got -1"):
        seed_of(-1, 0)
    for seed in (-6, 8):
        with pytest.raises(ValueError, match=rf"rng must be in \[-5, 7\] where it is an int; got {seed}"):
            seed_of(seed, -5, 7)


@pytest.mark.backends("numpy")
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_arrays_with_rules_of_their_own_are_no_logits(target: Target) -> None:
    for x in (np.matrix([[0.0, 1.0]]), np.ma.masked_array([0.0, 1.0], [False, True]), np.float64(1)):
        with pytest.raises(TypeError, match=rf"logits must be an array .*got numpy.*\.{type(x).__name__}$"):
            ksubset.marginals(x, 1)


@pytest.mark.backends("numpy")
def test_tables_are_told_how_to_become_arrays(target: Target) -> None:
    """As pandas, polars and xarray do it."""
    series = type("Series", (), {"__module__": "pandas.core.series", "to_numpy": lambda self: np.zeros(4)})()
    for message, call in {
        r"logits must be an array of .*; got pandas\.Series: give what its to_numpy\(\) returns": lambda: ksubset.mode(
            series, 2
        ),
        r"k must be an int .*; got pandas\.Series: give": lambda: ksubset.mode(np.zeros((4, 4)), series),
        r"v must be .*; got pandas\.Series: give": lambda: ksubset.marginals_jvp(np.zeros(4), 2, series),
    }.items():
        with pytest.raises(TypeError, match=message):
            call()


@pytest.mark.backends("numpy", "strict", "torch", "jax")
def test_values_are_checked_by_default_on_eager_cpu_arrays(target: Target) -> None:
    with pytest.raises(ValueError, match="NaN"):
        ksubset.marginals(row(target, NAN, 1.0), 1)
    with pytest.raises(ValueError, match="only 0 and 1"):
        ksubset.log_prob(good(target), 1, row(target, 0.5, 0.5, 0.0, 0.0))


@pytest.mark.backends("strict", "torch", "jax", "cupy")
def test_companions_of_another_framework(target: Target) -> None:
    with pytest.raises(TypeError, match="v must be an array of the same framework as logits"):
        ksubset.marginals_jvp(good(target), 2, np.zeros(4))
    with pytest.raises(TypeError, match="k must be an array of the same framework as logits"):
        ksubset.marginals(good(target), np.array([2]))
    with pytest.raises(TypeError, match="v must be an array of the same framework as logits"):
        ksubset.marginals_jvp(np.zeros(4), 2, good(target))


@pytest.mark.backends("torch", "jax", "cupy")
def test_generator_of_another_framework(target: Target) -> None:
    with pytest.raises(TypeError, match=r"rng must be .*got numpy\.Generator"):
        ksubset.sample(good(target), 2, rng=np.random.default_rng(0))


@pytest.mark.backends("strict")
def test_companions_on_another_device(target: Target) -> None:
    import array_api_strict as xp

    other = next(d for d in xp.__array_namespace_info__().devices() if d != target.device)
    with pytest.raises(ValueError, match="v must be on the device of logits"):
        ksubset.marginals_jvp(good(target), 2, xp.zeros(4, device=other, dtype=xp.float32))


@pytest.mark.backends("numpy")
def test_more_than_64_bits_are_too_many(target: Target) -> None:
    wide = np.zeros(4, np.longdouble)
    if wide.dtype == np.float64:
        pytest.skip("NumPy's longdouble is float64 on this platform, which has no wider dtype to refuse")
    for call in (lambda: ksubset.marginals(wide, 2), lambda: ksubset.marginals_jvp(np.zeros(4), 2, wide)):
        with pytest.raises(TypeError, match="must have a dtype of 16 to 64 bits"):
            call()


@pytest.mark.backends("torch")
def test_eight_bits_are_too_few(target: Target) -> None:
    import torch

    with pytest.raises(TypeError, match=r"logits must have a dtype of 16 to 64 bits; got torch\.float8_e5m2"):
        ksubset.marginals(torch.zeros(4).to(torch.float8_e5m2), 2)


@pytest.mark.backends("jax")
def test_jax_needs_a_key(target: Target) -> None:
    with pytest.raises(TypeError, match="rng must be a JAX key or an int; got None"):
        ksubset.sample(good(target), 2)


@pytest.mark.backends("jax")
def test_jax_needs_one_key(target: Target) -> None:
    import jax

    with pytest.raises(ValueError, match=r"rng must be one JAX key; got a batch of them, \(3,\)"):
        ksubset.sample(good(target), 2, rng=jax.random.split(jax.random.key(0), 3))


@pytest.mark.backends("numpy")
def test_numpy_integers_are_ints(target: Target) -> None:
    assert ksubset.sample(np.zeros(4), 2, rng=0, sample_shape=(np.int64(3),)).shape == (3, 4)
    assert ksubset.marginals(np.zeros(4), np.int64(2)).sum() == pytest.approx(2)
    with pytest.raises(TypeError, match="logits must have a real floating dtype; got object"):
        ksubset.marginals(np.array([1, "a"], dtype=object), 1)


def test_operations_across_distributions(target: Target) -> None:
    d = ksubset.KSubset(good(target), 2)
    with pytest.raises(ValueError, match="other must have the same k"):
        d.kl_divergence(ksubset.KSubset(good(target), 1))
