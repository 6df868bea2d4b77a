"""Dismissal: the merchant says that a checkout is not to be recovered."""

from dataclasses import replace
from datetime import datetime

from shared.domain.checkout import Checkout, Status
from shared.domain.transitions import Mark


class Finished(Exception):
    """The checkout has ended otherwise: bought, called off or expired."""

    def __init__(self, status: Status) -> None:
        """Keep the status it ended in."""
        super().__init__(f"the checkout is {status} and cannot be discarded")
        self.status = status


def discarded(checkout: Checkout, now: datetime) -> tuple[Checkout, Mark | None]:
    """The checkout after its dismissal; one already discarded stays as it is. Raises Finished."""
    if checkout.status is Status.DISCARDED:
        return checkout, None
    if not checkout.status.unfinished:
        raise Finished(checkout.status)
    version = checkout.version + 1
    moved = replace(
        checkout,
        status=Status.DISCARDED,
        reason=None,
        version=version,
        sequence=version,
        updated_at=now,
        due_at=None,
    )
    return moved, Mark.DISCARDED
