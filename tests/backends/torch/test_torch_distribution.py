"""The torch distribution: what torch checks of its own, and the uses it is made for."""

from math import comb

import numpy as np
import pytest
from cases import all_sizes
from conftest import Target
from oracle import Enumeration
from significance import check_binomial, check_mean

import ksubset

pytestmark = pytest.mark.backends("torch")
LOGITS = np.random.default_rng(8).normal(size=(2, 3, 5))


def make(target: Target, k: object = 2) -> object:
    from ksubset.backends.torch import KSubset

    return KSubset(target.array(LOGITS), k)


def test_shapes_and_expand(target: Target) -> None:
    d = make(target)
    assert (d.batch_shape, d.event_shape) == ((2, 3), (5,))
    assert d.sample((4,)).shape == d.rsample((4,)).shape == (4, 2, 3, 5)
    wide = d.expand((7, 2, 3))
    assert wide.batch_shape == (7, 2, 3)
    assert wide.log_prob(wide.sample()).shape == wide.entropy().shape == (7, 2, 3)
    assert (
        make(target, target.array([1, 2, 3])).expand((7, 2, 3)).sample().sum(-1)[0, 0] == target.array([1, 2, 3])
    ).all()


def test_log_prob_sums_to_one_over_the_support(target: Target) -> None:
    import torch

    for k in range(6):
        d = make(target, k)
        z = d.enumerate_support()
        assert z.shape == (comb(5, k), 2, 3, 5)
        torch.testing.assert_close(d.log_prob(z).exp().sum(0), torch.ones(2, 3, dtype=torch.float64))
        assert d.support.check(z).all()
        assert d.enumerate_support(expand=False).shape == (comb(5, k), 1, 1, 5)


def test_moments_entropy_and_mode(target: Target) -> None:
    d = make(target)
    truth = [Enumeration(row, 2) for row in LOGITS.reshape(-1, 5)]
    for found, expected in (
        (d.mean, [row.marginals for row in truth]),
        (d.variance, [np.diag(row.covariance) for row in truth]),
        (d.entropy(), [row.entropy for row in truth]),
        (d.mode, [row.subsets[row.probabilities.argmax()] for row in truth]),
    ):
        np.testing.assert_allclose(found.numpy().reshape(6, -1).squeeze(), np.array(expected), atol=1e-13)
    import torch

    torch.manual_seed(0)
    z = d.sample((20_000,))
    check_binomial(z.sum(dim=0).numpy(), 20_000, d.mean.numpy())
    check_mean(-d.log_prob(z).numpy(), d.entropy().numpy())


def test_gradients_are_those_of_the_functions(target: Target) -> None:
    import torch

    from ksubset.backends.torch import KSubset

    x = target.array(LOGITS).requires_grad_()
    KSubset(x, 2).entropy().sum().backward()
    torch.testing.assert_close(x.grad, -ksubset.marginals_jvp(x.detach(), 2, x.detach()))
    assert torch.autograd.gradcheck(lambda x: KSubset(x, 2).log_prob(KSubset(x, 2).mode.detach()), x)


def test_kl_divergence_is_registered(target: Target) -> None:
    import torch

    from ksubset.backends.torch import KSubset

    p, q = make(target), KSubset(target.array(LOGITS[::-1].copy()), 2)
    found = torch.distributions.kl_divergence(p, q)
    torch.testing.assert_close(found, ksubset.kl_divergence(p.logits, q.logits, 2))
    uniform = KSubset(torch.zeros_like(p.logits), 2)
    torch.testing.assert_close(torch.distributions.kl_divergence(p, uniform), ksubset.kl_to_uniform(p.logits, 2))
    with pytest.raises(NotImplementedError, match="needs the same k; got 2 and 3"):
        torch.distributions.kl_divergence(p, make(target, 3))


def test_inside_independent_and_a_mixture(target: Target) -> None:
    import torch
    from torch.distributions import Categorical, Independent, MixtureSameFamily

    d = make(target)
    torch.testing.assert_close(Independent(d, 1).log_prob(d.mode), d.log_prob(d.mode).sum(-1))
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64, device=target.device)
    mixture = MixtureSameFamily(Categorical(weights.expand(2, 3)), d)
    support = d.enumerate_support(expand=False)[:, 0]
    torch.testing.assert_close(mixture.log_prob(support).exp().sum(0), torch.ones(2, dtype=torch.float64))
    assert (mixture.sample((10,)).sum(-1) == 2).all()


def test_arguments_are_validated(target: Target) -> None:
    import torch

    from ksubset.backends.torch import KSubset

    d = KSubset(target.array(LOGITS), 2, validate_args=True)  # torch.compile turns off what is validated by default
    with pytest.raises(ValueError, match="Expected value argument"):
        d.log_prob(torch.ones_like(d.logits))
    with pytest.raises(ValueError, match="logits must not contain NaN"):
        KSubset(torch.full((3,), torch.nan), 1, validate_args=True)
    with pytest.raises(ValueError, match=r"k must be in \[0, 5\]"):
        make(target, 6)
    masked = KSubset(target.array([0.0, -np.inf, np.inf, 1.0]), 2)
    assert (masked.sample((20,))[:, 1:3] == target.array([0.0, 1.0])).all()


def test_large_support_is_refused(target: Target) -> None:
    import torch

    from ksubset.backends.torch import KSubset

    with pytest.raises(NotImplementedError, match="needs one k for all rows"):
        make(target, target.array([1, 2, 3])).enumerate_support()
    with pytest.raises(NotImplementedError, match="lists at most"):
        KSubset(torch.zeros(40), 8).enumerate_support()


def test_every_k_of_a_batch(target: Target) -> None:
    from ksubset.backends.torch import KSubset

    batch = all_sizes(5)
    d = KSubset(target.array(batch.logits), target.array(batch.k))
    np.testing.assert_allclose(d.entropy().numpy(), [row.entropy for row in batch.rows], atol=1e-13)
    assert d.support.check(d.sample((3,))).all()


def test_validation_as_torch_has_it(target: Target) -> None:
    """It can be turned off, for one object or for all, and then nothing is read; `expand` keeps it as it is."""
    import torch
    from torch.distributions import Distribution

    from ksubset.backends.torch import KSubset

    x, z = target.array(LOGITS.reshape(-1, 5)[:3]), target.array(np.eye(5)[:3])
    for asked in (True, False):
        assert KSubset(x, 2, validate_args=asked).expand((2, 3))._validate_args is asked
    masked = KSubset(target.array([0.0, -np.inf, np.inf, 1.0]), 2, validate_args=True)
    with pytest.raises(ValueError, match="Expected value argument"):
        masked.log_prob(target.array([1.0, 1.0, 1.0, 0.0]))
    plain = KSubset(x, 1, validate_args=False).log_prob(z)
    mapped = torch.func.vmap(lambda x, z: KSubset(x, 1, validate_args=False).log_prob(z))(x, z)
    torch.testing.assert_close(mapped, plain)
    before = Distribution._validate_args
    try:
        Distribution.set_default_validate_args(False)
        torch.testing.assert_close(torch.func.vmap(lambda x, z: KSubset(x, 1).log_prob(z))(x, z), plain)
        assert KSubset(torch.zeros(3, 4, device="meta"), 2).mean.shape == (3, 4)
    finally:
        Distribution.set_default_validate_args(before)


def test_support_without_what_infinite_logits_exclude(target: Target) -> None:
    from ksubset.backends.torch import KSubset

    d = KSubset(target.array([[0.0, -np.inf, np.inf, 1.0], [0.0, -np.inf, 2.0, np.inf]]), 2)
    support = d.enumerate_support(expand=False)[:, 0]
    assert sorted(map(tuple, support.tolist())) == [(0, 0, 1, 1), (1, 0, 0, 1), (1, 0, 1, 0)]
    assert d.has_enumerate_support
    assert not make(target, target.array([1, 2, 3])).has_enumerate_support
    assert not KSubset(target.array(np.zeros(40)), 8).has_enumerate_support


def test_arrays_of_other_frameworks(target: Target) -> None:
    from ksubset.backends.torch import KSubset

    for x, name in ((np.zeros(4), r"numpy\.ndarray"), ([0.0, 1.0], "list")):
        with pytest.raises(
            TypeError, match=rf"logits must be a Tensor; got {name}: convert it by torch\.from_numpy or .*"
        ):
            KSubset(x, 1)
