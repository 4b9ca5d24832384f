"""Mutants of the core that no test can notice, and why: by module, line and change."""

from reasons import ANY
from survivors_api import API
from survivors_call import CALL
from survivors_contour import CONTOUR
from survivors_engine import ENGINE
from survivors_law import LAW
from survivors_potential import POTENTIAL
from survivors_survey import SURVEY

__all__ = ["ANY", "HARMLESS"]

HARMLESS: dict[tuple[str, str, str], str] = {
    (module, text, change): reason
    for table in (ENGINE, CONTOUR, LAW, CALL, POTENTIAL, API, SURVEY)
    for module, lines in table.items()
    for text, changes in lines.items()
    for change, reason in changes.items()
}
