"""Parts of a page that programs write, between two marks."""

from collections.abc import Iterable, Sequence
from pathlib import Path

BEGIN, END = "<!-- {part}: written by {program} -->", "<!-- {part}: up to here -->"


def put(page: Path, program: str, **parts: str) -> None:
    """Replace the parts of a page that a program writes."""
    text = page.read_text()
    for part, content in parts.items():
        begin, end = BEGIN.format(part=part, program=program), END.format(part=part)
        head, _, rest = text.partition(begin)
        _, found, tail = rest.partition(end)
        if not found:
            raise ValueError(f"{page} must contain {begin!r} and after it {end!r}")
        text = f"{head}{begin}\n\n{content}\n\n{end}{tail}"
    page.write_text(text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))
