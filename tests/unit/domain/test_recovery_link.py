"""Recovery links: unforgeable codes, and destinations that are the merchant's own."""

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.domain.ids import checkout_digest
from shared.domain.recovery_link import CODE_LENGTH, LinkTarget, RecoveryCodes, allowed_destination, with_tracking
from tests.unit.domain.sessions import MERCHANT, SOURCE

CODES = RecoveryCodes({1: b"r" * 32})
DIGESTS = st.text(max_size=10).map(lambda own: checkout_digest(MERCHANT, SOURCE, own))
ALPHABET = string.ascii_letters + string.digits + "-_"
HOSTS = frozenset({"shop.example"})


@given(DIGESTS, st.integers(0, 255))
def test_a_code_names_its_checkout_and_step(digest: str, step: int) -> None:
    code = CODES.code(digest, step)
    assert CODES.read(code) == LinkTarget(digest, step)
    assert len(code) == CODE_LENGTH
    assert set(code) <= set(ALPHABET)


@given(DIGESTS, st.integers(0, CODE_LENGTH - 1), st.sampled_from(ALPHABET + "=+/ é"))
def test_any_changed_character_fails(digest: str, place: int, character: str) -> None:
    code = CODES.code(digest)
    assume(code[place] != character)
    assert CODES.read(code[:place] + character + code[place + 1 :]) is None


def test_no_spelling_of_the_last_character_but_ours_is_genuine() -> None:
    code = CODES.code(checkout_digest(MERCHANT, SOURCE, "1"))
    assert [own for own in ALPHABET if CODES.read(code[:-1] + own) is not None] == [code[-1]]


@given(DIGESTS)
def test_a_code_of_another_key_fails(digest: str) -> None:
    assert CODES.read(RecoveryCodes({1: b"x" * 32}).code(digest)) is None
    assert CODES.read(RecoveryCodes({2: b"r" * 32}).code(digest)) is None


@given(st.text(max_size=60))
def test_anything_else_is_no_code(text: str) -> None:
    assert CODES.read(text) is None


def test_a_rotated_key_signs_and_the_old_one_still_reads() -> None:
    digest = checkout_digest(MERCHANT, SOURCE, "1")
    old, rotated = CODES.code(digest), RecoveryCodes({1: b"r" * 32, 2: b"s" * 32})
    assert rotated.read(old) == LinkTarget(digest, 0)
    assert rotated.code(digest) != old
    assert CODES.read(rotated.code(digest)) is None


@pytest.mark.parametrize(
    ("url", "destination"),
    [
        ("https://shop.example/c?a=1#f", "https://shop.example/c?a=1#f"),
        ("http://shop.example/c", "https://shop.example/c"),
        ("HTTPS://SHOP.EXAMPLE/C", "https://shop.example/C"),
        ("https://www.shop.example/", "https://www.shop.example/"),
        ("https://shop.example./", "https://shop.example/"),
        ("https://shop.example:443/", "https://shop.example/"),
        (" https://shop.example/ ", "https://shop.example/"),
        ("https://shop.example/%E0%A4%9A?q=%20", "https://shop.example/%E0%A4%9A?q=%20"),
        ("https://shop.example/चाय?q=é", "https://shop.example/%E0%A4%9A%E0%A4%BE%E0%A4%AF?q=%C3%A9"),
    ],
)
def test_a_link_to_the_shop_becomes_https(url: str, destination: str) -> None:
    assert allowed_destination(url, HOSTS) == destination


@pytest.mark.parametrize(
    "url",
    [
        "https://evil-shop.example/",
        "https://evilshop.example/",
        "https://shop.example.evil.test/",
        "https://example/",
        "https://shop.example@evil.test/",
        "https://evil.test#@shop.example/",
        "https://user@shop.example/",
        "https://user:pw@shop.example/",
        "https://@shop.example/",
        "https://evil.test\\@shop.example/",
        "https://evil.test\\.shop.example/",
        "https://shop.example\\@evil.test/",
        "https:\\\\shop.example/",
        "https://shop.example:8443/",
        "https://shop.example:x/",
        "https://shop.example:99999/",
        "https://ev\til.shop.example/",
        "https://shop.example/a b",
        "https://shop.example/\x00",
        "https://shop.example/a\r\nlocation: https://evil.test",
        "javascript:alert(1)//shop.example",
        "javascript://shop.example/%0aalert(1)",
        "data:text/html,shop.example",
        "ftp://shop.example/",
        "//shop.example/",
        "shop.example/",
        "https:///shop.example/",
        "https://evil.test/shop.example",
        "https://evil.test。shop.example/",
        "https://evil.test／.shop.example/",
        "https://ｓhop.example/",
        "https://bücher.shop.example/",
        "https://evil.test%2f.shop.example/",
        "https://evil.test%00.shop.example/",
        "https://evil.test;.shop.example/",
        "https://[::1].shop.example/",
        "https://[shop.example/",
        "https://.shop.example/",
        "https://a..shop.example/",
        "https://shop.example\u2028/",
        "https://shop.example/\x7f",
        f"https://shop.example/{'a' * 4_096}",
        f"https://shop.example/{'चाय' * 200}{'é' * 500}",
        "https://sh\u043ep.example/",
        "https://shop.example\u200b/",
        "https://shop\u2024example/",
        "https://shop.example%40evil.test/",
        "https://shop.example%5c.evil.test/",
        "https://evil.test/..;@shop.example/",
        "https://evil.test?.shop.example/",
        "https://evil.test&.shop.example/",
        "https://xn--shp-3ed.example/",
        "https:/shop.example/",
        "https://shop.example:0443@evil.test/",
        "http+https://shop.example/",
        "https://shop.example:\u0664\u0664\u0663/x\\",
        "",
    ],
)
def test_a_link_anywhere_else_leads_nowhere(url: str) -> None:
    assert allowed_destination(url, HOSTS) is None


@given(st.text(max_size=40))
def test_whatever_is_allowed_is_ascii_https_on_an_allowed_host(rest: str) -> None:
    from urllib.parse import urlsplit

    for url in (f"https://{rest}", f"https://shop.example{rest}", f"https://{rest}shop.example/", rest):
        found = allowed_destination(url, HOSTS)
        if found is not None:
            parts = urlsplit(found)
            assert found.isascii()
            assert found.isprintable()
            assert (parts.scheme, parts.port, parts.username) == ("https", None, None)
            assert parts.hostname == "shop.example" or str(parts.hostname).endswith(".shop.example")


def test_tracking_is_added_where_the_link_does_not_carry_it_and_the_rest_stays() -> None:
    tracking = {"utm_source": "checkback", "utm_medium": "recovery"}
    link = "https://shop.example/c?b=%20x&a=1&utm_source=#frag"
    assert with_tracking(link, tracking) == "https://shop.example/c?b=%20x&a=1&utm_source=&utm_medium=recovery#frag"
    bare = with_tracking("https://shop.example/", tracking)
    assert bare == "https://shop.example/?utm_source=checkback&utm_medium=recovery"
