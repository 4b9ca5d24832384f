"""The version, in all the places that state it."""

import re
from pathlib import Path

import ksubset

ROOT = Path(__file__).parents[2]


def test_the_changelog_s_latest_version() -> None:
    versions = re.findall(r"^## \[(.*?)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == ksubset.__version__


def test_the_citation_s_version() -> None:
    citation = (ROOT / "docs" / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [ksubset.__version__]
