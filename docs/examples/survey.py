r"""
Survey sampling: conditional Poisson sampling
=============================================

A survey wants exactly *k* of *n* households, and larger ones with a higher probability. Statisticians draw each household
independently and keep only the draws that have size *k*; they call it *conditional Poisson sampling*, and know that it has
the highest entropy among all designs with the same inclusion probabilities [1]_. It is the k-subset distribution, with
the logits of the independent draws.

.. [1] Hájek, *Sampling from a Finite Population*, Dekker 1981; Chen, Dempster and Liu, *Weighted finite population
   sampling to maximize entropy*, Biometrika 81, 1994.
"""

import matplotlib.pyplot as plt
import numpy as np

import ksubset
from ksubset import survey

# %%
# What the survey asks, income, grows with the size of a household.

rng = np.random.default_rng(1)
n, k = 60, 12
size = rng.gamma(2.0, size=n) + 0.3
income = 3 * size * rng.lognormal(sigma=0.3, size=n)

# %%
# From the wanted probabilities to the logits
# -------------------------------------------
# Let household *i* be included with probability :math:`\pi_i = k \, x_i / \sum x`, proportional to its size. Which logits
# give that? The marginals are the gradient of a convex function of the logits, and
# :func:`~ksubset.logits_from_marginals` inverts it. Any constant could be added; these logits add up to 0.

target = survey.inclusion_probabilities(size, k)
logits = ksubset.logits_from_marginals(target, k)
print(
    f"largest error of a probability: {np.abs(target - ksubset.marginals(logits, k)).max():.0e}"
)

# %%
# Joint inclusion probabilities
# -----------------------------
# Estimates of variance need :math:`\pi_{ij} = P(z_i = z_j = 1)`: exact, without a simulation.

pi = ksubset.marginals(logits, k)
joint = survey.joint_inclusion_probabilities(logits, k)
others = joint.sum(axis=1) - np.diag(joint)
print("(k − 1) π is the sum over j:", np.allclose(others, (k - 1) * pi))

# %%
# Estimate a total
# ----------------
# The Horvitz–Thompson estimator divides what was seen by the probability to see it. It is unbiased, and its variance
# follows from the covariance exactly. Beside it: simple random sampling of the same number of households.

weights = income / pi
totals = ksubset.sample(logits, k, rng=0, sample_shape=(20_000,)) @ weights
sd = np.sqrt(weights @ ksubset.marginals_jvp(logits, k, weights))
print(f"truth {income.sum():.0f}, mean of the estimates {totals.mean():.0f}")
print(f"their standard deviation {totals.std():.2f}, exactly {sd:.2f}")

alike = ksubset.sample(np.zeros(n), k, rng=0, sample_shape=(20_000,))
alike = alike @ (income * n / k)
print(f"standard deviation with households alike {alike.std():.2f}")

_, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
edges = np.linspace(alike.min(), alike.max(), 70)
axes.hist(alike, edges, color="#d55e00", alpha=0.6, label="households alike")
axes.hist(totals, edges, color="#0072b2", alpha=0.7, label="by size")
axes.axvline(income.sum(), color="black", linewidth=1, label="truth")
axes.set(xlabel="estimated total", ylabel="of 20,000 surveys")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)
