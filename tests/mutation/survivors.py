"""Mutants of the core that no test can notice, and why: by module, line and change."""

from survivors_engines import ENGINES
from survivors_functions import REST
from survivors_potentials import POTENTIALS

HARMLESS: dict[tuple[str, str, str], str] = {
    (module, text, change): reason
    for module, lines in (ENGINES | REST | POTENTIALS).items()
    for text, changes in lines.items()
    for change, reason in changes.items()
}
