"""``python -m tests.chaos``: chaos on the stack of ``LOCAL_DIR``, for ``SEEDS`` (1,2,3) and ``CHECKOUTS`` (1000).

Prints what does not balance, with seed, fault and call index of what was played meanwhile; 0 only if all of it does,
and if every kind of fault was met.
"""

import json
import os
import signal
import sys

from infra.local.engine import PROJECT
from tests.chaos.report import told, unmet
from tests.chaos.run import Run
from tests.chaos.storm import Plan


def main() -> int:
    """One run for each seed."""
    folder = (PROJECT / os.environ.get("LOCAL_DIR", ".local-chaos")).resolve()
    stack = json.loads((folder / "stack.json").read_text())
    checkouts = int(os.environ.get("CHECKOUTS") or 1000)
    seeds = [int(own) for own in (os.environ.get("SEEDS") or "1,2,3").replace(",", " ").split()]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))  # what was changed on the stage is put back
    wrong = 0
    for seed in seeds:
        plan = Plan.of(seed, checkouts, float(os.environ.get("WINDOW") or 0) or None)
        outcome = Run(stack, folder, plan, lambda line: print(line, flush=True)).play()
        print(told(outcome), flush=True)
        wrong += len(outcome.findings) + len(unmet(outcome))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
