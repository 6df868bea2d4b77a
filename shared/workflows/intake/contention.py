"""Several writers at one checkout: how often a loser reads again, and how long it waits before."""

import random
import time

ROUNDS = 8
_WAIT = 0.015


def pause(round_number: int) -> None:
    """Wait a random moment, longer each round: writers that met once must not meet again at every round."""
    time.sleep(random.uniform(0, _WAIT * (round_number + 1)))  # noqa: S311 - jitter, no secret
