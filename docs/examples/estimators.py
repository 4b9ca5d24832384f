r"""
Estimators side by side
=======================

How far is a gradient off, on average and from draw to draw? With ten items all 252 subsets of size five can be listed,
so that the true gradient of an expected loss is known. Here the loss is not linear in the subset, ℓ(z) = ‖z − b‖⁴ / 8.
"""

from functools import partial

import matplotlib.pyplot as plt
import torch

from ksubset import estimators

torch.manual_seed(0)
n, k, draws = 10, 5, 2000
logits, b = torch.randn(n), torch.randn(n)


def loss(z: torch.Tensor) -> torch.Tensor:
    """One loss for each subset."""
    return (z - b).square().sum(-1).square() / 8


# %%
# The truth is the gradient of Σ p(z) ℓ(z) over all subsets.

leaf = logits.clone().requires_grad_()
(truth,) = torch.autograd.grad(estimators.exact_gradient(loss, leaf, k), leaf)
print(truth)

# %%
# Each estimator gives one gradient per draw: the rows of ``x`` are independent copies of the logits. Steps λ and
# temperatures are those with the least error in all, of several tried from 0.01 to 2.

through_samples = {
    "SIMPLE": estimators.simple,
    "SIMPLE-F, λ = 1": partial(estimators.simple_f, lambda_=1.0),
    "I-MLE, λ = 1": partial(estimators.imle, lambda_=1.0),
    "Gumbel top-k, τ = 1": estimators.gumbel_topk_st,
    "SoftSub, t = 2": partial(estimators.softsub, t=2.0),
}
taking_the_loss = {
    "score function, S = 10": partial(estimators.score_function, S=10),
    "simple_unbiased, S = 10": partial(estimators.simple_unbiased, S=10),
}

gradients = {}
for name, sampler in through_samples.items():
    x = logits.repeat(draws, 1).requires_grad_()
    gradients[name] = torch.autograd.grad(loss(sampler(x, k)).sum(), x)[0]
for name, estimator in taking_the_loss.items():
    x = logits.repeat(draws, 1).requires_grad_()
    gradients[name] = torch.autograd.grad(estimator(loss, x, k).sum(), x)[0]

# %%
# *Bias* is the distance of their mean from the truth, *spread* the root mean square distance of a single gradient from
# the mean, both relative to the length of the true gradient. Nearer to the corner is better.

_, axes = plt.subplots(figsize=(5.6, 4.4), layout="constrained")
for (name, g), marker in zip(gradients.items(), "osD^vPX", strict=True):
    bias = (g.mean(0) - truth).norm() / truth.norm()
    spread = (g - g.mean(0)).square().sum(1).mean().sqrt() / truth.norm()
    print(f"{name:24} bias {bias:.2f}   spread {spread:.2f}")
    axes.plot(spread, bias, marker, markersize=9, label=name)
axes.set(xlabel="spread of one gradient", xlim=(0, None), ylabel="bias")
axes.spines[["top", "right"]].set_visible(False)
below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.18)}
axes.legend(frameon=False, ncols=2, **below)

# %%
# What remains of the bias of the unbiased two is the noise of a mean over 2,000 draws. SIMPLE trades a bias for a small
# spread. Relaxed and perturbed estimators depend on a temperature or a step, which is to be tuned;
# :doc:`/howto/estimators` says how to choose.
