"""What is asked for a portal link: for whom, and what its session may do."""

from typing import Annotated, TypedDict

from pydantic import Field

from shared.api.fields import Strict, id_of
from shared.domain.capability import Capability
from shared.domain.ids import IdKind
from shared.domain.instants import InstantText


class PortalLinkBody(Strict):
    """``capabilities``: to look only, or to do all that the merchant may. ``merchant_id`` is the operator's to name."""

    merchant_id: Annotated[str, id_of(IdKind.MERCHANT)] | None = None
    capabilities: Annotated[list[Capability], Field(min_length=1, max_length=1)]


class PortalLinkJson(TypedDict):
    """A link into the console, for one use."""

    url: str
    expires_at: InstantText
