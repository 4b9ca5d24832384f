r"""
Watch a subset being learned
============================

Three of twenty features matter. A linear model sees only three features of each example, drawn afresh every time, and
learns its weights and the logits of the features together.
"""

import matplotlib.pyplot as plt
import torch

import ksubset

torch.manual_seed(0)
x = torch.randn(500, 20)
y = x[:, 3] - 2 * x[:, 8] + x[:, 15]

logits = torch.zeros(20, requires_grad=True)
weights = torch.zeros(20, requires_grad=True)
optimizer = torch.optim.Adam([logits, weights], lr=0.05)

chances, losses, entropies = [], [], []
for _ in range(300):
    z = ksubset.rsample(
        logits, 3, sample_shape=(500,)
    )  # a fresh subset for every row of x
    loss = ((x * z) @ weights - y).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    d = ksubset.KSubset(logits.detach(), 3)
    chances.append(d.mean)
    losses.append(loss.item())
    entropies.append(d.entropy().item())

print(ksubset.mode(logits.detach(), 3).nonzero().flatten())

# %%
# At first every feature is chosen with probability 3/20. Within fifty steps the three that matter stand out. The entropy
# says how uncertain the choice still is, over all subsets of three; it falls as they are found.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(6.4, 3.2), layout="constrained"
)
chances = torch.stack(chances)
left.plot(chances, color="#bbbbbb", linewidth=0.8)
for feature, colour in {3: "#0072b2", 8: "#d55e00", 15: "#009e73"}.items():
    left.plot(
        chances[:, feature],
        color=colour,
        linewidth=2,
        label=f"feature {feature}",
    )
left.set(xlabel="step", ylabel="probability to be chosen", ylim=(-0.02, 1.02))
left.legend(frameon=False)
right.plot(entropies, color="#0072b2", label="entropy, nats")
right.plot(losses, color="#d55e00", linewidth=0.8, label="loss")
right.set(xlabel="step", ylim=(0, None))
right.legend(frameon=False)
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
