"""The examples of every page run as they stand, and the links of the built site lead somewhere."""

import contextlib
import doctest
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import ksubset
from ksubset import backends, estimators, survey

DOCS = Path(__file__).parent
SITE = DOCS / "_build" / "html"
PAGES = [DOCS.parent / "README.md", *(p for p in sorted(DOCS.rglob("*.md")) if "_build" not in p.parts)]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"^print\(.*\)  # (.+)$", re.MULTILINE)

FRAMEWORKS = (backends.flax, backends.numpyro, backends.sklearn, backends.torch)
NUMBER = re.compile(r"-?\d+\.\d*(?:e[+-]\d+)?")


def examples() -> Iterator[object]:
    """Each box of code alone, but those with prompts, which follow one another on a page."""
    for page in PAGES:
        boxes = [box for box in BLOCK.findall(page.read_text()) if not box.startswith("# not run")]
        talks = "\n".join(box for box in boxes if box.startswith(">>>"))
        scripts = [box for box in boxes if not box.startswith(">>>")]
        for i, box in enumerate([*([talks] if talks else []), *scripts]):
            yield pytest.param(box, id=f"{page.relative_to(DOCS.parent)}-{i}")


@pytest.mark.parametrize("box", list(examples()))
def test_example(box: str) -> None:
    if box.startswith(">>>"):
        talk, report = doctest.DocTestParser().get_doctest(box, {}, "example", None, 0), io.StringIO()
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(talk, out=report.write)
        assert not report.getvalue(), report.getvalue()
        return
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(box, "example", "exec"), {"__name__": "example"})
    if expected := PRINTED.findall(box):
        found = printed.getvalue().splitlines()
        assert [shape(line) for line in found] == [shape(line) for line in expected]
        for value, shown in zip(NUMBER.findall("\n".join(found)), NUMBER.findall("\n".join(expected)), strict=True):
            assert abs(float(value) - float(shown)) < 0.51 * 10.0 ** -len(shown.partition(".")[2]), (found, expected)


@pytest.mark.parametrize("public", [getattr(module, name) for module in FRAMEWORKS for name in module.__all__])
def test_example_of_a_docstring(public: type) -> None:
    report = io.StringIO()
    for talk in doctest.DocTestFinder().find(public, public.__name__, module=False):
        doctest.DocTestRunner().run(talk, out=report.write)
    assert not report.getvalue(), report.getvalue()


def shape(line: str) -> str:
    """A printed line without its fractions, which are compared to the digits shown, and without spaces."""
    return "".join(NUMBER.sub("#", line).split())


class Links(HTMLParser):
    """The links of a page, and the names in it that links can point to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.names: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.names.add(value or "")
            elif name in ("href", "src") and tag != "link":
                self.links.add(value or "")


def test_links() -> None:
    pages = {page.resolve(): Links(page) for page in SITE.rglob("*.html")}
    assert pages, "build the site first: nox -s docs"
    broken = []
    for page, found in pages.items():
        for link in found.links:
            url = urlsplit(link)
            target = (page.parent / unquote(url.path)).resolve() if url.path else page
            if url.scheme or url.netloc:
                continue
            named = not url.fragment or target not in pages or unquote(url.fragment) in pages[target].names
            if not target.exists() or not named:
                broken.append(f"{page.relative_to(SITE.resolve())}: {link}")
    assert not broken


def test_every_public_name_is_in_the_reference() -> None:
    documented = set().union(*(Links(page).names for page in SITE.glob("reference/*.html")))
    modules = (ksubset, estimators, survey, *FRAMEWORKS)
    assert {f"{module.__name__}.{name}" for module in modules for name in module.__all__} <= documented


@pytest.mark.parametrize(
    "words", ["attention", "experts", "feature selection", "flax", "graph", "pandas", "state_dict", "survey"]
)
def test_a_heading_has_what_people_search_for(words: str) -> None:
    headings = (line for page in PAGES for line in page.read_text().splitlines() if line.startswith("#"))
    assert any(words in heading.lower() for heading in headings)
