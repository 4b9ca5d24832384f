r"""
Why not Gumbel top-k?
=====================

Add Gumbel noise to the logits, take the *k* largest: that is easy, and it gives *k* distinct items. But it is another
distribution. It draws the items **one after another**, each time in proportion to exp(θ) among those that are left. The
k-subset distribution :math:`p(z) \propto \exp(\theta \cdot z)` draws **all at once**.

This page computes both laws exactly, for a case small enough to list all subsets.
"""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np

import ksubset

EXACT, GUMBEL, OTHER = "#0072b2", "#d55e00", "#999999"

# %%
# Another law
# -----------
# The probability that Gumbel top-k gives a set is a sum over the *k*! orders in which its items may have been drawn. It
# follows from smaller sets: whichever item *i* came last, the others came before it.


def gumbel_topk_law(logits: np.ndarray, k: int) -> dict[frozenset[int], float]:
    """The probability of each set of k items as the first k draws without replacement."""
    weights = np.exp(logits)
    law = {frozenset(): 1.0}
    for size in range(1, k + 1):
        law = {
            chosen: sum(
                law[chosen - {i}] * weights[i] / (weights.sum() - sum(weights[j] for j in chosen - {i})) for i in chosen
            )
            for chosen in map(frozenset, combinations(range(len(logits)), size))
        }
    return law


logits, k = np.array([2.0, 1.0, 0.0, -1.0]), 2
law = gumbel_topk_law(logits, k)
subsets = np.array([[float(i in chosen) for i in range(4)] for chosen in law])
exact = np.exp(ksubset.log_prob(logits, k, subsets))
gumbel = np.array(list(law.values()))
print("sum of probabilities:", exact.sum().round(12), gumbel.sum().round(12))
print("ratio:", (gumbel / exact).round(2))

# %%
# Sets of likely items come up too often, sets of unlikely items too seldom: {2, 3} has little more than half of its
# probability.


def bars(axes: plt.Axes, names: list[str], heights: dict[str, tuple[np.ndarray, str]]) -> None:
    """Groups of bars side by side."""
    width = 0.8 / len(heights)
    for j, (label, (values, colour)) in enumerate(heights.items()):
        places = np.arange(len(names)) + (j - (len(heights) - 1) / 2) * width
        axes.bar(places, values, width, label=label, color=colour)
    axes.set_xticks(range(len(names)), names)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


figure, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
names = ["{" + ", ".join(map(str, sorted(chosen))) + "}" for chosen in law]
bars(axes, names, {"p(z) ∝ exp(θ · z)": (exact, EXACT), "Gumbel top-k": (gumbel, GUMBEL)})
axes.set(ylabel="probability", title="θ = (2, 1, 0, −1), k = 2")

# %%
# Other marginals
# ---------------
# The more items are chosen, the further apart the two laws are. Here are ten items, of which five are chosen. Gumbel
# top-k takes the likely ones too often: after the first draws only less likely items are left to choose from, but the
# likely ones are in already.

logits, k = np.linspace(2, -2, 10), 5
law = gumbel_topk_law(logits, k)
subsets = np.array([[float(i in chosen) for i in range(10)] for chosen in law])
gumbel_marginals = np.array(list(law.values())) @ subsets
exact_marginals = ksubset.marginals(logits, k)

figure, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
bars(
    axes,
    [f"{x:.1f}" for x in logits],
    {"p(z) ∝ exp(θ · z)": (exact_marginals, EXACT), "Gumbel top-k": (gumbel_marginals, GUMBEL)},
)
axes.set(xlabel="logit of the item", ylabel="probability to be chosen", title="n = 10, k = 5")

# %%
# The divergence between the two laws grows with *k* until half of the items are chosen.

sizes, divergences = range(1, 10), []
for size in sizes:
    law = gumbel_topk_law(logits, size)
    subsets = np.array([[float(i in chosen) for i in range(10)] for chosen in law])
    gumbel = np.array(list(law.values()))
    divergences.append(gumbel @ (np.log(gumbel) - ksubset.log_prob(logits, size, subsets)))

figure, axes = plt.subplots(figsize=(6.4, 3), layout="constrained")
axes.plot(sizes, divergences, "o-", color=GUMBEL)
axes.set(xlabel="k, of 10 items", ylabel="KL divergence, nats", title="from Gumbel top-k to the k-subset distribution")
axes.spines[["top", "right"]].set_visible(False)

# %%
# Another gradient
# ----------------
# A hard top-k has no gradient. The usual remedy, called straight-through, is to go back through a softmax of the noisy
# logits, with a temperature τ. To be fair, compare its mean with the gradient of **its own** expected loss, under the
# Gumbel top-k law. The loss is linear here, c · z, the simplest there is.

rng = np.random.default_rng(0)
logits, k, cost = np.linspace(1, -1, 6), 3, np.array([1.0, -2.0, 0.5, 2.0, -1.0, 0.0])


def expected_cost(theta: np.ndarray) -> float:
    """The expected loss under Gumbel top-k."""
    return sum(p * sum(cost[i] for i in chosen) for chosen, p in gumbel_topk_law(theta, k).items())


def straight_through(tau: float, draws: int = 200_000) -> np.ndarray:
    """Straight-through gradients of c · z, one for each draw."""
    y = np.exp((logits + rng.gumbel(size=(draws, 6))) / tau)
    y /= y.sum(axis=1, keepdims=True)
    return y * (cost - (y @ cost)[:, None]) / tau


steps = 1e-5 * np.eye(6)
own = np.array([(expected_cost(logits + h) - expected_cost(logits - h)) / 2e-5 for h in steps])
simple = ksubset.marginals_jvp(logits, k, cost)

figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
bars(
    axes,
    [f"{x:.1f}" for x in logits],
    {
        "Gumbel top-k: gradient of its expected loss": (own, GUMBEL),
        "straight-through, τ = 1": (straight_through(1.0).mean(axis=0), "#e69f00"),
        "straight-through, τ = 0.3": (straight_through(0.3).mean(axis=0), OTHER),
    },
)
axes.axhline(0, color="black", linewidth=0.8)
axes.set(xlabel="logit of the item", ylabel="gradient", title="The mean straight-through gradient is another")

# %%
# SIMPLE's gradient of this loss is J · c, with the exact covariance J. It is the gradient of the expected loss under the
# law that is sampled, it has no temperature, and it does not vary from draw to draw.


def expected_cost_exactly(theta: np.ndarray) -> float:
    """The expected loss under the k-subset distribution."""
    return float(ksubset.marginals(theta, k) @ cost)


true = np.array([(expected_cost_exactly(logits + h) - expected_cost_exactly(logits - h)) / 2e-5 for h in steps])
print("SIMPLE, distance to the true gradient:", np.abs(simple - true).max().round(8))
print("SIMPLE, standard deviation over draws: 0")
for tau in (1.0, 0.3):
    draws = straight_through(tau)
    error, spread = np.abs(draws.mean(axis=0) - own).max(), draws.std(axis=0).max()
    print(f"straight-through, τ = {tau}: bias up to {error:.2f}, standard deviation up to {spread:.2f}")

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
