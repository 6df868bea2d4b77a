"""Why DynamoDB cancelled a transaction: one reason per write."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.store.wire import from_wire

if TYPE_CHECKING:
    from shared.store.writes import Item

TOO_LARGE = "ItemTooLarge"


@dataclass(frozen=True, slots=True)
class CancelReason:
    """Why one write of a transaction was refused: ``code`` as DynamoDB names it, and the item it met."""

    code: str
    old: "Item | None"
    too_large: bool = False

    @property
    def failed_condition(self) -> bool:
        """Whether this write's own condition failed."""
        return self.code == "ConditionalCheckFailed"


def is_too_large(said: str) -> bool:
    """Whether DynamoDB's message says that an item would grow beyond 400 KB: it has no code for that."""
    return "item size" in said.lower()


def reasons_of(response: Any) -> list[CancelReason]:
    """The reasons in the error's response, in the order of the writes."""
    return [
        CancelReason(
            reason.get("Code", "None"),
            from_wire(reason["Item"]) if reason.get("Item") else None,
            is_too_large(reason.get("Message") or ""),
        )
        for reason in response.get("CancellationReasons", [])
    ]
