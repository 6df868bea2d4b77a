"""How many of a thing a merchant may have."""

from collections.abc import Iterable

from shared.api.problems import conflict

MOST_SOURCES = 100
MOST_ENDPOINTS = 50
MOST_TOKENS = 50
MOST_POOLS = 50


def check_room(standing: Iterable[str], new: str, most: int, called: str) -> None:
    """Raises Problem 409 where ``most`` of them stand beside the ``new`` one.

    Where the new one stands already, it was made by the same request, whose answer was lost.
    """
    if sum(own != new for own in standing) >= most:
        raise conflict(f"A merchant has at most {most} {called}.")
