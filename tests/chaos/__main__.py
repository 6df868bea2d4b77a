"""``python -m tests.chaos``: chaos on the stack of ``LOCAL_DIR``, for ``SEEDS`` (1,2,3) and ``CHECKOUTS`` (1000).

Prints what does not balance, with seed, fault and call index of what was played meanwhile; 0 only if all of it does,
and if every kind of fault was met. With ``SPARE_SEEDS`` (0) so many further seeds may be played, one after the other,
for kinds of fault that no seed before has met: a short run has few calls that a fault could meet.
"""

import json
import os
import signal
import sys

from infra.local.engine import PROJECT
from tests.chaos.report import holds, told
from tests.chaos.run import Outcome, Run
from tests.chaos.storm import Plan


def main() -> int:
    """One run for each seed."""
    folder = (PROJECT / os.environ.get("LOCAL_DIR", ".local-chaos")).resolve()
    stack = json.loads((folder / "stack.json").read_text())
    checkouts = int(os.environ.get("CHECKOUTS") or 1000)
    seeds = [int(own) for own in (os.environ.get("SEEDS") or "1,2,3").replace(",", " ").split()]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))  # what was changed on the stage is put back
    spare = int(os.environ.get("SPARE_SEEDS") or 0)
    window = float(os.environ.get("WINDOW") or 0) or None

    def play(seed: int) -> Outcome:
        outcome = Run(stack, folder, Plan.of(seed, checkouts, window), lambda line: print(line, flush=True)).play()
        print(told(outcome), flush=True)
        return outcome

    return 0 if holds(play, seeds, spare) else 1


if __name__ == "__main__":
    sys.exit(main())
