"""A network that chooses k tokens of a review, and one that sees these alone and guesses the verdict.

Both have the shapes of the authors' code for SIMPLE, which took them from the code of L2X (Chen et al. 2018). The
embeddings are learned from nothing, as in L2X, one for each network.
"""

import torch
from reviews import PADDING
from torch import Tensor, nn

DROPOUT = 0.2


def embedding(words: int, width: int) -> nn.Embedding:
    """Starting near 0, so that a rare word says little."""
    table = nn.Embedding(words, width, padding_idx=PADDING)
    nn.init.uniform_(table.weight, -0.05, 0.05)
    return table


class Selector(nn.Module):
    """A logit for each token: 4 convolutions, and 1 dense layer for what the review says as a whole.

    Three convolutions see words beside each other. The maximum of the first of them over the review goes through the
    dense layer and is put beside every position; the fourth convolution, over single positions, joins the two.
    """

    def __init__(self, words: int, width: int, filters: int) -> None:
        super().__init__()
        self.embedding = embedding(words, width)
        self.first = nn.Conv1d(width, filters, 3, padding=1)
        self.whole = nn.Linear(filters, filters)
        self.second = nn.Conv1d(filters, filters, 3, padding=1)
        self.third = nn.Conv1d(filters, filters, 3, padding=1)
        self.joined = nn.Conv1d(2 * filters, filters, 1)
        self.output = nn.Conv1d(filters, 1, 1)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, length), −∞ where there is no token."""
        first = self.first(self.embedding(tokens).mT).relu()
        whole = self.whole(first.amax(dim=-1)).relu()
        local = self.third(self.second(first).relu()).relu()
        both = torch.cat([local, whole[..., None].expand_as(local)], dim=-2)
        logits = self.output(self.joined(self.dropout(both)).relu()).squeeze(-2)
        return logits.masked_fill(tokens == PADDING, -torch.inf)


class Predictor(nn.Module):
    """The log-odds that a review is favourable, from the mean of the embeddings of its chosen tokens."""

    def __init__(self, words: int, width: int, hidden: int) -> None:
        super().__init__()
        self.embedding = embedding(words, width)
        self.hidden = nn.Linear(width, hidden)
        self.output = nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, tokens: Tensor, subset: Tensor, k: int) -> Tensor:
        """Log-odds (batch,); the tokens count as much as ``subset`` (batch, length) says."""
        mean = (subset[..., None, :] @ self.embedding(tokens)).squeeze(-2) / k
        return self.output(self.dropout(self.hidden(mean).relu())).squeeze(-1)


class Explainer(nn.Module):
    """Both."""

    def __init__(self, words: int, width: int = 32, filters: int = 32, hidden: int = 64) -> None:
        super().__init__()
        self.selector = Selector(words, width, filters)
        self.predictor = Predictor(words, width, hidden)
