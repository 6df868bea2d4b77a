"""Holding sources and merchants to their rate, without a write per webhook.

Each process counts what it takes in, and tells the table once in a share of the limit; what it gets back of
everybody's last minute is what it holds the sender to. Whoever stays below a share in a minute costs no write at all. A
sender spread over many processes may exceed its limit by two shares for each of them; what it can never do is take the
stage.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

from shared.aws.faults import AWS_ERRORS, code_of
from shared.domain.ids import MerchantId, SourceId
from shared.domain.merchant import Merchant, Source
from shared.domain.webhook_rate import Tally, WebhookRates
from shared.store.webhook_counts import WebhookCounts

_MOST_TALLIES = 4_000
_LONGEST_WAIT = timedelta(minutes=1)
"""What is told: of others' webhooks only the slot is known, which may count for some seconds more."""
_log = logging.getLogger(__name__)


class TooManyWebhooks(Exception):
    """The source or its merchant is above its rate; ``again_in`` is when the next is taken.

    ``first``: this process has refused none of it within the minute before.
    """

    def __init__(self, again_in: timedelta, *, first: bool) -> None:
        """Keep both."""
        super().__init__("above the rate of accepted webhooks")
        self.again_in = again_in
        self.first = first


class WebhookRate:
    """The rates of every sender as one process knows them."""

    def __init__(self, counts: WebhookCounts, rates: WebhookRates) -> None:
        """``rates`` of the stage."""
        self._counts = counts
        self._rates = rates
        self._tallies: dict[SourceId | MerchantId, Tally] = {}

    def admit(self, source: Source, merchant: Merchant, now: datetime) -> None:
        """Raises TooManyWebhooks; asks nobody."""
        for sender, limit in self._limits(source, merchant):
            tally = self._tallies.get(sender)
            wait = None if tally is None else tally.wait(limit, now)
            if tally is not None and wait is not None:
                raise TooManyWebhooks(min(wait, _LONGEST_WAIT), first=tally.refuse(now))

    def count(self, source: Source, merchant: Merchant, now: datetime) -> None:
        """Count a webhook that was taken in. Never fails: it is stored, and its count may be lost."""
        for sender, limit in self._limits(source, merchant):
            tally = self._tally(sender)
            if tally.take(now, limit):
                self._tell(sender, tally, now)

    def _tell(self, sender: SourceId | MerchantId, tally: Tally, now: datetime) -> None:
        untold = tally.tell(now)
        try:
            tally.hear(self._counts.add(sender, untold, now))
        except AWS_ERRORS as failed:
            lost = {"sender": sender, "count": sum(untold.values()), "code": code_of(failed)}
            _log.warning("webhooks_not_counted", extra=lost)

    def _limits(self, source: Source, merchant: Merchant) -> Iterator[tuple[SourceId | MerchantId, int]]:
        yield source.id, self._rates.of_source(source, merchant)
        yield merchant.id, self._rates.of_merchant(merchant)

    def _tally(self, sender: SourceId | MerchantId) -> Tally:
        tally = self._tallies.pop(sender, None) or Tally()
        self._tallies[sender] = tally
        if len(self._tallies) > _MOST_TALLIES:
            del self._tallies[next(iter(self._tallies))]
        return tally
