"""What is written to the table: one write of each kind, alone or as a piece of a transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.store.conditions import Condition

type Item = dict[str, Any]
type ItemKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Update:
    """One UpdateItem. ``set_next`` names attributes that take the version after this write (``v`` + 1)."""

    key: ItemKey
    set: Mapping[str, Any] = field(default_factory=dict)
    set_if_absent: Mapping[str, Any] = field(default_factory=dict)
    set_next: Sequence[str] = ()
    remove: Sequence[str] = ()
    add: Mapping[str, Any] = field(default_factory=dict)
    condition: Condition | None = None

    def made(self) -> Item:
        """The item that the update makes where there is none."""
        pk, sk = self.key
        first = dict.fromkeys(self.set_next, 1)
        return {"pk": pk, "sk": sk, **self.set_if_absent, **self.set, **first, **self.add}


@dataclass(frozen=True, slots=True)
class Put:
    """One PutItem; ``item`` holds ``pk`` and ``sk``."""

    item: Item
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """One DeleteItem."""

    key: ItemKey
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on an item that the transaction does not write."""

    key: ItemKey
    condition: Condition


type Write = Update | Put | Delete | Check
