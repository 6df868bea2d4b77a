"""One request as the routes see it: who asks, which version it means, and how it is answered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, TypedDict, TypeVar

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router
from pydantic_core import core_schema

from functions.merchant_api.services import Services
from shared.api.authentication import Principal
from shared.api.cursors import Cursors
from shared.api.idempotency import Making, Repeat
from shared.api.problems import not_found, precondition_failed, unauthorised
from shared.delivery.own_address import OwnAddress
from shared.domain.ids import MerchantId
from shared.domain.merchant import Merchant
from shared.store.configuration import VersionConflict, Versioned

Body = TypeVar("Body")


class _AsBuilt:
    """A body that the library neither checks nor copies: the types of its builder have proved what is in it."""

    @staticmethod
    def __get_pydantic_core_schema__(source: Any, handler: Any) -> Any:
        """Anything; ``source`` is what the description shows."""
        return core_schema.any_schema()


# Plain aliases: the library looks through no ``type`` statement.
Json = Response[Annotated[Body, _AsBuilt]]
"""A JSON answer whose body is a ``Body``: a TypedDict, by which it is built and described."""
Empty = Response[None]


LINES = "application/x-ndjson"
"""JSON, an object a line."""


@dataclass(frozen=True, slots=True)
class Spelt:
    """On the text of an answer that is spelt out already: what it says, and in which media type."""

    body: Any
    media_type: str = "application/json"


class Page[Row](TypedDict):
    """One page of a list."""

    data: list[Row]
    next_cursor: str | None
    """Send it as `cursor` for the next page; null at the end."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an operation answers besides its body: headers, and further statuses with what each means."""

    headers: tuple[str, ...] = ()
    also: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Session:
    """One authenticated request.

    ``operation`` is the described path, ``if_match`` the header as sent, ``body`` exactly what was sent; ``making``
    names what the request makes.
    """

    services: Services
    principal: Principal
    operation: str
    if_match: str | None
    making: Making
    body: bytes = b""

    def new_ulid(self) -> str:
        """The id of something this request makes, without its prefix."""
        return self.making.ulid()

    def new_token(self) -> str:
        """A merchant token that this request makes."""
        return self.making.token()

    @property
    def cursors(self) -> Cursors:
        """The cursors of the list that is asked for, by whoever asks: a foreign one would skip rows of their own."""
        return Cursors(self.services.cursor_mac, f"{self.principal.owner} {self.operation}")

    @property
    def now(self) -> datetime:
        """The time of the request."""
        return self.services.now()

    @property
    def local(self) -> bool:
        """Whether this is the local stage, which alone allows loopback and short durations."""
        return self.services.environment.local

    @property
    def own_address(self) -> OwnAddress:
        """Where this stage answers: no endpoint may lead there."""
        return self.services.environment.own_address

    @property
    def merchant_id(self) -> MerchantId:
        """The merchant asking. Raises Problem 404 for the operator: there is nothing of a merchant's here."""
        if self.principal.merchant_id is None:
            raise not_found()
        return self.principal.merchant_id

    def merchant(self) -> Versioned[Merchant]:
        """The merchant asking, read. Raises Problem 401 when it has been erased meanwhile."""
        found = self.services.merchants.get(self.merchant_id)
        if found is None:
            raise unauthorised("The merchant has been erased.")
        return found

    def unless_stale(self, version: int) -> None:
        """Raises Problem 412 where If-Match names another version than the one read."""
        if self.if_match is None or self.if_match.strip() == "*":
            return
        if etag(version) not in {tag.strip().removeprefix("W/") for tag in self.if_match.split(",")}:
            raise precondition_failed()

    def replace(self, write: Any, value: Any, version: int) -> int:
        """Write over the version read; returns the new version. Raises Problem 412, or VersionConflict (409)."""
        try:
            write(value, version)
        except VersionConflict:
            if self.if_match is not None:
                raise precondition_failed() from None
            raise
        return version + 1


def new_router() -> Router:
    """A router for one subject."""
    return Router()  # type: ignore[no-untyped-call]  # the library leaves its constructor unannotated


def session(router: Router) -> Session:
    """The session of the request that the router is answering."""
    found: Session = router.context["session"]
    return found


def when_repeated[Operation: Callable[..., Any]](repeat: Repeat) -> Callable[[Operation], Operation]:
    """Say of a POST what a repeat under its Idempotency-Key does; without a word the first answer is given again."""

    def said(operation: Operation) -> Operation:
        operation.repeat = repeat  # type: ignore[attr-defined]  # read by ``repeat_of``
        return operation

    return said


def repeat_of(operation: Callable[..., Any] | None) -> Repeat:
    """What the operation does when it is repeated."""
    said: Repeat = getattr(operation, "repeat", Repeat.ANSWERED)
    return said


def tells[Operation: Callable[..., Any]](
    *headers: str, also: Mapping[int, str] | None = None
) -> Callable[[Operation], Operation]:
    """Say which headers an operation's answers carry (``ETag``, ``Location``), and which further statuses it has."""

    def said(operation: Operation) -> Operation:
        operation.told = Told(headers, also or {})  # type: ignore[attr-defined]  # read by ``told_by``
        return operation

    return said


def told_by(operation: Callable[..., Any] | None) -> Told:
    """What the operation answers besides its body."""
    said: Told = getattr(operation, "told", Told())
    return said


def etag(version: int) -> str:
    """The strong entity tag of a version."""
    return f'"{version}"'


def answer[Said](
    body: Said,
    status: int = 200,
    *,
    version: int | None = None,
    location: str | None = None,
    public_for: timedelta | None = None,
) -> Json[Said]:
    """A JSON answer. ``public_for``: for how long anybody may keep it; by default nobody keeps any."""
    headers = {"Cache-Control": "no-store" if public_for is None else f"public, max-age={public_for.seconds}"}
    if version is not None:
        headers["ETag"] = etag(version)
    if location is not None:
        headers["Location"] = location
    return Response(status, "application/json", body, headers)


def listed[Row](rows: list[Row], next_cursor: str | None) -> Json[Page[Row]]:
    """One page of a list."""
    return answer({"data": rows, "next_cursor": next_cursor})


def nothing() -> Empty:
    """204: done, and nothing to show."""
    return Response(204)
