"""The pieces of the experiment "learning to explain", on reviews made up here."""

import json
import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="docs/experiments/explain.py is written in torch, which is absent")
pytest.importorskip("tqdm", reason="the experiment shows its progress with tqdm")
import explain_reviews
import reviews
import torch
from explain_methods import EVERY, METHODS, Setting, combinations
from explain_model import Explainer
from explain_summary import order, summarise
from explain_training import chance, concentration, evaluate, precision, train

torch.set_num_threads(1)  # on arrays this small, threads cost time
SIZES = [20, 31, reviews.LENGTH, reviews.LENGTH + 41]
WORDS = ["good", "bad", "<b>", "film", "a"]


def record(length: int, label: int) -> dict[str, Any]:
    text = (WORDS[label : label + 2] + WORDS[2:]) * length
    spans = [[0, 2], [length - 3, length], [length - 3, length - 1]]
    return {"id": f"r{length}", "label": label, "tokens": " ".join(text[:length]), "spans": spans}


@pytest.fixture
def made_up() -> reviews.Reviews:
    records = [record(length, i % 2) for i, length in enumerate(SIZES)]
    return reviews.encode(records, reviews.vocabulary(r["tokens"].split() for r in records))


def parameters(name: str) -> dict[str, float]:
    return combinations(EVERY[name])[0]


def test_reviews_are_cut_and_padded(made_up: reviews.Reviews) -> None:
    assert made_up.tokens.shape == (len(SIZES), reviews.LENGTH)
    lengths = np.minimum(SIZES, reviews.LENGTH)
    np.testing.assert_array_equal(made_up.present.sum(dim=-1), lengths)
    np.testing.assert_array_equal([len(text) for text in made_up.words], lengths)
    assert [text[0] for text in made_up.words] == ["good", "bad"] * 2  # the end is cut
    for row, length in zip(made_up.present, lengths, strict=True):
        assert row[:length].all()  # the padding is behind


def test_spans_outside_what_is_read_do_not_count(made_up: reviews.Reviews) -> None:
    np.testing.assert_array_equal(made_up.human.sum(dim=-1), [5, 5, 5, 2])  # overlapping spans once
    assert made_up.human[0].nonzero().flatten().tolist() == [0, 1, 17, 18, 19]


def test_rare_and_new_words_are_unknown() -> None:
    index = reviews.vocabulary([["b", "a", "once"], ["a", "b", "a"]])
    assert index == {"a": reviews.UNKNOWN + 1, "b": reviews.UNKNOWN + 2}
    text = {"id": "", "label": 0, "tokens": "a once new b", "spans": []}
    found = reviews.encode([text], index).tokens[0, :5].tolist()
    assert found == [2, reviews.UNKNOWN, reviews.UNKNOWN, 3, reviews.PADDING]


@pytest.mark.parametrize("training", [True, False])
def test_the_logits_of_padding_are_minus_infinity_and_of_tokens_are_not(
    made_up: reviews.Reviews, training: bool
) -> None:
    torch.manual_seed(0)
    logits = Explainer(len(WORDS) + 2).train(training).selector(made_up.tokens)
    torch.testing.assert_close(logits.isfinite(), made_up.present)
    assert (logits[~made_up.present] == -torch.inf).all()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("k", [5, 15])
def test_padding_is_never_chosen_and_gradients_are_finite(made_up: reviews.Reviews, name: str, k: int) -> None:
    torch.manual_seed(0)
    model = Explainer(len(WORDS) + 2)
    logits = model.selector(made_up.tokens)
    subset = EVERY[name].sample(logits, k, **parameters(name))
    assert (subset[~made_up.present] == 0).all()
    assert (subset.sum(dim=-1) < k + 1e-3).all()
    model.predictor(made_up.tokens, subset, k).sum().backward()
    gradients = [p.grad for part in (model.selector, model.predictor) for p in part.parameters() if p.grad is not None]
    assert gradients
    assert all(g.isfinite().all() for g in gradients)
    chooses = any(p.grad is not None and (p.grad != 0).any() for p in model.selector.parameters())
    assert chooses == (name in METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_explanations_are_the_largest_logits(made_up: reviews.Reviews, name: str) -> None:
    torch.manual_seed(0)
    model = Explainer(len(WORDS) + 2)
    _, subsets, _ = evaluate(model, made_up, Setting(name, 5, 0, 0.001, 1, parameters(name)))
    model.eval()
    logits, chosen = model.selector(made_up.tokens), subsets > 0
    least, rest = torch.where(chosen, logits, torch.inf).amin(-1), torch.where(chosen, -torch.inf, logits).amax(-1)
    assert (least >= rest).all()
    assert (subsets.sum(dim=-1) == 5).all()
    assert (subsets[~made_up.present] == 0).all()


def test_what_is_not_chosen_does_not_matter(made_up: reviews.Reviews) -> None:
    torch.manual_seed(0)
    predictor = Explainer(len(WORDS) + 2).eval().predictor
    subset = torch.zeros(made_up.tokens.shape)
    subset[:, [1, 4]] = 1.0
    other = torch.where(subset > 0, made_up.tokens, made_up.tokens.flip(-1))
    torch.testing.assert_close(predictor(made_up.tokens, subset, 2), predictor(other, subset, 2))
    assert not predictor(made_up.tokens, subset, 2).allclose(predictor(made_up.tokens, subset.flip(-1), 2))


def test_precision_and_chance(made_up: reviews.Reviews) -> None:
    subsets = torch.zeros(made_up.human.shape)
    subsets[0, [0, 1, 2, 19]] = 1.0  # three of them marked
    subsets[3, [0, 1, 2, 5]] = 1.0  # two
    assert precision(subsets, made_up.human) == 5 / 8
    expected = np.mean([5 / 20, 5 / 31, 5 / reviews.LENGTH, 2 / reviews.LENGTH])
    assert chance(made_up) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_only_relaxed_samples_weigh_other_tokens(made_up: reviews.Reviews, name: str) -> None:
    torch.manual_seed(0)
    share = concentration(Explainer(len(WORDS) + 2), made_up, Setting(name, 5, 0, 0.001, 1, parameters(name)))
    assert (share < 1) == (name in ("softsub", "l2x"))
    assert share > 0


def test_a_training_is_reported_and_repeats_itself(made_up: reviews.Reviews) -> None:
    data = reviews.Splits(made_up, made_up, made_up, len(WORDS) + 2)
    setting = Setting("simple", 5, 3, 0.01, 2)
    run = json.loads(json.dumps(train(setting, data)))
    assert [len(row) for row in run["chosen"]] == [5] * len(SIZES)
    again = train(setting, data)
    assert (again["losses"], again["chosen"]) == ([tuple(pair) for pair in run["losses"]], run["chosen"])
    (row,) = summarise([], [run])["scores"]
    assert row["accuracy"] == [run["test"]["accuracy"], 0.0]
    assert "chosen" not in json.dumps(summarise([run], [run]))


def test_the_order_of_the_paper_is_that_of_the_estimators_alone() -> None:
    def row(method: str, loss: float, share: float) -> dict[str, Any]:
        return {"method": method, "cross_entropy": [loss, 0.1], "precision": [share, 0.1]}

    rows = [row("simple", 0.5, 0.3), row("l2x", 0.6, 0.4), row("all", 0.1, 0.9)]
    assert order(rows) == {"lowest loss": True, "highest precision": False}


def test_excerpts_mark_both_choices_and_escape_words(made_up: reviews.Reviews) -> None:
    words, human = made_up.words[0], made_up.human[0].tolist()
    text = " ".join(explain_reviews.pieces(words, human, {1, 2}, 0))
    assert text.startswith("<mark>good <b>bad</b></mark> <b>&lt;b&gt;</b> film a")
    assert re.sub("</?(mark|b)>", "", text) == " ".join(words).replace("<b>", "&lt;b&gt;")


def test_the_window_holds_the_most_chosen_words() -> None:
    assert explain_reviews.densest([3, 200, 210, 259], 350) == 200
    assert explain_reviews.densest([3], 20) == 0
