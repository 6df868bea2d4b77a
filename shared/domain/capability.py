"""What somebody before the console may do there."""

from typing import Literal

Capability = Literal["read", "all"]
"""Look at everything and do nothing, or do what the merchant may."""
