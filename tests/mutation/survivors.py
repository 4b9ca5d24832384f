"""Mutants of the core that no test can notice, and why: by module, line and change."""

from survivors_calls import CALLS
from survivors_engines import ANY, ENGINES
from survivors_functions import REST
from survivors_laws import LAWS
from survivors_potentials import POTENTIALS

__all__ = ["ANY", "HARMLESS"]

HARMLESS: dict[tuple[str, str, str], str] = {
    (module, text, change): reason
    for table in (ENGINES, REST, POTENTIALS, CALLS, LAWS)
    for module, lines in table.items()
    for text, changes in lines.items()
    for change, reason in changes.items()
}
