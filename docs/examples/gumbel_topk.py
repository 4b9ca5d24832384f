r"""
Why not Gumbel top-k?
=====================

Add Gumbel noise to the logits, take the *k* largest: that is easy, and it gives *k* distinct items. But it is another
distribution. It draws the items **one after another**, each time in proportion to exp(θ) among those that are left. The
k-subset distribution :math:`p(z) \propto \exp(\theta \cdot z)` draws **all at once**.

This page computes both laws exactly, for cases small enough to list all subsets.
"""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np

import ksubset

# %%
# A different distribution
# ------------------------
# The probability that Gumbel top-k gives a set is a sum over the *k*! orders in which its items may have been drawn. It
# follows from smaller sets: whichever item *i* came last, the others came before it.


def gumbel_topk(logits, k):
    """All subsets of k items, and what Gumbel top-k gives each of them."""
    w, law = np.exp(logits), {(): 1.0}
    for size in range(1, k + 1):
        smaller, law = law, {}
        for chosen in combinations(range(len(w)), size):
            law[chosen] = 0.0
            for i in chosen:
                others = tuple(j for j in chosen if j != i)
                left = w.sum() - sum(w[j] for j in others)
                law[chosen] += smaller[others] * w[i] / left
    z = np.zeros((len(law), len(w)))
    for row, chosen in zip(z, law, strict=True):
        row[list(chosen)] = 1
    return z, np.array(list(law.values()))


logits, k = np.array([2.0, 1.0, 0.0, -1.0]), 2
z, gumbel = gumbel_topk(logits, k)
exact = np.exp(ksubset.log_prob(logits, k, z))
print("sums:", exact.sum().round(12), gumbel.sum().round(12))
print("ratio:", (gumbel / exact).round(2))

# %%
# Sets of likely items come up too often, sets of unlikely items too seldom: {2, 3} has little more than half of its
# probability.

BLUE, RED, YELLOW, GREY = "#0072b2", "#d55e00", "#e69f00", "#999999"


def bars(names, heights, colours, **labels):
    """Groups of bars side by side."""
    _, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
    width = 0.8 / len(heights)
    for j, (label, values) in enumerate(heights.items()):
        left = np.arange(len(names)) + (j + 0.5) * width - 0.4
        axes.bar(left, values, width, label=label, color=colours[j])
    axes.set_xticks(range(len(names)), names)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    axes.set(**labels)
    return axes


names = [str({*np.flatnonzero(row).tolist()}) for row in z]
laws = {"p(z) ∝ exp(θ · z)": exact, "Gumbel top-k": gumbel}
axes = bars(names, laws, [BLUE, RED], ylabel="probability")
axes.set_title("θ = (2, 1, 0, −1), k = 2")

# %%
# Other marginals
# ---------------
# Here five of ten items are chosen. Gumbel top-k takes the likely items too often.

logits, k = np.linspace(2, -2, 10), 5
z, gumbel = gumbel_topk(logits, k)
chances = {
    "p(z) ∝ exp(θ · z)": ksubset.marginals(logits, k),
    "Gumbel top-k": gumbel @ z,
}
names = [f"{x:.1f}" for x in logits]
axes = bars(names, chances, [BLUE, RED], title="n = 10, k = 5")
axes.set(xlabel="logit of the item", ylabel="probability to be chosen")

# %%
# With one item to choose there is no difference: Gumbel top-1 is exact. Then the two laws drift apart, until few items
# are left to be left out.

sizes, divergences = range(1, 10), []
for size in sizes:
    z, gumbel = gumbel_topk(logits, size)
    log_ratio = np.log(gumbel) - ksubset.log_prob(logits, size, z)
    divergences.append(gumbel @ log_ratio)

_, axes = plt.subplots(figsize=(5.6, 3), layout="constrained")
axes.plot(sizes, divergences, "o-", color=RED)
axes.set(xlabel="k, of 10 items", ylabel="KL divergence, nats")
axes.spines[["top", "right"]].set_visible(False)

# %%
# Another gradient
# ----------------
# A hard top-k has no gradient. The usual remedy, called straight-through, is to go back through a softmax of the noisy
# logits, with a temperature τ. To be fair, compare its mean with the gradient of **its own** expected loss, that under
# the Gumbel top-k law. The loss is linear here, c · z, the simplest there is.

rng = np.random.default_rng(0)
logits, k = np.linspace(1, -1, 6), 3
cost = np.array([1.0, -2.0, 0.5, 2.0, -1.0, 0.0])


def straight_through(tau):
    """Straight-through gradients of c · z, for 200,000 draws."""
    y = np.exp((logits + rng.gumbel(size=(200_000, 6))) / tau)
    y /= y.sum(axis=1, keepdims=True)
    return y * (cost - (y @ cost)[:, None]) / tau


def slope(function, step=1e-5):
    """The gradient of a function of the logits, by differences."""
    h = step * np.eye(6)
    rise = [function(logits + x) - function(logits - x) for x in h]
    return np.array(rise) / (2 * step)


def expected_cost(theta):
    """The expected loss under Gumbel top-k."""
    z, gumbel = gumbel_topk(theta, k)
    return gumbel @ z @ cost


own = slope(expected_cost)
gradients = {
    "of the expected loss under Gumbel top-k": own,
    "straight-through on average, τ = 1": straight_through(1.0).mean(0),
    "straight-through on average, τ = 0.3": straight_through(0.3).mean(0),
}
names = [f"{x:.1f}" for x in logits]
axes = bars(names, gradients, [RED, YELLOW, GREY], ylabel="gradient")
axes.axhline(0, color="black", linewidth=0.8)
axes.set(xlabel="logit of the item", ylim=(-1.6, 0.8))

# %%
# SIMPLE's gradient of this loss is J · c, with the exact covariance J. It is the gradient of the expected loss under the
# law that is sampled. It has no temperature, and it is the same at every draw.

true = slope(lambda theta: ksubset.marginals(theta, k) @ cost)
simple = ksubset.marginals_jvp(logits, k, cost)
print(f"SIMPLE: bias {np.abs(simple - true).max():.0e}")
for tau in (1.0, 0.3):
    draws = straight_through(tau)
    bias, spread = np.abs(draws.mean(axis=0) - own), draws.std(axis=0)
    print(f"τ = {tau}: bias {bias.max():.2f}, spread {spread.max():.2f}")

# %%
# And if you do not care?
# -----------------------
# You may not mind which distribution it is. Then these remain:
#
# - **Probabilities.** :func:`ksubset.log_prob`, :func:`ksubset.entropy` and :func:`ksubset.kl_divergence` are one call
#   each. The sum over *k*! orders above is out of reach for more than a few items, and its known short cuts need
#   :math:`2^k` terms or numerical integration.
# - **Tuning.** There is no temperature.
# - **Time.** With compiled kernels a step takes less time than the Gumbel trick at most sizes;
#   :doc:`/benchmark` says where it does not.
#
# To compare the two in your own model, :func:`ksubset.estimators.gumbel_topk_st` is the straight-through estimator, with
# the arguments of :func:`ksubset.rsample`.
