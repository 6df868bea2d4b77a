"""Why a request cannot be done, in the domain's words; the API maps each to a status."""

from collections.abc import Sequence


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
