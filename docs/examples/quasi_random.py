r"""
Quasi-random draws
==================

Averages over *S* random subsets have an error of about :math:`S^{-1/2}`. Points that fill the cube more evenly than
random ones lower it. `ksubset.sample_from_uniforms` turns any uniforms into exact subsets, so scrambled Sobol points
will do: each draw follows the law exactly, and the average is unbiased, because every scrambled point is uniform. Only
the draws are no longer independent of each other, which is the purpose.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import qmc

import ksubset

# %%
# Draws from a point set
# ----------------------
# A row of *n* items takes *n* − 1 uniforms. The first ones split the row in halves and decide most, which suits Sobol
# points: they are best in their first coordinates.

n, k = 16, 5
logits = np.random.default_rng(0).normal(size=n)
value = np.random.default_rng(1).normal(size=n)


def sobol(size, seed):
    """Subsets from scrambled Sobol points; ``size`` is a power of two."""
    points = qmc.Sobol(n - 1, rng=seed).random(size)
    return ksubset.sample_from_uniforms(logits, k, points)


def independent(size, seed):
    return ksubset.sample(logits, k, rng=seed, sample_shape=(size,))


z = sobol(8, 0)
print(z.shape, z.sum(axis=-1))

# %%
# The error of an average
# -----------------------
# A sum over the chosen items, its square, and whether two items are chosen together. The expectations of the first and
# the last are known from the marginals and the covariance; all three are known from all 4368 subsets.


def functions(z):
    total = z @ value
    return np.stack([total, total**2, z[..., 0] * z[..., 1]], axis=-1)


everything = np.array(
    [
        [i >> j & 1 for j in range(n)]
        for i in range(2**n)
        if i.bit_count() == k
    ],
    float,
)
truth = np.exp(ksubset.log_prob(logits, k, everything)) @ functions(
    everything
)
sizes = 2 ** np.arange(3, 13)


def errors(draw, repeats=50):
    """Root mean square error of averages of each size, for each function."""
    found = [
        [
            functions(draw(size, seed)).mean(axis=0) - truth
            for seed in range(repeats)
        ]
        for size in sizes
    ]
    return np.sqrt(np.square(found).mean(axis=1))


random, quasi = errors(independent), errors(sobol)
for name, a, b in zip(
    ["sum", "square", "pair"], random.T, quasi.T, strict=True
):
    print(
        f"{name:>6}: error of 4096 draws {a[-1]:.1e}, of 4096 Sobol draws {b[-1]:.1e}, {a[-1] / b[-1]:.1f} times less"
    )

# %%
# On the double logarithmic scale the slope is the rate.

_, axes = plt.subplots(
    1, 3, figsize=(9, 3.2), sharex=True, layout="constrained"
)
for ax, name, a, b in zip(
    axes, ["Σ value", "its square", "a pair"], random.T, quasi.T, strict=True
):
    ax.loglog(sizes, a, "o-", color="#999999", label="independent")
    ax.loglog(sizes, b, "o-", color="#0072b2", label="scrambled Sobol")
    ax.set(title=name, xlabel="draws S")
axes[0].set_ylabel("root mean square error")
axes[0].legend(frameon=False)
plt.show()

# %%
# What to expect
# --------------
# Indicators jump, so the rate stays between :math:`S^{-1/2}` and :math:`S^{-1}`. Of 256 items the error of a sum is
# that of independent draws divided by 1.1 (*k* = 20) or 1.6 (*k* = 100), with 64 draws as with 1024. Use powers of two, a new scrambling for each estimate, and the spread over a few scramblings as the
# standard error: the spread within one point set says nothing.
