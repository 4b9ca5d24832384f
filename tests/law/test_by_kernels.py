"""What a law expects of another's log-probability, from means of which each is the smaller of two sides."""

import numpy as np
import pytest
from oracle import Enumeration

from ksubset._law.by_kernels import expected_log_prob, signed_means
from ksubset._law.fixed_size import FixedSize
from ksubset.backends.array_api import NUMPY

pytestmark = pytest.mark.backends("numpy")
LAW = FixedSize(5, 3)


def test_means_of_a_law_and_what_it_expects() -> None:
    rng = np.random.default_rng(0)
    logits, other = 2 * rng.normal(size=(2, 8))
    other[:2], logits[2:4] = (-np.inf, np.inf), -other[2:4]
    means = signed_means(np, LAW.moments(NUMPY, other))
    law, whole = Enumeration(other, LAW.k), Enumeration(logits, LAW.k)
    probabilities = np.exp(law.log_probabilities)
    truth = probabilities @ (law.subsets @ logits) - np.log(np.exp(whole.subsets @ logits).sum())
    np.testing.assert_allclose(expected_log_prob(NUMPY, LAW, logits, means), truth, rtol=1e-13)
    expected = probabilities @ law.subsets
    assert means[0] == 0
    assert means[1] == 1
    np.testing.assert_allclose(means[2:], np.where(expected <= 0.5, expected, expected - 1)[2:], rtol=1e-12)
    assert (means[2:] < 0).any()
    assert (means[2:] > 0).any()
