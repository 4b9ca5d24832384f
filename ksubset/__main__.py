"""``python -m ksubset``: check this installation against enumeration, on every framework and device that it finds."""

import argparse
import sys

from ksubset._selfcheck import PLACES, examine
from ksubset._selfcheck.report import as_json, print_table

EXIT = """exit status: 0 if every framework and device that can be used agrees with enumeration; 1 if one disagrees, if
none can be used, or if one that was named cannot be"""


def main(arguments: list[str] | None = None) -> int:
    """Check, print, and give the exit status."""
    parser = argparse.ArgumentParser("python -m ksubset", description=__doc__.partition(": ")[2], epilog=EXIT)
    parser.add_argument("frameworks", nargs="*", metavar="framework", help=f"only these: {', '.join(PLACES)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.frameworks) - set(PLACES)):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(PLACES)}")
    report = (as_json if options.json else print_table)(examine(options.frameworks), options.frameworks)
    return 0 if report else 1


if __name__ == "__main__":
    sys.exit(main())
