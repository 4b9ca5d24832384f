r"""
A probability from a dozen nodes
================================

Toss a coin for each of *n* items, heads with probability :math:`p_i`. The probability of *k* heads is an integral over
the characteristic function of their number,

.. math::
    P(S = k) = \frac{1}{2\pi} \int_{-\pi}^{\pi} F(\varphi) e^{-ik\varphi} \, d\varphi, \qquad
    F(\varphi) = \prod_i \bigl(1 + p_i (e^{i\varphi} - 1)\bigr),

and marginals are ratios of such integrals. ksubset computes them by the trapezoidal rule. This page shows the integrand
and how fast the rule converges; :doc:`/mathematics` has the proofs.
"""

import matplotlib.pyplot as plt
import numpy as np

import ksubset

BLUE, RED, GREY = "#0072b2", "#d55e00", "#999999"

# %%
# The integrand is a bell
# -----------------------
# A constant added to all logits does not change the k-subset distribution. Choose it so that the coins show *k* heads on
# average; bisection finds it.


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


def tilted(logits, k):
    """The logits plus a constant, p and q = 1 − p for each item."""
    low, high = -np.max(logits) - 50, -np.min(logits) + 50
    for _ in range(100):
        t = logits + (low + high) / 2
        if sigmoid(t).sum() < k:
            low = (low + high) / 2
        else:
            high = (low + high) / 2
    return sigmoid(t), sigmoid(-t)


def integrand(p, k, angle):
    """F(φ) exp(−ikφ) at some angles."""
    turn = np.exp(1j * angle)
    return np.prod(1 + p[:, None] * (turn - 1), axis=0) * turn**-k


def rule(variance, log_error=38):
    """The period N of the library, and how many nodes in (0, π) it uses."""
    reach = np.sqrt(2 * log_error * variance) + log_error / 3
    period = 2 * int(np.ceil(reach / 2))
    fall = 1 - np.cos(half_offset(period))
    return period, int((variance * fall <= log_error).sum())


def half_offset(period):
    """The nodes in (0, π); those in (−π, 0) are their mirror images."""
    return 2 * np.pi * (np.arange(period // 2) + 0.5) / period


rng = np.random.default_rng(0)
rows = [(rng.normal(size=n), k) for n, k in [(200, 2), (60, 10), (1200, 240)]]
angle = np.linspace(-np.pi, np.pi, 1001)

_, panels = plt.subplots(
    1, 3, figsize=(9, 2.8), sharey=True, layout="constrained"
)
for axes, (logits, k) in zip(panels, rows, strict=True):
    p, q = tilted(logits, k)
    period, used = rule((p * q).sum())
    nodes = half_offset(period)[:used]
    nodes = np.concatenate([-nodes[::-1], nodes])
    for part, colour in (np.real, BLUE), (np.imag, RED):
        name = part.__name__ + " part"
        for x, style in (angle, "-"), (nodes, "."):
            axes.plot(x, part(integrand(p, k, x)), style, color=colour)
        axes.lines[-2].set_label(name)
    axes.set(
        title=f"V = {(p * q).sum():.1f}, {used} nodes",
        xlabel="φ",
        xticks=[-np.pi, 0, np.pi],
        xticklabels=["−π", "0", "π"],
    )
    axes.spines[["top", "right"]].set_visible(False)
panels[0].legend(loc="upper left", frameon=False)

# %%
# Its width is about :math:`1/\sqrt V`, where V = Σ p (1 − p) is the variance of the number of heads. It is nearly real
# and positive, so little cancels. Dots are the nodes that the library uses in float64; where the bell is narrow, nodes
# outside it are left out. The values on the left are conjugates of those on the right and need not be computed.

# %%
# How many nodes are enough
# -------------------------
# With N nodes in a period the rule gives P(S = k) − P(S = k ± N) + P(S = k ± 2N) − …, and has no other error than
# rounding. The true P(S = k) is found here by multiplying the polynomials of all coins, in time proportional to n². The
# marginal of item *i* is :math:`\mu_i = p_i (1 + q_i \Delta_i)`, and :math:`\Delta_i` is a sum over the same nodes.


def law(p, q):
    """The probability of each number of heads."""
    found = np.ones(1)
    for side in zip(q, p, strict=True):
        found = np.convolve(found, side)
    return found


def marginal(p, q, k, i):
    """Of item i: it is chosen, and k − 1 of the others."""
    others = law(np.delete(p, i), np.delete(q, i))
    return p[i] * others[k - 1] / law(p, q)[k]


def by_nodes(p, q, k, nodes, period):
    """P(S = k), and the marginals of all items, from some nodes."""
    c, u = integrand(p, k, nodes), np.exp(1j * nodes) - 1
    delta = np.real(u * c / (1 + p[:, None] * u)).sum(axis=1) / c.real.sum()
    return 2 * c.real.sum() / period, p * (1 + q * delta)


_, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.4), sharey=True, layout="constrained"
)
for (logits, k), colour in zip(rows, [GREY, RED, BLUE], strict=True):
    p, q = tilted(logits, k)
    variance, exact, i = (p * q).sum(), law(p, q), logits.argmin()
    mu = marginal(p, q, k, i)
    periods, errors = np.arange(4, rule(variance)[0] + 20, 2), []
    for period in periods:
        total, found = by_nodes(p, q, k, half_offset(period), period)
        errors.append([abs(total / exact[k] - 1), abs(found[i] / mu - 1)])
        aliases = exact[k % period :: period].sum() - exact[k]
        assert errors[-1][0] <= aliases / exact[k] + 1e-13
    errors = np.maximum(errors, 1e-17)
    left.semilogy(periods, errors[:, 0], color=colour)
    label = f"V = {variance:.1f}"
    right.semilogy(periods, errors[:, 1], color=colour, label=label)
    for axes in left, right:
        axes.axvline(rule(variance)[0], color=colour, linestyle=":")
left.set(xlabel="N", ylabel="relative error", title="P(S = k)")
right.set(xlabel="N", title="the smallest marginal")
right.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
for axes in left, right:
    axes.spines[["top", "right"]].set_visible(False)

# %%
# The error falls like the tail of the law of *S*, faster than any power of N, until rounding is left. Dotted lines are
# the library's N, which also covers laws with longer tails than these. From its nodes alone, all marginals agree with
# :func:`ksubset.marginals` to rounding:

for logits, k in rows:
    p, q = tilted(logits, k)
    period, used = rule((p * q).sum())
    mu = by_nodes(p, q, k, half_offset(period)[:used], period)[1]
    error = np.abs(mu / ksubset.marginals(logits, k) - 1).max()
    print(f"{len(p)} items, {used} nodes: largest difference {error:.0e}")
    assert error < 1e-13

# %%
# N grows like :math:`\sqrt V`, but the bell narrows at the same rate. So the number of nodes under the bell is bounded,
# whatever *n*, *k* and V are.

variances = np.geomspace(0.25, 1e6, 2000)
_, axes = plt.subplots(figsize=(5.6, 3), layout="constrained")
for name, log_error, colour in ("float64", 38, BLUE), ("float32", 18, RED):
    sizes = np.array([rule(v, log_error)[1] for v in variances])
    axes.semilogx(variances, sizes, color=colour, label=name)
    assert sizes.max() <= {38: 26, 18: 13}[log_error]
axes.set(xlabel="V", ylabel="nodes in (0, π)", ylim=(0, None))
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)

# %%
# Where this is not enough
# ------------------------
# The error of a sum over nodes is absolute. Let three items be likely and twelve unlikely, so that V is tiny. An unlikely
# item is then chosen only if a likely one is left out, which is so rare that rounding hides it. For such rows the
# library sums over the number of items exchanged instead, and every marginal keeps its digits.

logits = np.where(np.arange(15) < 3, 14.0, -14.0) + rng.normal(size=15)
p, q = tilted(logits, 3)
truth = np.array([marginal(p, q, 3, i) for i in range(15)])
period, used = rule(0.25)
contour = by_nodes(p, q, 3, half_offset(period)[:used], period)[1]
answers = {"nodes": contour, "ksubset": ksubset.marginals(logits, 3)}
errors = {name: np.abs(mu / truth - 1).max() for name, mu in answers.items()}
print(f"V = {(p * q).sum():.0e}; relative errors:")
print({name: f"{error:.0e}" for name, error in errors.items()})
assert errors["ksubset"] < 1e-13 < errors["nodes"]
