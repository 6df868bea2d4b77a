"""Where a step's code comes from: a pool's next code, or one that the merchant's own webhook mints.

Either way it is written down for (episode, step) before it is used, so that every attempt carries the same code.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.aws.credential_cipher import CredentialCipher
from shared.delivery.exchange import InvalidRequest, OutboundRequest, RefusedDestination, SendResult
from shared.delivery.signing import signature_headers
from shared.domain.coupon import LONGEST_CODE, Allocation, CouponRule
from shared.domain.episode import Episode
from shared.domain.ids import EndpointId, EpisodeId, PoolId, derived_ulid
from shared.store.configuration import EndpointStore
from shared.store.coupons import CouponStore, PoolExhausted
from shared.workflows.campaigns.step_coupon import CouponDelayed

MINTING_TIMEOUT = timedelta(seconds=5)
_SUCCESS = range(200, 300)
_COME_AGAIN = frozenset({408, 425, 429})


class CouponSource:
    """Codes for steps. One per process."""

    def __init__(
        self,
        store: CouponStore,
        endpoints: EndpointStore,
        cipher: CredentialCipher,
        send_all: Callable[[Sequence[OutboundRequest]], list[SendResult]],
    ) -> None:
        """``send_all`` sends through the guarded client."""
        self._store = store
        self._endpoints = endpoints
        self._cipher = cipher
        self._send_all = send_all

    def allocations(self, episode_id: EpisodeId) -> list[Allocation]:
        """The codes given to the episode's steps so far."""
        return self._store.allocations(episode_id)

    def allocate(
        self, episode: Episode, step: int, rule: CouponRule, now: datetime, within: timedelta
    ) -> Allocation | None:
        """A code for the step, the same one at a retry; None where there is none to be had.

        ``within``: how long the merchant's webhook may take at most. Raises CouponDelayed where it gave no answer,
        StoreUnavailable when other workers kept taking the pool's codes.
        """
        if rule.type == "pool" and rule.pool_id is not None:
            try:
                return self._store.claim(episode.merchant_id, PoolId(rule.pool_id), episode.id, step, now)
            except PoolExhausted:
                return None
        if rule.type == "minted" and rule.endpoint_id is not None:
            code = self._minted(episode, step, EndpointId(rule.endpoint_id), now, within)
            return None if code is None else self._store.keep(episode.id, Allocation(step, code, now), now)
        return None

    def _minted(
        self, episode: Episode, step: int, endpoint_id: EndpointId, now: datetime, within: timedelta
    ) -> str | None:
        """Ask the merchant's endpoint for a code. The id is the same at every try: the merchant can repeat itself."""
        found = self._endpoints.get(episode.merchant_id, endpoint_id)
        if found is None or not found.value.active or found.value.url is None:
            return None
        credentials = self._cipher.endpoint(found.value)
        message_id = "evt_" + derived_ulid(episode.started_at, episode.id, str(step), "coupon")
        body = json.dumps(
            {"id": message_id, "type": "coupon.requested", "data": {"episode_id": episode.id, "step": step}}
        ).encode()
        headers = dict(credentials.headers) | {"content-type": "application/json"}
        headers |= signature_headers(credentials.signing_at(now, found.value.signatures), message_id, now, body)
        if credentials.bearer_token is not None:
            headers["authorization"] = f"Bearer {credentials.bearer_token}"
        request = OutboundRequest(found.value.url, body, headers, timeout=min(MINTING_TIMEOUT, within))
        return _code_of(self._send_all([request])[0])


def _code_of(result: SendResult) -> str | None:
    """The code in a 2xx answer ``{"code": "..."}``, or None.

    Raises CouponDelayed without an answer, or with one that says to come again (408, 425, 429, 5xx).
    """
    answer = result.answer
    if answer is None:
        if isinstance(result.error, RefusedDestination | InvalidRequest):
            return None
        raise CouponDelayed
    if answer.status_code in _COME_AGAIN or answer.status_code >= 500 or not answer.complete:
        raise CouponDelayed
    if answer.status_code not in _SUCCESS:
        return None
    try:
        plain: Any = json.loads(answer.body)
    except ValueError:
        return None
    code = plain.get("code") if isinstance(plain, dict) else None
    usable = isinstance(code, str) and 0 < len(code.strip()) <= LONGEST_CODE and code.isprintable()
    return code.strip() if usable and isinstance(code, str) else None
