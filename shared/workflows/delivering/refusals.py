"""Why a request cannot be done, in the domain's words; the API maps each to a status."""

from collections.abc import Iterable, Sequence


class NotFound(LookupError):
    """No such thing, or not this merchant's. The text names the kind, never an id of somebody else."""


class Conflict(Exception):
    """The request does not fit the present state."""


class Invalid(ValueError):
    """What was asked for is not possible: (RFC 6901 pointer into the request, detail) each."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        """Keep the problems."""
        super().__init__("; ".join(f"{pointer}: {detail}" for pointer, detail in problems))
        self.problems = tuple(problems)


def check_room(standing: Iterable[str], new: str, most: int, called: str) -> None:
    """Raises Conflict where ``most`` of them stand beside the ``new`` one.

    Where the new one stands already, it was made by the same request, whose answer was lost.
    """
    if sum(own != new for own in standing) >= most:
        raise Conflict(f"A merchant has at most {most} {called}.")
