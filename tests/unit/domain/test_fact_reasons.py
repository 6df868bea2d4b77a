"""A fact keeps why no message was sent as a code: it outlives the shopper it is about."""

import pytest

from shared.domain.facts import coded


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        (None, None),
        ("quiet_hours", "quiet_hours"),
        ("131026: Asha Patel is not on WhatsApp", "131026"),
        ("HTTP 400: no such person", "HTTP 400"),
        ("InvalidParameter.To: asha", "InvalidParameter.To"),
        ("Asha Patel has no telephone", "other"),
        ("[email] bounced", "other"),
        ("", "other"),
        ("x" * 65, "other"),
    ],
)
def test_of_a_vendors_words_the_code_alone_is_kept(reason: str | None, kept: str | None) -> None:
    assert coded(reason) == kept
