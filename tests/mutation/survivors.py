"""Mutants of the core that no test can notice, and why: by module, line and change."""

HARMLESS: dict[tuple[str, str, str], str] = {}
