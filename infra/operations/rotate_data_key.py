"""Makes a new version of the stage's data key and seals all merchants' credentials with it.

    python -m infra.operations.rotate_data_key --stage production

Safe to run at any time. Broken off, run it again: it goes on with the version that it made, and what is sealed with it
already is left alone. No credential leaves the merchant API's function. It ends with 1 and names what is left.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.operations.deployed import DeployedStage

type Ask = Callable[[Mapping[str, Any]], Any]

_PASSES = 5
"""A pass that seals nothing anew is the last: what was being changed during one is met by the next."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """The version, how many were sealed with it, and the ids of what was not: for now, and because nobody can read it.

    With ``left`` the rotation is not through.
    """

    version: int
    resealed: int
    left: tuple[str, ...]
    unreadable: tuple[str, ...]


def rotate(ask: Ask) -> Rotated:
    """Ask the merchant API's function until nothing is left to be sealed anew."""
    version, resealed = int(ask({"rotate": "begin"})["version"]), 0
    for _ in range(_PASSES):
        sealed, left, unreadable = _passed(ask, version)
        resealed += sealed
        if not sealed and not left:
            break
    if not left:
        ask({"rotate": "end", "version": version})
    return Rotated(version, resealed, tuple(left), tuple(unreadable))


def _passed(ask: Ask, version: int) -> tuple[int, list[str], list[str]]:
    """Once over all merchants."""
    sealed, left, unreadable, after = 0, list[str](), list[str](), None
    while True:
        done = ask({"rotate": "reseal", "version": version, "after": after})
        sealed += done["resealed"]
        left += done["left"]
        unreadable += done["unreadable"]
        after = done["next"]
        if after is None:
            return sealed, left, unreadable


def main(arguments: Sequence[str] | None = None) -> int:
    """Rotate a stage's data key, with the credentials of this shell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True)
    stage = DeployedStage(parser.parse_args(arguments).stage)
    done = rotate(lambda event: stage.invoke("merchant_api", event))
    sys.stdout.write(f"{done.resealed} sealed anew with version {done.version} of the data key\n")
    for own in done.left:
        sys.stdout.write(f"{own}: left for now, run this again\n")
    for own in done.unreadable:
        sys.stdout.write(f"{own}: nobody can open it, its merchant must set its credentials anew\n")
    return 1 if done.left or done.unreadable else 0


if __name__ == "__main__":
    sys.exit(main())
