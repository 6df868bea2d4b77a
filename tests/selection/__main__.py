"""Prints the test files that ``make check`` runs, for pytest, and on stderr why these.

Everything with ``ALL=1``, and where nothing or nothing known has changed. ``AGAINST=``: another branch than main.
"""

import os
import sys

from tests.selection.changes import changed_files
from tests.selection.importing import PROJECT, Project, selected


def main() -> None:
    """Of what differs from main in this working tree."""
    changed = None if os.environ.get("ALL") else changed_files(PROJECT, os.environ.get("AGAINST"))
    found, why = selected(Project.at(PROJECT), changed) if changed else (None, "everything")
    print(f"selected: {why}", file=sys.stderr)
    print("\n".join(["tests"] if found is None else sorted(found)))


if __name__ == "__main__":
    main()
