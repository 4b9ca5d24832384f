r"""
Survey sampling: conditional Poisson sampling
=============================================

A survey wants exactly *k* of *n* households, and larger ones with a higher probability. Statisticians draw each household
independently and keep only the draws that have size *k*; they call it *conditional Poisson sampling*, and know that it has
the highest entropy among all designs with the same inclusion probabilities [1]_. It is the k-subset distribution: the
logits are those of the independent draws.

.. [1] Hájek, *Sampling from a Finite Population*, Dekker 1981; Chen, Dempster and Liu, *Weighted finite population
   sampling to maximize entropy*, Biometrika 81, 1994.
"""

import matplotlib.pyplot as plt
import numpy as np

import ksubset

BLUE, ORANGE = "#0072b2", "#d55e00"

rng = np.random.default_rng(1)
n, k = 60, 12
size = rng.gamma(2.0, size=n) + 0.3
income = 3 * size * rng.lognormal(sigma=0.3, size=n)  # what the survey asks; it grows with size

# %%
# From the wanted probabilities to the logits
# -------------------------------------------
# Let household *i* be included with probability :math:`\pi_i = k \, x_i / \sum x`, proportional to its size. Which logits
# give that? The marginals are the gradient of a convex function, so Newton's method on μ(θ) = π finds them; its Jacobian
# is the covariance. Any constant can be added to the logits, so the system has one direction without effect, which
# ``lstsq`` leaves alone.

target = k * size / size.sum()
assert target.max() < 1

logits = np.log(target / (1 - target))
for _ in range(4):
    gap = target - ksubset.marginals(logits, k)
    print(f"largest error of an inclusion probability: {np.abs(gap).max():.1e}")
    logits = logits + np.linalg.lstsq(ksubset.covariance(logits, k), gap, rcond=None)[0]

# %%
# Joint inclusion probabilities
# -----------------------------
# Estimates of variance need :math:`\pi_{ij} = P(z_i = z_j = 1)`. They are the covariance plus the products of the single
# ones, exact, without a simulation.

pi = ksubset.marginals(logits, k)
joint = ksubset.covariance(logits, k) + np.outer(pi, pi)
print("row sums are (k − 1) π:", np.allclose(joint.sum(axis=1) - np.diag(joint), (k - 1) * pi))

# %%
# Estimate a total
# ----------------
# The Horvitz–Thompson estimator divides what was seen by the probability to see it. It is unbiased, and its variance
# follows from the covariance exactly. Beside it: simple random sampling of the same number of households.

draws = ksubset.sample(logits, k, rng=0, sample_shape=(20_000,))
estimates = draws @ (income / pi)
uniform = ksubset.sample(np.zeros(n), k, rng=0, sample_shape=(20_000,)) @ (income * n / k)
exact_sd = np.sqrt((income / pi) @ ksubset.marginals_jvp(logits, k, income / pi))
print(f"true total {income.sum():.0f}; mean of the estimates {estimates.mean():.0f}")
print(f"standard deviation: {exact_sd:.1f} exactly, {estimates.std():.1f} in these draws; uniform {uniform.std():.1f}")

figure, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
edges = np.linspace(uniform.min(), uniform.max(), 70)
axes.hist(uniform, edges, density=True, color=ORANGE, alpha=0.6, label="households alike")
axes.hist(estimates, edges, density=True, color=BLUE, alpha=0.7, label="in proportion to size")
axes.axvline(income.sum(), color="black", linestyle="--", linewidth=1, label="truth")
axes.set(xlabel="estimated total", ylabel="density", title=f"{k} of {n} households, 20,000 surveys")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)
