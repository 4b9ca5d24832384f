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

DOCS = Path(__file__).parent
SITE = DOCS / "_build" / "html"
PAGES = [DOCS.parent / "README.md", *(p for p in sorted(DOCS.rglob("*.md")) if "_build" not in p.parts)]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"^print\(.*\)  # (.+)$", re.MULTILINE)


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
        test = doctest.DocTestParser().get_doctest(box, {}, "example", None, None)
        runner = doctest.DebugRunner(optionflags=doctest.ELLIPSIS, verbose=False)
        runner.run(test)
        return
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(box, "example", "exec"), {"__name__": "example"})
    if expected := PRINTED.findall(box):
        assert printed.getvalue().splitlines() == expected


class Links(HTMLParser):
    """What a page refers to, and what can be referred to in it."""

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
