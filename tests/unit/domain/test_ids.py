"""Ids: what we make has the shape that we ask for, and nothing else has."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.identity import IdentityHasher, IdentityKind
from shared.domain.ids import (
    EndpointId,
    IdKind,
    MerchantId,
    SourceId,
    checkout_digest,
    checkout_id,
    delivery_id,
    derived_ulid,
    digest_of,
    endpoint_of,
    event_id,
    is_id,
    new_ulid,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ENDPOINT = EndpointId(f"ep_{new_ulid(NOON)}")
DIGEST = checkout_digest(MerchantId("mer_1"), SourceId("src_1"), "cart")
MADE: dict[IdKind, str] = {
    IdKind.CHECKOUT: checkout_id(DIGEST),
    IdKind.DELIVERY: delivery_id(NOON, "evt_1", ENDPOINT),
    IdKind.EVENT: event_id(NOON, DIGEST, 3, "checkout.abandoned"),
    IdKind.SUPPRESSION: "sup_email_"
    + IdentityHasher(b"k" * 32).identity(MerchantId("mer_1"), IdentityKind.EMAIL, "a@b.example").mac,
}


def made(kind: IdKind) -> str:
    return MADE.get(kind, f"{kind}_{new_ulid(NOON)}")


@pytest.mark.parametrize("kind", IdKind)
def test_what_is_made_is_an_id_of_its_kind_and_of_no_other(kind: IdKind) -> None:
    assert [own for own in IdKind if is_id(own, made(kind))] == [kind]


@pytest.mark.parametrize("kind", IdKind)
def test_every_other_spelling_is_no_id(kind: IdKind) -> None:
    own = made(kind)
    for odd in (
        *("", kind, f"{kind}_", own[:-1], own + own[-1], f"{own}\n", f" {own}", f"{own}\0", own.replace("_", "-")),
        *(own.swapcase(), own[:-1] + "\u0661", own[:-1] + "\uff11", own[:-1] + "\u0430", own[:-1] + "u\u0301"),
        *(f"{kind}_{'A' * 100_000}", f"{kind}_{'0' * 2_048}", own + "#", own[:-1] + "/", own[:-1] + "%"),
    ):
        assert not is_id(kind, odd), odd[:60]


@given(st.datetimes(timezones=st.just(UTC)), st.text())
def test_ids_of_any_time_and_subject_have_the_shape(at: datetime, subject: str) -> None:
    digest = checkout_digest(MerchantId("mer_1"), SourceId("src_1"), subject)
    assert is_id(IdKind.EVENT, f"evt_{derived_ulid(at, subject)}")
    assert digest_of(checkout_id(digest)) == digest
    assert endpoint_of(delivery_id(at, subject, ENDPOINT)) == ENDPOINT


def test_a_digest_that_no_bytes_have_is_none() -> None:
    assert digest_of(f"chk_{'0' * 26}") is None, "0, 1, 8 and 9 are not in the alphabet"
    assert digest_of(f"chk_{'a' * 25}b") is None, "the last character holds three bits"
