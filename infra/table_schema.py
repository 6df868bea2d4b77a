"""The table's keys and indexes, for whoever makes, restores or checks one; and how many index changes an update is."""

from collections.abc import Mapping
from typing import Final, Literal

type IndexKeys = tuple[str, str, Literal["S", "N"]]
"""Partition key (always a string), sort key, type of the sort key."""
type Indexes = Mapping[str, IndexKeys]

KEYS: Final = ("pk", "sk")
"""Partition and sort key of the table, both strings."""
TTL: Final = "ttl"

INDEXES: Final[Indexes] = {
    "due": ("dq", "da", "N"),
    "list": ("lp", "ls", "S"),
    "phone": ("ip", "ca", "N"),
    "email": ("ie", "ca", "N"),
    "customer": ("ic", "ca", "N"),
    "cart": ("ik", "ca", "N"),
}
"""All sparse, all ``KEYS_ONLY``. DynamoDB makes or removes one at a time: so does each release."""


def index_changes(before: Indexes, after: Indexes) -> list[str]:
    """What an update from one to the other does, one operation of DynamoDB's each.

    An index that changes its keys is removed and made: two. CloudFormation's documentation of AWS::DynamoDB::Table
    ("GlobalSecondaryIndexes"): only one index is created or deleted in an update.
    """
    gone = [name for name, keys in before.items() if after.get(name) != keys]
    made = [name for name, keys in after.items() if before.get(name) != keys]
    return [*(f"remove {name}" for name in sorted(gone)), *(f"make {name}" for name in sorted(made))]
