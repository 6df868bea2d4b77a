"""A provider's sample webhook, sent to the source it is for: made and signed as the provider would, received as any.

It does not go over the network. The stage's own address is the one that nothing of ours may dial (a webhook that comes
back would go round for ever), so the receiver that ingest runs takes it here: with the source as it stands, its proof
checked over the exact bytes, read, mapped and merged. What that leaves out is the road: whether the address is
pasted right, only the provider's own webhook shows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from shared.aws.credential_cipher import CredentialCipher
from shared.domain.merchant import Merchant, Source, SourceCredentials
from shared.domain.sample import Sample
from shared.providers.provider import AuthenticationFailed, NotReadable, WebhookRequest
from shared.store.sample_limits import PER, SampleLimits
from shared.workflows.delivering.refusals import Conflict, NotFound
from shared.workflows.intake.receive import Receipt, Receiver, UnknownSource

_NOT_PROVED = (
    "This source's own credentials and settings do not prove a webhook as {} signs it ({}). Look at its secret and its"
    " signature; the provider's webhooks would be refused as well."
)


class TooManySamples(Exception):
    """The merchant sent as many as a minute allows; ``again_in`` is when all of them are forgotten."""

    def __init__(self) -> None:
        super().__init__("as many samples as a minute allows")
        self.again_in: timedelta = PER


@dataclass(frozen=True, slots=True)
class MadeWebhook:
    """A webhook as its provider would send it. ``name``: which of its samples; ``event``: what stands in the path."""

    name: str
    body: bytes
    headers: Mapping[str, str]
    event: str | None = None


class Making(Protocol):
    """Makes a provider's webhook for a source of the merchant's. ``secret`` is what it is signed with.

    ``chance`` makes its ids: the same makes the same.
    Raises Conflict where it cannot be made or signed here, and Invalid where it has no place for a contact.
    """

    def __call__(
        self, source: Source, merchant: Merchant, secret: str | None, sample: Sample, at: datetime, chance: bytes
    ) -> MadeWebhook:
        """The webhook at ``at``."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent, and what ingest made of it."""

    name: str
    receipt: Receipt


class SampleWebhooks:
    """Sends samples."""

    def __init__(
        self,
        receiver: Callable[[], Receiver],
        making: Making,
        cipher: CredentialCipher,
        limits: SampleLimits,
        now: Callable[[], datetime],
    ) -> None:
        """``receiver`` makes one that remembers nothing: a source changed a moment ago is read as it is."""
        self._receiver = receiver
        self._making = making
        self._cipher = cipher
        self._limits = limits
        self._now = now

    def send(self, source: Source, merchant: Merchant, sample: Sample, chance: bytes) -> Sent:
        """Send one. The same ``chance`` is the same checkout.

        Raises TooManySamples, Conflict, Invalid, NotFound and StoreUnavailable.
        """
        at = self._now()
        credentials = self._cipher.source(source)
        secret = credentials.secrets[0] if credentials.secrets else None
        made = self._making(source, merchant, secret, sample, at, chance)
        if not self._limits.take(merchant.id, at):
            raise TooManySamples
        try:
            receipt = self._receiver().receive(source.id, _request(made, credentials, at), sample)
        except UnknownSource:
            raise NotFound("There is no such source any more.") from None
        except (AuthenticationFailed, NotReadable) as unproved:
            raise Conflict(_NOT_PROVED.format(source.provider, unproved)) from unproved
        return Sent(made.name, receipt)


def _request(made: MadeWebhook, credentials: SourceCredentials, at: datetime) -> WebhookRequest:
    """The webhook as it arrives at the source's own URL."""
    query = {} if credentials.url_token is None else {"token": credentials.url_token}
    headers = {name.lower(): value for name, value in made.headers.items()}
    return WebhookRequest(headers, query, made.body, at, made.event)
