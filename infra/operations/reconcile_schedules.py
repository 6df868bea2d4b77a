"""Makes the schedule of every campaign, of all merchants, what the campaign says.

    python -m infra.operations.reconcile_schedules --stage production

After a restore, and whenever the service stack was made anew: its schedules stay, but lead to what is gone. Safe to
run at any time and as often as you like; it ends with 1 if a schedule could not be settled, and names it.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.operations.deployed import DeployedStage

type Ask = Callable[[Mapping[str, Any]], Any]


def reconcile(ask: Ask) -> tuple[int, list[str]]:
    """Ask the campaign function until it is through: how many were settled, and the names of those that were not."""
    settled, failed, after = 0, list[str](), None
    while True:
        done = ask({"reconcile": True, "after": after})
        settled += done["settled"]
        failed += done["failed"]
        if done["next"] is None:
            return settled, failed
        after = done["next"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Reconcile a stage, with the credentials of this shell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True)
    stage = DeployedStage(parser.parse_args(arguments).stage)
    settled, failed = reconcile(lambda event: stage.invoke("campaign", event))
    sys.stdout.write(f"{settled} schedules are as their campaigns say\n")
    for name in failed:
        sys.stdout.write(f"{name}: not settled, see the campaign function's log\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
