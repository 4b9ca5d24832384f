"""A page of excerpts from test reviews: the chosen words beside those that people marked."""

from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Any

from explain_methods import METHODS
from reviews import Reviews
from support import HERE

SIZE, SEED = 10, 0
EACH = 3
"""Reviews of either verdict: the first in the test split with a marked word among those that are read."""
WINDOW = 60
"""Tokens of an excerpt: those that hold the most of SIMPLE's choice, the first such place."""

STYLE = """
:root { color-scheme: light dark; --page: #fbfaf8; --card: #fff; --text: #24211d; --faint: #6b655d; --line: #e2ddd5;
  --human: #ffe08a; --chosen: #0b63ce; }
@media (prefers-color-scheme: dark) { :root { --page: #16181c; --card: #1f2227; --text: #e6e3de; --faint: #9a958c;
  --line: #34383f; --human: #574408; --chosen: #7ab8ff; } }
body { margin: 0; background: var(--page); color: var(--text); font: 17px/1.65 Georgia, "Times New Roman", serif; }
main { max-width: 46rem; margin: 0 auto; padding: 2rem 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.05rem; margin: 0 0 .5rem; font-family: system-ui, sans-serif; }
h2 small, dl, .legend { color: var(--faint); font: .85rem/1.8 system-ui, sans-serif; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.25rem;
  margin: 1.25rem 0; }
mark { background: var(--human); color: inherit; border-radius: 3px; padding: .1em .15em;
  box-decoration-break: clone; -webkit-box-decoration-break: clone; }
b { color: var(--chosen); border-bottom: 3px solid currentColor; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .9rem; margin: .75rem 0 0; padding-top: .6rem;
  border-top: 1px solid var(--line); }
.legend mark { color: var(--text); }
dt { font-weight: 600; } dd { margin: 0; color: var(--text); overflow-wrap: anywhere; }
"""

Run = dict[str, Any]


def write(runs: list[Run], test: Reviews) -> None:
    """At ``explain_reviews.html``, without anything from elsewhere."""
    by_method = {run["setting"]["method"]: run for run in runs if _shown(run["setting"])}
    articles = "\n".join(article(row, by_method, test) for row in rows(test))
    (HERE / "explain_reviews.html").write_text(PAGE.format(style=STYLE.strip(), articles=articles, k=SIZE))


def examples(runs: list[Run], test: Reviews) -> str:
    """The first of either verdict as Markdown."""
    simple = next(run for run in runs if run["setting"]["method"] == "simple" and _shown(run["setting"]))
    return "\n\n".join(f"> {excerpt(row, simple, test)}" for row in rows(test)[::EACH])


def rows(test: Reviews) -> list[int]:
    """The reviews to show."""
    verdicts = [
        [i for i, y in enumerate(test.labels.tolist()) if y == label and test.human[i].any()] for label in (1, 0)
    ]
    return [row for found in verdicts for row in found[:EACH]]


def article(row: int, by_method: dict[str, Run], test: Reviews) -> str:
    """A review's excerpt, and under it what each estimator chose from the whole of it."""
    words, human, simple = test.words[row], test.human[row].tolist(), by_method["simple"]
    lists = "".join(
        f"<dt>{METHODS[name].title}</dt><dd>{_words(run['chosen'][row], words, human)}</dd>"
        for name, run in by_method.items()
    )
    verdict, guess = ("favourable" if test.labels[row] else "unfavourable"), simple["probabilities"][row]
    title = f"{verdict.capitalize()} <small>· guessed from {SIZE} words: {guess:.0%} favourable</small>"
    return f"<article><h2>{title}</h2>\n<p>{excerpt(row, simple, test)}</p>\n<dl>{lists}</dl></article>"


def excerpt(row: int, run: Run, test: Reviews) -> str:
    """Where a network's choice is densest."""
    words, chosen = test.words[row], run["chosen"][row]
    return f"… {' '.join(pieces(words, test.human[row].tolist(), set(chosen), densest(chosen, len(words))))} …"


def densest(chosen: list[int], length: int) -> int:
    """Where the window begins that holds the most chosen tokens."""
    starts = range(max(length - WINDOW, 0) + 1)
    return max(starts, key=lambda start: sum(start <= place < start + WINDOW for place in chosen))


def pieces(words: list[str], human: list[bool], chosen: set[int], begin: int) -> Iterator[str]:
    """The words of the window; neighbours that people marked stand in one mark."""
    window = range(begin, min(begin + WINDOW, len(words)))
    for marked, places in groupby(window, key=lambda place: human[place]):
        text = " ".join(f"<b>{escape(words[p])}</b>" if p in chosen else escape(words[p]) for p in places)
        yield f"<mark>{text}</mark>" if marked else text


def _words(chosen: list[int], words: list[str], human: list[bool]) -> str:
    return " · ".join(f"<mark>{escape(words[p])}</mark>" if human[p] else escape(words[p]) for p in chosen)


def _shown(setting: dict[str, Any]) -> bool:
    return setting["method"] in METHODS and setting["k"] == SIZE and setting["seed"] == SEED


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reviews explained by {k} words</title>
<style>
{style}
</style>
</head>
<body>
<main>
<h1>Reviews explained by {k} words</h1>
<p>A network chose {k} of the first 350 tokens of each review; a second one saw these alone and guessed the verdict.
Each excerpt shows where the choice of the network that was trained by SIMPLE is densest.</p>
<p class="legend"><b>chosen by the network</b> &nbsp; <mark>marked by a person as a reason</mark> &nbsp;
<mark><b>both</b></mark></p>
{articles}
<p class="legend">Below each excerpt: the {k} tokens that each estimator's network chose from the whole beginning of the
review, in their order. Seed 0; the first three reviews of either verdict in the test split. Excerpts from the ERASER
movie reviews (Pang and Lee 2004, Zaidan et al. 2007, DeYoung et al. 2020).</p>
</main>
</body>
</html>
"""
