"""Who may look at the console: browsers' sessions, and the links that begin one.

Rows of the merchant's own partition, named by hashes: whoever reads the table can begin no session, and the merchant's
erasure takes them along. A session is a row and no sealed cookie, because a portal link has no token to seal, and a
row can be ended.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from shared.domain.capability import Capability
from shared.domain.ids import MerchantId
from shared.domain.instants import from_ms, to_ms
from shared.domain.rate_limit import RateLimit
from shared.store import keys
from shared.store.conditions import Attr
from shared.store.expiry import emptied
from shared.store.rate_places import RatePlaces
from shared.store.table import ConditionFailed, Table
from shared.store.writes import ItemKey, Put, Update

SESSION_LASTS: Final = timedelta(hours=12)
OPERATOR_SESSION_LASTS: Final = timedelta(hours=1)
LINK_LASTS: Final = timedelta(minutes=10)
SIGN_INS_A_MINUTE: Final = 20
"""For one address: an office behind one router signs in at once, and a guess at 256 random bits never comes true."""
_SIGN_INS = RateLimit(SIGN_INS_A_MINUTE, timedelta(minutes=1))


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """``token_hash`` of the merchant token that it was begun with, itself or by a link; None for the operator's."""

    merchant_id: MerchantId
    capability: Capability
    began_at: datetime
    token_hash: str | None


@dataclass(frozen=True, slots=True)
class PortalLink:
    """What a session begun by the link may do, and with which token it ends."""

    merchant_id: MerchantId
    capability: Capability
    token_hash: str | None


class ConsoleAccess:
    """Sessions and portal links, by the hashes of their secrets."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table
        self._places = RatePlaces(table)

    def may_sign_in(self, from_mac: str, now: datetime) -> bool:
        """Whether this address may try once more; the try is counted."""
        return self._places.take(keys.sign_ins(from_mac), _SIGN_INS, now)

    def begin(self, secret_hash: str, session: ConsoleSession) -> None:
        """Write a session."""
        key = keys.console_session(session.merchant_id, secret_hash)
        granted = _granted(session.capability, session.token_hash)
        at = {"at": to_ms(session.began_at), "ttl": _seconds(session.began_at + SESSION_LASTS)}
        self._table.put(Put(_item(key, granted | at)))

    def session(self, merchant_id: MerchantId, secret_hash: str, now: datetime) -> ConsoleSession | None:
        """The session while it lasts: not ended, its token not revoked, and not one of those ended together."""
        key, ended = keys.console_session(merchant_id, secret_hash), keys.console_sessions_ended(merchant_id)
        rows = self._table.batch_get([key, ended])
        if key not in rows:
            return None
        row = rows[key]
        began_at = from_ms(int(row["at"]))
        if now >= began_at + SESSION_LASTS or (ended in rows and int(rows[ended]["at"]) >= int(row["at"])):
            return None
        of_token = row.get("token_hash")
        if of_token is not None:
            token = self._table.get(keys.token(of_token))
            if token is None or token["merchant_id"] != merchant_id:
                return None
        return ConsoleSession(merchant_id, cast("Capability", row["capability"]), began_at, of_token)

    def end(self, merchant_id: MerchantId, secret_hash: str, now: datetime) -> None:
        """End one session; one that is over stays so."""
        self._table.put(emptied(keys.console_session(merchant_id, secret_hash), now))

    def end_all(self, merchant_id: MerchantId, now: datetime) -> None:
        """End every session of the merchant that began by now, and every link that was not used."""
        kept = _seconds(now + SESSION_LASTS)
        ending = {"at": to_ms(now), "ttl": kept}
        self._table.update(Update(keys.console_sessions_ended(merchant_id), set=ending))

    def begin_operator(self, secret_hash: str, key_mac: str, now: datetime) -> None:
        """Write a session of the operator's; ``key_mac`` is a keyed hash of the admin key it was begun with."""
        ends = _seconds(now + OPERATOR_SESSION_LASTS)
        row = _item(keys.operator_session(secret_hash), {"at": to_ms(now), "key_mac": key_mac, "ttl": ends})
        self._table.put(Put(row))

    def operator_session(self, secret_hash: str, now: datetime) -> str | None:
        """The keyed hash of the admin key that the session was begun with; None where it is over."""
        row = self._table.get(keys.operator_session(secret_hash))
        if row is None or "key_mac" not in row or now >= from_ms(int(row["at"])) + OPERATOR_SESSION_LASTS:
            return None
        return str(row["key_mac"])

    def end_operator(self, secret_hash: str, now: datetime) -> None:
        """End one session of the operator's."""
        self._table.put(emptied(keys.operator_session(secret_hash), now))

    def offer(self, secret_hash: str, link: PortalLink, now: datetime) -> datetime:
        """Write a link; returns until when it can be used. One that was offered before stays as used as it is."""
        until = now + LINK_LASTS
        granted = _granted(link.capability, link.token_hash)
        times = {"at": to_ms(now), "until": to_ms(until), "ttl": _seconds(until)}
        row = _item(keys.portal_link(link.merchant_id, secret_hash), granted | times)
        with suppress(ConditionFailed):
            self._table.put(Put(row, Attr("pk").not_exists()))
        return until

    def redeem(self, merchant_id: MerchantId, secret_hash: str, now: datetime) -> PortalLink | None:
        """Use a link up; None where there is none, it is over, was used, or was ended with the sessions."""
        key, ended = keys.portal_link(merchant_id, secret_hash), keys.console_sessions_ended(merchant_id)
        rows = self._table.batch_get([key, ended])
        if key not in rows or now >= from_ms(int(rows[key]["until"])):
            return None
        row = rows[key]
        if ended in rows and int(rows[ended]["at"]) >= int(row["at"]):
            return None
        try:
            unused = Attr("pk").exists() & Attr("used").not_exists()
            self._table.update(Update(key, set={"used": to_ms(now)}, condition=unused))
        except ConditionFailed:
            return None
        return PortalLink(merchant_id, cast("Capability", row["capability"]), row.get("token_hash"))


def _granted(capability: Capability, token_hash: str | None) -> dict[str, Any]:
    return {"capability": capability} | ({} if token_hash is None else {"token_hash": token_hash})


def _item(key: ItemKey, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"pk": key[0], "sk": key[1], **values}


def _seconds(at: datetime) -> int:
    return to_ms(at) // 1000
