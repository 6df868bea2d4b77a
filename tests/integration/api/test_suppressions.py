"""Suppressions: at once, in one transaction, listed by hash only, lifted at the merchant's word."""

from datetime import timedelta
from typing import Any

import pytest

from functions.merchant_api import services
from shared.domain.consent import Channel
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.identity import Identity, IdentityKind
from shared.domain.ids import EpisodeId, MerchantId
from shared.store.episodes import EpisodeStore
from shared.store.shoppers import ShopperRecord, ShopperStore
from tests.integration.api.conftest import Api, new_merchant

PHONE = "+917777788888"
EVERY = {"email", "sms", "whatsapp"}


def identity(merchant: Api, kind: IdentityKind = IdentityKind.PHONE, value: str = PHONE) -> Identity:
    own = services.services()
    return own.hasher.identity(MerchantId(merchant("GET", "/v1/merchant").json["id"]), kind, value)


def record(who: Identity) -> ShopperRecord:
    return ShopperStore(services.services().table).get_many([who])[who]


def open_episode(who: Identity, name: str = "epi_1") -> EpisodeId:
    """An open episode that the identifier holds."""
    own = services.services()
    now = own.now()
    episode = Episode(
        id=EpisodeId(name),
        merchant_id=who.merchant_id,
        status=EpisodeStatus.ACTIVE,
        version=1,
        anchor=now,
        started_at=now,
        identities=(who,),
        checkouts=("a" * 26,),
    )
    store = EpisodeStore(own.table, 2)
    joined = ShopperStore.joined(record(who), episode.id, now, now)
    own.table.transact([store.created(episode, now, now + timedelta(days=7)), joined])
    return episode.id


def episode(episode_id: EpisodeId) -> Episode:
    found = EpisodeStore(services.services().table).get(episode_id)
    assert found is not None
    return found


def test_a_suppressed_phone_is_closed_for_every_channel_and_listed_without_the_phone(merchant: Api) -> None:
    made = merchant("POST", "/v1/suppressions", {"phone": "77777 88888", "reason": "asked in the shop"})

    assert made.status == 201, made.text
    assert set(made.json["channels"]) == EVERY
    assert made.json["reason"] == "asked in the shop"
    assert made.json["kind"] == "phone"
    assert record(identity(merchant)).memory.suppressed.keys() == set(Channel)
    listed = merchant("GET", "/v1/suppressions")
    assert [row["id"] for row in listed.json["data"]] == [made.json["id"]]
    assert "77777" not in listed.text
    assert merchant("GET", "/v1/suppressions", query={"phone": PHONE}).json["data"] == listed.json["data"]
    assert merchant("GET", "/v1/suppressions", query={"email": "a@b.example"}).json["data"] == []


def test_a_suppression_outlives_everything_else_that_is_remembered(merchant: Api) -> None:
    who = identity(merchant)
    open_episode(who)
    merchant("POST", "/v1/suppressions", {"phone": PHONE})

    row = services.services().table.get((f"I#{who.merchant_id}#phone#{who.mac}", "I"))
    assert row is not None
    assert "ttl" not in row
    assert merchant("DELETE", "/v1/suppressions", {"phone": PHONE}).status == 204
    row = services.services().table.get((f"I#{who.merchant_id}#phone#{who.mac}", "I"))
    assert row is not None
    assert "ttl" in row


def test_a_full_opt_out_ends_the_open_episode_in_the_same_write(merchant: Api) -> None:
    opened = open_episode(identity(merchant))

    merchant("POST", "/v1/suppressions", {"phone": PHONE})

    ended = episode(opened)
    assert (ended.status, ended.end_reason, ended.version) == (EpisodeStatus.ENDED, "opted_out", 2)


def test_one_channel_closes_only_itself_until_the_last_one_ends_the_episode(merchant: Api) -> None:
    opened = open_episode(identity(merchant))

    merchant("POST", "/v1/suppressions", {"phone": PHONE, "channels": ["whatsapp"]})

    assert episode(opened).status is EpisodeStatus.ACTIVE
    assert episode(opened).closed_channels == {"whatsapp"}
    assert episode(opened).version == 2
    merchant("POST", "/v1/suppressions", {"phone": PHONE, "channels": ["sms", "email"]})
    assert episode(opened).end_reason == "opted_out"


def test_a_repeat_changes_nothing_and_the_first_reason_stays(merchant: Api) -> None:
    first = merchant("POST", "/v1/suppressions", {"email": "Asha@Example.com", "reason": "opt_out"})
    version = record(identity(merchant, IdentityKind.EMAIL, "asha@example.com")).version

    again = merchant("POST", "/v1/suppressions", {"email": "asha@example.com", "reason": "complaint"})

    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    assert record(identity(merchant, IdentityKind.EMAIL, "asha@example.com")).version == version


def test_a_claim_that_was_read_before_the_opt_out_is_lost(merchant: Api) -> None:
    """The episode's version moved: whoever claims under the old one is refused."""
    opened = open_episode(identity(merchant))
    before = episode(opened)
    merchant("POST", "/v1/suppressions", {"phone": PHONE, "channels": ["email"]})
    own = services.services()
    put = EpisodeStore(own.table, 2).rewritten(before, before.version, own.now(), None)

    from shared.store.episodes import EpisodeMoved

    with pytest.raises(EpisodeMoved):
        EpisodeStore(own.table, 2).write(put)


def test_channels_are_lifted_one_by_one_by_body_parameter_or_listed_id(merchant: Api) -> None:
    made = merchant("POST", "/v1/suppressions", {"customer_id": "41"}).json

    assert merchant("DELETE", "/v1/suppressions", {"customer_id": "41", "channels": ["sms"]}).status == 204
    shown = merchant("GET", "/v1/suppressions", query={"customer_id": "41"}).json["data"][0]
    assert set(shown["channels"]) == {"email", "whatsapp"}
    assert set(record(identity(merchant, IdentityKind.CUSTOMER, "41")).memory.suppressed) == {"email", "whatsapp"}
    assert merchant("DELETE", "/v1/suppressions", query={"customer_id": "41", "channel": "email"}).status == 204
    assert merchant("DELETE", f"/v1/suppressions/{made['id']}").status == 204
    assert merchant("GET", "/v1/suppressions").json["data"] == []
    assert merchant("DELETE", f"/v1/suppressions/{made['id']}").status == 404
    assert merchant("DELETE", "/v1/suppressions", {"customer_id": "41"}).status == 404


def test_pages_show_every_suppression_once(merchant: Api) -> None:
    for number in range(5):
        merchant("POST", "/v1/suppressions", {"customer_id": str(number)})
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = merchant("GET", "/v1/suppressions", query={"limit": "2"} | ({"cursor": cursor} if cursor else {})).json
        seen += [row["id"] for row in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 5


def test_one_merchants_suppressions_are_nobody_elses(operator: Api, merchant: Api) -> None:
    other = operator.as_(new_merchant(operator)["token"])
    theirs = other("POST", "/v1/suppressions", {"phone": PHONE}).json["id"]

    assert merchant("GET", "/v1/suppressions").json["data"] == []
    assert merchant("DELETE", f"/v1/suppressions/{theirs}").status == 404
    assert record(identity(merchant)).memory.suppressed == {}
    assert len(other("GET", "/v1/suppressions").json["data"]) == 1


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"phone": PHONE, "email": "a@b.example"}, ""),
    ({"phone": "12"}, "/phone"),
    ({"email": "nobody"}, "/email"),
    ({"phone": PHONE, "channels": []}, "/channels"),
    ({"phone": PHONE, "channels": ["fax"]}, "/channels/0"),
    ({"phone": PHONE, "reason": "call 9876543210"}, "/reason"),
    ({"phone": PHONE, "reason": "asha@example.com"}, "/reason"),
    ({"phone": PHONE, "note": "x"}, "/note"),
]


@pytest.mark.parametrize(("body", "pointer"), WRONG)
def test_a_wrong_body_is_pointed_at(merchant: Api, body: dict[str, Any], pointer: str) -> None:
    refused = merchant("POST", "/v1/suppressions", body)

    assert refused.status == 422, refused.text
    assert [error["pointer"] for error in refused.json["errors"]] == [pointer]
    assert merchant("GET", "/v1/suppressions").json["data"] == []


@pytest.mark.parametrize("query", [{}, {"phone": ""}, {"phone": "12"}, {"phone": PHONE, "customer_id": "1"}])
def test_lifting_nobody_in_particular_is_refused(merchant: Api, query: dict[str, str]) -> None:
    refused = merchant("DELETE", "/v1/suppressions", query=query)

    assert refused.status == 422, refused.text
    assert "parameter" in refused.json["errors"][0]
