"""Amazon SES: the signed request, the mail in it, its answers and events."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from html.parser import HTMLParser
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.exchange import Answer, OutboundRequest, SendResult
from shared.delivery.outcome import Outcome, Refusal, refusal_of
from shared.destinations import aws_request, registry, ses
from shared.destinations.destination import Delivery, Endpoint, Unsendable
from shared.destinations.ses import destination, statuses
from shared.destinations.status import CallbackRequest, NotAuthentic, Status, StatusReport
from tests.patience import PATIENCE
from tests.unit.destinations.vendor import (
    AT,
    RECOVERY_URL,
    Vendor,
    answer,
    checkout,
    delivery,
    hangs_up,
    hangs_up_inside,
    keeps_silent,
)

UNSUBSCRIBE_URL = "https://go.example/u/AQH9f31c0de"
SECRET = "s3cr3t/" + "k" * 33
OWN_KEYS = {"access_key_id": "AKIAEXAMPLE123456789", "secret_access_key": SECRET, "region": "ap-south-1"}
SETTINGS = {"from": "Sweet Shop <hello@shop.example>"}
MESSAGE_ID = "0109019a-1f2e-4c3d-9b7a-0c1d2e3f4a5b-000000"


@pytest.fixture(autouse=True)
def role(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The function's own credentials, as Lambda gives them."""
    for name in (
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_SESV2",
        "SES_TENANT_PREFIX",
        "STAGE_MAIL",
        "SES_CONFIGURATION_SET",
        "AWS_PROFILE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAROLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "role-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "role-session")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    known = aws_request.role
    known.cache_clear()
    yield
    known.cache_clear()


def endpoint(url: str = "", **settings: Any) -> Endpoint:
    return Endpoint("ep_1", "ses", url, settings={**SETTINGS, **settings}, timeout=timedelta(seconds=5))


def body_of(request: OutboundRequest) -> Any:
    return json.loads(request.body)


def built(sent: Delivery | None = None, **settings: Any) -> Any:
    return body_of(destination.build(sent or delivery(), endpoint(**settings)))


def built_from(sender: str) -> Any:
    own = Endpoint("ep_1", "ses", "", settings={"from": sender})
    return body_of(destination.build(delivery(), own))


def simple(sent: Delivery | None = None, **settings: Any) -> Any:
    return built(sent, **settings)["Content"]["Simple"]


def texts(sent: Delivery | None = None, **settings: Any) -> tuple[str, str, str]:
    content = simple(sent, **settings)
    return content["Subject"]["Data"], content["Body"]["Html"]["Data"], content["Body"]["Text"]["Data"]


def signature(request: OutboundRequest, key_id: str, secret: str, token: str | None, region: str) -> str:
    """What botocore computes for the same request at the same time."""
    again = AWSRequest("POST", request.url, data=request.body, headers={"content-type": "application/json"})
    auth = SigV4Auth(Credentials(key_id, secret, token), "ses", region)
    again.context["timestamp"] = request.headers["x-amz-date"]
    again.headers["X-Amz-Date"] = request.headers["x-amz-date"]
    if token:
        again.headers["X-Amz-Security-Token"] = token
    canonical = auth.canonical_request(again)
    return str(auth.signature(auth.string_to_sign(again, canonical), again))


def test_the_titles_of_a_mail_are_clean_lines_of_some_length() -> None:
    title = "Tea\r\nBcc: x@y.example\t\u202egnp\x00 " + "long " * 100
    item = {"title": title, "variant_title": "a\n    b", "quantity": 1}
    _, html, text = texts(delivery(of=checkout(items=[item])))
    for body in (html, text):
        assert "Tea Bcc: x@y.example gnp long" in body
        assert "long\u2026" in body
        assert not {"\x00", "\t", "\r", "\u202e"} & set(body)
    assert "(a b)" in text


class TestTheRequest:
    def test_it_is_send_email_signed_with_the_endpoints_own_keys(self, vendor: Vendor) -> None:
        own = vendor.endpoint("ses", bearer_token=None, settings={**SETTINGS, **OWN_KEYS})
        attempt = vendor.send(delivery(), own, answer(200, {"MessageId": MESSAGE_ID}))
        assert (attempt.outcome, attempt.reason, attempt.vendor_message_id) == (Outcome.DELIVERED, None, MESSAGE_ID)
        request = vendor.received
        assert (request.method, request.path) == ("POST", "/v2/email/outbound-emails")
        assert request.headers["content-type"] == "application/json"
        assert request.headers["host"] == f"127.0.0.1:{vendor.receiver.port}"
        assert "x-amz-security-token" not in request.headers
        sent = OutboundRequest(vendor.url + request.path, request.body, request.headers)
        expected = signature(sent, OWN_KEYS["access_key_id"], SECRET, None, "ap-south-1")
        day = request.headers["x-amz-date"][:8]
        assert request.headers["authorization"] == (
            f"AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE123456789/{day}/ap-south-1/ses/aws4_request, "
            f"SignedHeaders=content-type;host;x-amz-date, Signature={expected}"
        )
        whole = vendor.received_json
        content = whole.pop("Content")
        assert whole == {
            "FromEmailAddress": "Sweet Shop <hello@shop.example>",
            "Destination": {"ToAddresses": ["asha@example.com"]},
            "EmailTags": [{"Name": "delivery_id", "Value": "dlv_01J"}],
        }
        assert set(content) == {"Simple"}
        assert content["Simple"]["Headers"] == [
            {"Name": "List-Unsubscribe", "Value": f"<{UNSUBSCRIBE_URL}>"},
            {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
        ]
        assert set(content["Simple"]["Body"]) == {"Text", "Html"}

    def test_without_keys_the_functions_role_signs(self) -> None:
        request = destination.build(delivery(), endpoint())
        assert request.url == "https://email.eu-west-1.amazonaws.com/v2/email/outbound-emails"
        assert request.headers["x-amz-security-token"] == "role-session"
        assert "Credential=ASIAROLE/" in request.headers["authorization"]
        expected = signature(request, "ASIAROLE", "role-secret", "role-session", "eu-west-1")
        assert request.headers["authorization"].endswith(f"Signature={expected}")

    def test_the_local_engine_is_found_in_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
        assert destination.build(delivery(), endpoint()).url == "http://127.0.0.1:4566/v2/email/outbound-emails"

    def test_china_has_another_suffix(self) -> None:
        request = destination.build(delivery(), endpoint(region="cn-north-1"))
        assert request.url.startswith("https://email.cn-north-1.amazonaws.com.cn/")

    def test_the_optional_parts(self) -> None:
        whole = built(reply_to="care@shop.example", configuration_set="carts")
        assert whole["ReplyToAddresses"] == ["care@shop.example"]
        assert whole["ConfigurationSetName"] == "carts"
        assert "TenantName" not in whole

    def test_two_attempts_have_the_same_body(self) -> None:
        assert destination.build(delivery(), endpoint()).body == destination.build(delivery(), endpoint()).body

    def test_a_name_in_any_script_becomes_an_encoded_word(self) -> None:
        sender = built_from("मिठाई <hello@shop.example>")["FromEmailAddress"]
        assert sender.isascii()
        assert parseaddr(sender)[1] == "hello@shop.example"

    def test_no_secret_stands_in_the_request_or_its_repr(self) -> None:
        request = destination.build(delivery(), endpoint(**OWN_KEYS))
        assert SECRET not in f"{request!r}{dict(request.headers)}{request.body!r}"


class TestWhoMaySendAsWhom:
    """The role's signature goes to SES alone, and with tenants only for identities of the merchant."""

    @pytest.mark.parametrize(
        "url",
        [
            "https://stand-in.example",
            "https://abc.execute-api.eu-west-1.amazonaws.com",
            "https://email.evil.example/.eu-west-1.amazonaws.com",
            "https://email.eu-west-1.amazonaws.com.evil.example",
        ],
    )
    def test_the_role_signs_for_no_other_host(self, url: str) -> None:
        assert [pointer for pointer, _ in destination.problems(endpoint(url))] == ["/settings/base_url"]
        with pytest.raises(Unsendable) as caught:
            destination.build(delivery(), endpoint(url))
        assert caught.value.outcome is Outcome.FAIL_CONFIG

    @pytest.mark.parametrize("keys", [{}, OWN_KEYS], ids=["role", "own keys"])
    @pytest.mark.parametrize(
        "url",
        [
            "https://email.s3.amazonaws.com",
            "https://email.s3-ap-south-1.amazonaws.com",
            "https://email.evil.amazonaws.com",
            "https://sts.amazonaws.com",
            "https://abc.lambda-url.eu-west-1.on.aws",
            "https://email.eu-west-1.amazonaws.com:8443",
            "https://email.eu-west-1.amazonaws.com/v2/email/identities?x=",
            "https://email.eu-west-1.amazonaws.com?x=",
            "https://email.eu-west-1.amazonaws.com/v2/email/contact-lists",
            "http://email.eu-west-1.amazonaws.com",
            "https://role@email.eu-west-1.amazonaws.com",
            "http://127.0.0.1:9/somewhere",
        ],
    )
    def test_of_aws_only_ses_itself_is_called_and_only_at_its_one_path(self, url: str, keys: dict[str, str]) -> None:
        assert [pointer for pointer, _ in destination.problems(endpoint(url, **keys))] == ["/settings/base_url"]
        with pytest.raises(Unsendable) as caught:
            destination.build(delivery(), endpoint(url, **keys))
        assert caught.value.outcome is Outcome.FAIL_CONFIG

    @pytest.mark.parametrize(
        "url",
        ["https://email.us-east-1.amazonaws.com", "https://email-fips.us-east-1.amazonaws.com", "http://127.0.0.1:9"],
    )
    def test_it_does_for_ses_and_for_loopback(self, url: str) -> None:
        assert destination.problems(endpoint(url)) == []
        assert destination.build(delivery(), endpoint(url)).url.startswith(url)

    def test_own_keys_may_go_to_a_stand_in(self) -> None:
        assert destination.problems(endpoint("https://stand-in.example", **OWN_KEYS)) == []

    def test_with_tenants_the_role_sends_as_the_merchants_tenant(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SES_TENANT_PREFIX", "checkback-production-")
        known = delivery()
        facts = {**known.facts, "merchant_id": "mer_1"}
        sent = Delivery(known.id, known.message_id, known.event_type, AT, b"", facts, known.step)
        assert built(sent)["TenantName"] == "checkback-production-mer_1"
        assert "TenantName" not in built(sent, **OWN_KEYS)
        with pytest.raises(Unsendable) as caught:
            destination.build(delivery(), endpoint())
        assert caught.value.outcome is Outcome.FAIL_CONFIG

    def test_a_stage_that_sends_no_mail_wants_keys_of_the_merchants_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STAGE_MAIL", "off")
        assert [where for where, _ in destination.problems(endpoint())] == ["/settings/access_key_id"]
        assert destination.problems(endpoint(**OWN_KEYS)) == []
        with pytest.raises(Unsendable) as caught:
            destination.build(delivery(), endpoint())
        assert caught.value.outcome is Outcome.FAIL_CONFIG
        assert destination.build(delivery(), endpoint(**OWN_KEYS)).url

    def test_what_becomes_of_the_stages_mail_is_told_by_its_own_configuration_set(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SES_CONFIGURATION_SET", "checkback-production")
        plain = {name: own for name, own in SETTINGS.items() if name != "configuration_set"}
        by_the_stage, by_the_merchant = (
            body_of(destination.build(delivery(), Endpoint("ep_1", "ses", "", settings={**plain, **keys})))
            for keys in ({}, OWN_KEYS)
        )
        assert by_the_stage["ConfigurationSetName"] == "checkback-production"
        assert "ConfigurationSetName" not in by_the_merchant, "the stage's is of another account"
        assert built(None, configuration_set="mine", **OWN_KEYS)["ConfigurationSetName"] == "mine"

    def test_a_merchant_takes_the_stages_mail_to_no_other_set_of_its_account(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its bounces would come back to somebody else, or to nobody."""
        monkeypatch.setenv("SES_CONFIGURATION_SET", "checkback-production")
        named = endpoint(configuration_set="anothers")

        assert built(configuration_set="anothers")["ConfigurationSetName"] == "checkback-production"
        assert [where for where, _ in destination.problems(named)] == ["/settings/configuration_set"]
        assert destination.problems(endpoint(configuration_set="mine", **OWN_KEYS)) == []

    def test_without_any_credentials_it_is_a_matter_of_set_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ses, "role", lambda: None)
        with pytest.raises(Unsendable) as caught:
            destination.build(delivery(), endpoint())
        assert caught.value.outcome is Outcome.FAIL_CONFIG


class _Outline(HTMLParser):
    """Links, pictures and open elements of a page."""

    VOID = frozenset({"meta", "img", "br", "hr", "input", "link"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.names: set[str] = set()
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        given = dict(attrs)
        if tag == "a":
            self.links.append(given.get("href") or "")
        if tag == "img":
            self.pictures.append(given.get("src") or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


class TestTheMail:
    def test_both_bodies_tell_the_whole_cart(self) -> None:
        subject, html, text = texts(brand_color="#aa0000", postal_address="1 MG Road\nPune")
        assert subject == "You left something in your cart at Sweet Shop"
        for shown in ("Asha", "Brownie", "Cookie", "₹1,499.00", "BACK10", "1 MG Road", RECOVERY_URL, UNSUBSCRIBE_URL):
            assert shown in html, shown
            assert shown in text, shown
        outline = _Outline(html)
        assert outline.open == []
        assert outline.links == [RECOVERY_URL, UNSUBSCRIBE_URL]
        assert outline.pictures == ["https://cdn.shop.example/brownie.jpg"]
        assert "#aa0000" in html

    @pytest.mark.parametrize(
        ("colour", "label"),
        [("#aa0000", "#ffffff"), ("#1F6FEB", "#ffffff"), ("#ffee00", "#1f2328"), ("red", "#ffffff")],
    )
    def test_the_buttons_label_can_be_read_on_the_shops_colour(self, colour: str, label: str) -> None:
        assert f"color:{label};text-decoration:none" in texts(brand_color=colour)[1]

    @pytest.mark.parametrize(
        ("language", "opening"),
        [("en_IN", '<html lang="en-IN" dir="ltr">'), ("ar", '<html lang="ar" dir="rtl">')],
    )
    def test_the_page_says_its_language(self, language: str, opening: str) -> None:
        assert opening in texts(template={"language": language})[1]

    def test_a_bare_checkout_still_makes_a_decent_mail(self) -> None:
        bare = checkout(items=[], totals={}, item_count=0, shipping_address=None, customer={"email": "a@b.example"})
        subject, html, text = texts(delivery(of=bare, coupon_code=None))
        assert subject
        assert _Outline(html).open == []
        assert "Your cart is waiting" in html
        assert "Total" not in html + text
        assert "Your code" not in html + text

    def test_many_items_are_counted_not_listed(self) -> None:
        items = [{"title": f"Item {number}", "quantity": 1, "image_url": None} for number in range(25)]
        _, html, text = texts(delivery(of=checkout(items=items)))
        for shown in (html, text):
            assert "Item 9" in shown
            assert "Item 10" not in shown
            assert "+ 15 more" in shown

    def test_the_merchants_own_words_stand_in_our_layout(self) -> None:
        words = {
            "subject": "{{ first_name }}, {{ items_line }}\nwaits",
            "heading": "<b>Psst</b>",
            "intro": "One\ntwo",
            "button": "Buy now",
        }
        subject, html, text = texts(template=words)
        assert subject == "Asha, Brownie + 1 more waits"
        assert "&lt;b&gt;Psst&lt;/b&gt;" in html
        assert "Buy now" in html
        assert "<b>Psst</b>" in text

    def test_the_steps_template_goes_before_the_endpoints(self) -> None:
        subject, _, _ = texts(delivery(template={"subject": "Step"}), template={"subject": "Endpoint"})
        assert subject == "Step"
        assert texts(delivery(template="Only a subject"))[0] == "Only a subject"

    @pytest.mark.parametrize(
        "html", ["<html><body><p>Hi {{ first_name }}</p></body></html>", "<p>Hi {{ first_name }}</p>"]
    )
    def test_a_whole_mail_of_the_merchant_gets_the_unsubscribe_link_if_it_has_none(self, html: str) -> None:
        _, shown, text = texts(template={"html": html, "text": "Hi {{ first_name }}"})
        assert _Outline(shown).links == [UNSUBSCRIBE_URL]
        assert _Outline(shown).open == []
        assert text.startswith("Hi Asha")
        assert UNSUBSCRIBE_URL in text
        own = {"html": '<a href="{{ unsubscribe_url }}">stop</a>', "text": "{{ unsubscribe_url }}"}
        _, shown, text = texts(template=own)
        assert shown.count(UNSUBSCRIBE_URL) == text.count(UNSUBSCRIBE_URL) == 1

    @given(title=st.text(max_size=40), name=st.text(max_size=20), picture=st.text(max_size=30))
    def test_no_text_of_a_shop_or_shopper_breaks_the_page(self, title: str, name: str, picture: str) -> None:
        nasty = f'"><script>alert(1)</script>{title}<img src=x onerror=y>'
        customer = {"email": "a@b.example", "first_name": f"<a href=//evil>{name}"}
        items = [
            {"title": nasty, "quantity": 1, "image_url": f'https://cdn.example/"><script>{picture}'},
            {"title": "b", "image_url": f"javascript:{picture}"},
        ]
        subject, html, _ = texts(delivery(of=checkout(customer=customer, items=items)))
        outline = _Outline(html)
        assert outline.open == []
        assert "script" not in outline.names
        assert outline.links == [RECOVERY_URL, UNSUBSCRIBE_URL]
        assert all(source.startswith("https://cdn.example/") for source in outline.pictures)
        assert subject == " ".join(subject.split())

    @pytest.mark.parametrize(
        ("step", "settings", "outcome"),
        [
            ({"unsubscribe_url": None}, {}, Outcome.FAIL_MESSAGE),
            ({"unsubscribe_url": "mailto:x@y.example"}, {}, Outcome.FAIL_MESSAGE),
            ({"unsubscribe_url": "https://go.example/u/a\r\nBcc: x"}, {}, Outcome.FAIL_MESSAGE),
            ({"recovery_url": None}, {}, Outcome.FAIL_MESSAGE),
            ({}, {"template": {"subject": "{{ customer.nickname }}"}}, Outcome.FAIL_MESSAGE),
            ({}, {"template": {"html": "{{ customer.nickname }}"}}, Outcome.FAIL_MESSAGE),
            ({}, {"template": {"subject": "{% if false %}x{% endif %}"}}, Outcome.FAIL_MESSAGE),
            ({}, {"from": "nobody"}, Outcome.FAIL_CONFIG),
        ],
    )
    def test_what_cannot_be_a_mail_is_not_sent(self, step: Any, settings: Any, outcome: Outcome) -> None:
        with pytest.raises(Unsendable) as caught:
            destination.build(delivery(**step), endpoint(**settings))
        assert caught.value.outcome is outcome


@pytest.mark.parametrize(
    ("email", "sent_to"),
    [
        ("asha@example.com", "asha@example.com"),
        (" asha+cart@example.com ", "asha+cart@example.com"),
        ("asha@bücher.example", "asha@xn--bcher-kva.example"),
    ],
)
def test_addresses_as_ses_takes_them(email: str, sent_to: str) -> None:
    whole = built(delivery(of=checkout(customer={"email": email})))
    assert whole["Destination"] == {"ToAddresses": [sent_to]}


@pytest.mark.parametrize(
    "email",
    [
        None,
        "",
        "asha",
        "आशा@example.com",
        "a@b",
        "a b@example.com",
        "a@example.com, b@example.com",
        "a@-.com",
        "@x.com",
    ],
)
def test_what_is_no_address_gets_no_mail(email: str | None) -> None:
    with pytest.raises(Unsendable) as caught:
        destination.build(delivery(of=checkout(customer={"email": email})), endpoint())
    assert caught.value.outcome is Outcome.FAIL_RECIPIENT
    assert refusal_of(caught.value.reason) is (Refusal.INVALID_ADDRESS if email else None)


@given(st.text(max_size=80))
def test_one_address_at_most_comes_out_of_any_text(text: str) -> None:
    sent = delivery(of=checkout(customer={"email": text}))
    try:
        (address,) = built(sent)["Destination"]["ToAddresses"]
    except Unsendable:
        return
    assert address.isascii()
    assert address.count("@") == 1
    assert not set(address) & set(' ,;<>"\r\n')


ANSWERS = [
    (429, "TooManyRequestsException", "Too many requests", Outcome.RETRY, None),
    (400, "ThrottlingException", "Maximum sending rate exceeded.", Outcome.RETRY, None),
    (400, "LimitExceededException", "Daily message quota exceeded", Outcome.RETRY, None),
    (403, "ExpiredTokenException", "The security token included in the request is expired", Outcome.RETRY, None),
    (400, "AccountSuspendedException", "told", Outcome.FAIL_CONFIG, None),
    (400, "SendingPausedException", "told", Outcome.FAIL_CONFIG, None),
    (400, "MailFromDomainNotVerifiedException", "told", Outcome.FAIL_CONFIG, None),
    (404, "NotFoundException", "Configuration set <x> does not exist.", Outcome.FAIL_CONFIG, None),
    (403, "AccessDeniedException", "not authorized to perform `ses:SendEmail'", Outcome.FAIL_CONFIG, None),
    (403, "InvalidSignatureException", "told", Outcome.FAIL_CONFIG, None),
    (400, "MessageRejected", "Email address is not verified.", Outcome.FAIL_CONFIG, None),
    (400, "MessageRejected", "Message contains a virus", Outcome.FAIL_MESSAGE, None),
    (400, "BadRequestException", "Invalid header", Outcome.FAIL_MESSAGE, None),
    (400, "BadRequestException", "Illegal address", Outcome.FAIL_RECIPIENT, Refusal.INVALID_ADDRESS),
    (400, "BadRequestException", "Domain contains dot-dot", Outcome.FAIL_RECIPIENT, Refusal.INVALID_ADDRESS),
    (500, "InternalFailure", "told", Outcome.UNKNOWN, None),
    (503, "ThrottlingException", "told", Outcome.UNKNOWN, None),
    (403, "SomethingNew", "told", Outcome.FAIL_CONFIG, None),
]


@pytest.mark.parametrize("in_header", [True, False], ids=["header", "body"])
@pytest.mark.parametrize(("status", "code", "words", "outcome", "refusal"), ANSWERS)
def test_answers(
    status: int, code: str, words: str, outcome: Outcome, refusal: Refusal | None, in_header: bool, vendor: Vendor
) -> None:
    headers = {"x-amzn-errortype": f"{code}:http://internal.amazon.com/coral/com.amazonaws.ses/"} if in_header else {}
    body = {"message": words} | ({} if in_header else {"__type": f"com.amazonaws.ses#{code}"})
    attempt = vendor.send(delivery(), endpoint(vendor.url), answer(status, body, headers=headers))
    assert (attempt.outcome, refusal_of(attempt.reason)) == (outcome, refusal)
    assert attempt.vendor_message_id is None


def test_a_used_up_quota_waits_an_hour_and_a_rate_seconds(vendor: Vendor) -> None:
    waits = []
    for words in ("Daily message quota exceeded.", "Maximum sending rate exceeded."):
        body = {"__type": "ThrottlingException", "message": words}
        attempt = vendor.send(delivery(), endpoint(vendor.url), answer(400, body))
        assert attempt.retry_after is not None
        waits.append(attempt.retry_after - attempt.at)
    assert waits[0] >= timedelta(minutes=59)
    assert timedelta(seconds=4) < waits[1] < timedelta(minutes=1)


@pytest.mark.parametrize(
    "behaviour",
    [
        hangs_up,
        keeps_silent,
        hangs_up_inside(b'{"MessageI'),
        answer(200, "<html>"),
        answer(200, {}),
        answer(502, "<html>Bad gateway</html>"),
    ],
    ids=["hangs up", "silent", "broken off", "html", "empty", "502"],
)
def test_what_is_uncertain_is_not_repeated(behaviour: Any, vendor: Vendor) -> None:
    slow = Endpoint("ep_1", "ses", vendor.url, settings=SETTINGS, timeout=timedelta(seconds=0.3))
    assert vendor.send(delivery(), slow, behaviour).outcome is Outcome.UNKNOWN


def test_a_refused_connection_and_a_429_are_tried_again(vendor: Vendor) -> None:
    attempt = vendor.send(delivery(), endpoint(vendor.url), answer(429, "", headers={"retry-after": "120"}))
    assert attempt.outcome is Outcome.RETRY
    assert attempt.retry_after is not None
    assert attempt.retry_after - attempt.at >= timedelta(seconds=119)
    target = endpoint(vendor.url)
    vendor.receiver.stop()
    assert vendor.send(delivery(), target, answer(200, {})).outcome is Outcome.RETRY
    vendor.receiver.start()


def test_secrets_and_contacts_are_masked_in_what_is_kept(vendor: Vendor) -> None:
    echo = {"__type": "BadRequestException", "message": f"{SECRET} asha@example.com"}
    attempt = vendor.send(delivery(), endpoint(vendor.url, **OWN_KEYS), answer(400, echo))
    assert SECRET not in f"{attempt.reason}{attempt.response_body}"
    assert "asha@example.com" not in f"{attempt.reason}{attempt.response_body}"


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=80) | st.sampled_from([b'{"MessageId": 1}', b'{"MessageId": []}', b'{"__type": 3}', b"[]"]),
    named=st.sampled_from(sorted(ses._ERRORS)) | st.text(max_size=10),
)
def test_any_answer_has_an_outcome(status: int, body: bytes, named: str) -> None:
    result = SendResult(AT, AT, 1, sent=True, answer=Answer(status, {"x-amzn-errortype": named}, body))
    attempt = destination.classify(result, endpoint())
    assert (attempt.outcome is Outcome.DELIVERED) <= (200 <= status < 300)
    assert attempt.outcome is Outcome.DELIVERED or attempt.reason
    assert attempt.outcome is not Outcome.RETRY or status < 500


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"from": None}, "/settings/from"),
        ({"from": "a@x.example\r\nBcc: b@y.example"}, "/settings/from"),
        ({"reply_to": "nobody"}, "/settings/reply_to"),
        ({"access_key_id": "AKIAEXAMPLE123456789"}, "/settings/secret_access_key"),
        ({"secret_access_key": SECRET}, "/settings/access_key_id"),
        ({"region": "evil.example/"}, "/settings/region"),
        ({"brand_color": "red"}, "/settings/brand_color"),
        ({"template": "Subject"}, "/settings/template"),
        ({"template": {"name": "x"}}, "/settings/template/name"),
        ({"template": {"html": "{% if %}"}}, "/settings/template/html"),
        ({"template": {"subject": ""}}, "/settings/template/subject"),
    ],
)
def test_what_is_wrong_is_pointed_at(settings: dict[str, Any], pointer: str) -> None:
    assert [found for found, _ in destination.problems(endpoint(**settings))] == [pointer]


def test_a_complete_endpoint_has_no_problems_and_fits_its_schema() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(dict(destination.settings))
    settings: dict[str, Any] = {
        **SETTINGS,
        **OWN_KEYS,
        "template": {"subject": "Hi {{ first_name }}", "html": "<p>{{ total }}</p>", "language": "en_IN"},
        "brand_color": "#112233",
        "callback_token": "a-long-random-word",
    }
    assert destination.problems(endpoint(**settings)) == []
    assert list(Draft202012Validator(dict(destination.settings)).iter_errors(settings)) == []
    secret = {name for name, schema in destination.settings["properties"].items() if schema.get("writeOnly")}
    assert secret == {"secret_access_key", "callback_token"}


def test_headers_are_not_the_merchants_to_set() -> None:
    own = Endpoint("ep_1", "ses", "", headers={"x-a": "b"}, settings=SETTINGS)
    assert destination.problems(own) == [("/headers/x-a", "this kind takes no headers")]


def test_listing_the_kind_loads_no_aws() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from shared.destinations import registry; registry.destination('ses').settings;"
        "print({'botocore', 'liquid', 'babel'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout.strip() == "set()"


MAIL = {"messageId": MESSAGE_ID, "timestamp": "2026-11-21T10:00:00.000Z", "tags": {"delivery_id": ["dlv_01J"]}}


def test_the_stages_own_ses_sends_from_the_stages_region_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "ap-south-1")
    assert destination.problems(endpoint(region="ap-south-1")) == []
    assert destination.problems(endpoint(**OWN_KEYS | {"region": "eu-west-1"})) == []
    ((pointer, _),) = destination.problems(endpoint(region="eu-west-1"))
    assert pointer == "/settings/region"


def event(kind: str, part: str, **told: Any) -> dict[str, Any]:
    return {"eventType": kind, "mail": MAIL, part: {"timestamp": "2026-11-21T10:00:05.123Z", **told}}


def request_of(body: object) -> CallbackRequest:
    return CallbackRequest("POST", "https://x.example/", {}, {"token": "a-long-random-word"}, json.dumps(body).encode())


EVENTS = [
    (event("Send", "send"), Status.SENT, None),
    (event("Delivery", "delivery"), Status.DELIVERED, None),
    (event("Open", "open"), Status.READ, None),
    (event("Click", "click", link="https://go.example/"), Status.CLICKED, None),
    (event("Bounce", "bounce", bounceType="Permanent", bounceSubType="General"), Status.FAILED, Refusal.HARD_BOUNCE),
    (event("Bounce", "bounce", bounceType="Transient", bounceSubType="Full"), Status.FAILED, Refusal.THIS_MESSAGE),
    (event("Complaint", "complaint", complaintFeedbackType="abuse"), Status.OPTED_OUT, Refusal.COMPLAINT),
    (event("Reject", "reject", reason="Bad content"), Status.FAILED, None),
    (event("Rendering Failure", "failure", errorMessage="attribute missing"), Status.FAILED, None),
]


@pytest.mark.parametrize(("body", "status", "refusal"), EVENTS)
def test_events(body: dict[str, Any], status: Status, refusal: Refusal | None) -> None:
    for wrapped in (
        body,
        {"Type": "Notification", "Message": json.dumps(body)},
        {"detail-type": "Email Event", "source": "aws.ses", "detail": body},
    ):
        (report,) = statuses.read_statuses(request_of(wrapped))
        at = datetime(2026, 11, 21, 10, 0, 5, 123000, tzinfo=UTC)
        assert report == StatusReport(status, MESSAGE_ID, at, report.reason, None, "dlv_01J")
        assert refusal_of(report.reason) == refusal
        assert (report.reason is not None) == (status in {Status.FAILED, Status.OPTED_OUT})


def test_a_bounce_tells_why_without_the_address() -> None:
    row = {"emailAddress": "asha@example.com", "diagnosticCode": "smtp; 550 5.1.1 <asha@example.com> user unknown"}
    body = event("Bounce", "bounce", bounceType="Permanent", bounceSubType="General", bouncedRecipients=[row])
    (report,) = statuses.read_statuses(request_of(body))
    assert "user unknown" in (report.reason or "")
    assert "asha@example.com" not in (report.reason or "")


@pytest.mark.parametrize("body", [event("DeliveryDelay", "deliveryDelay"), {}, [], {"Message": "x"}, {"mail": 1}])
def test_other_events_are_no_report(body: object) -> None:
    assert statuses.read_statuses(request_of(body)) == []


def test_events_are_proved_by_our_token() -> None:
    source = registry.statuses("ses")
    assert source is not None
    source.authenticate(request_of({}), endpoint(callback_token="a-long-random-word"))
    assert source.challenge(request_of({}), endpoint()) is None
    for other in (endpoint(callback_token="another-random-word"), endpoint()):
        with pytest.raises(NotAuthentic):
            source.authenticate(request_of({}), other)


@given(st.binary(max_size=80) | st.sampled_from([json.dumps(body).encode() for body, *_ in EVENTS]))
def test_reading_is_total(body: bytes) -> None:
    statuses.read_statuses(CallbackRequest("POST", "https://x.example/", {}, {}, body))
