"""What a kind of destination is: what it is given, and what it answers.

Each kind is one module of this package; ``registry`` finds it by its name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.delivery.exchange import DEFAULT_TIMEOUT, OutboundRequest, SendResult
from shared.delivery.outcome import Attempt, Outcome


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A merchant's endpoint as a destination needs it, secrets decrypted and therefore never in its repr.

    ``url`` is the endpoint's own, or the vendor's ``base_url``. ``signing_secrets`` holds every live
    ``whsec_`` secret and ``whsk_`` private key, newest first; during a rotation there are two of each.
    ``merchant_id``: whose endpoint it is.
    """

    id: str
    kind: str
    url: str
    signing_secrets: tuple[str, ...] = field(default=(), repr=False)
    bearer_token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    timeout: timedelta = DEFAULT_TIMEOUT
    merchant_id: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is to be delivered now: an event of the feed, or a campaign step.

    Args:
        id: the ``dlv_`` id; what a vendor's status events are correlated by.
        message_id: the ``webhook-id``: the event's id, the same for every endpoint and every attempt.
        event_type: ``checkout.abandoned`` and the like; for a step the type of the event it follows.
        attempted_at: aware time of this attempt; part of the signature.
        body: the stored bytes of the event, the same at every attempt to one endpoint.
        facts: the event as parsed JSON, read anew, for kinds that fill a template.
        step: the campaign step's own part (template, coupon, ...); None for the feed.
    """

    id: str
    message_id: str
    event_type: str
    attempted_at: datetime
    body: bytes = field(default=b"", repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    step: Mapping[str, Any] | None = field(default=None, repr=False)


class Unsendable(ValueError):
    """No request can be made of this delivery.

    ``outcome`` says whose fault it is: ``FAIL_MESSAGE`` (the content), ``FAIL_RECIPIENT`` (no usable address) or
    ``FAIL_CONFIG`` (the endpoint's set-up); or ``RETRY``: ours, and only for now. ``reason`` is for the merchant and
    holds no personal data.
    """

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


class Destination(Protocol):
    """One kind of destination: pure functions between our facts and a vendor's wire format."""

    @property
    def kind(self) -> str:
        """The name in the API, e.g. ``webhook``."""
        ...

    @property
    def title(self) -> str:
        """One line for whoever chooses a kind."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON Schema of the kind's own ``settings``; secrets are marked ``writeOnly``."""
        ...

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """What is wrong with an endpoint about to be stored: (RFC 6901 pointer into the request, detail)."""
        ...

    def build(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest:
        """The request of one attempt. Sending the same delivery again makes the same body.

        Raises:
            Unsendable: no request can be made; the attempt is over with its outcome.
            ValueError: the endpoint's set-up does not allow one (``problems`` would have said so).
        """
        ...

    def classify(self, result: SendResult, endpoint: Endpoint) -> Attempt:
        """What became of the attempt; total: any answer and any error has an outcome."""
        ...


class Preparing(Protocol):
    """A destination whose vendor must be told something before each attempt's own request.

    ``prepare``'s request changes nothing when repeated. It goes out first; the request of ``build`` follows only
    if ``classify`` calls the answer delivered, else that classification is the attempt's.
    """

    def prepare(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest | None:
        """The request to send first, None when there is nothing to tell.

        Raises:
            Unsendable: as ``build`` does.
        """
        ...


class Joining(Protocol):
    """A destination that takes several deliveries to one endpoint in one request, and answers for each of them."""

    def together(self, requests: Sequence[OutboundRequest]) -> list[list[int]]:
        """Which of the requests that ``build`` made for one endpoint go out together, by their places."""
        ...

    def joined(self, requests: Sequence[OutboundRequest], endpoint: Endpoint) -> OutboundRequest:
        """One request in the place of several.

        Raises:
            Unsendable: as ``build`` does.
        """
        ...

    def parted(self, result: SendResult, count: int) -> list[SendResult] | None:
        """What a joint request came to for each of its ``count`` deliveries, as if it had gone out by itself.

        None where the request was refused whole, maybe because of one of them: each is then sent by itself.
        """
        ...
