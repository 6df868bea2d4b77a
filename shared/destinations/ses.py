"""Kind ``ses``: e-mail through Amazon SES v2, one shopper a call.

Mails are rendered here and sent as ``Content.Simple``: with a template of SES, missing data would only show in a later
event. The request is signed by botocore and goes out through the guarded client as any other. Every mail carries the
headers of RFC 8058 (one-click unsubscribe), which Gmail and Yahoo ask of senders of marketing mail.

Who sends: the merchant's own AWS account where the endpoint has its keys; else the function's role, which needs
``ses:SendEmail``; with ``STAGE_MAIL=off`` in the environment nobody else. With ``SES_TENANT_PREFIX``, mails of the role
go out as the SES tenant of that prefix and the merchant's id: SES then refuses an identity that is not that merchant's.
What becomes of them is told by the stage's own ``SES_CONFIGURATION_SET``, and by no other of its account.

Sources: botocore's model ``sesv2`` (``SendEmail``), docs.aws.amazon.com/ses "Contents of event data" (events),
RFC 8058. There is no idempotency key, so an attempt without a usable answer is never repeated.
"""

import json
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from email.utils import formataddr, parseaddr
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from shared.delivery.exchange import Answer, OutboundRequest, RefusedDestination, SendResult
from shared.delivery.outcome import Attempt, Outcome, Refusal
from shared.delivery.target import parse_target
from shared.destinations import email_layout
from shared.destinations.aws_request import role, signed
from shared.destinations.destination import Delivery, Endpoint, Unsendable
from shared.destinations.message import LONGEST_ITEMS_LINE, checkout_of, locale_of, variables
from shared.destinations.one_line import clean
from shared.destinations.ses_events import SesStatuses
from shared.destinations.status import CALLBACK_TOKEN
from shared.destinations.vendor_answer import (
    Verdict,
    attempt_of,
    by_status,
    detail_of,
    mapping,
    text_of,
)

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

PATH: Final = "/v2/email/outbound-emails"
MAX_ADDRESS: Final = 254
MAX_HEADER_VALUE: Final = 995

_LOCAL_PART: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_REGION: Final = re.compile(r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]")
_COLOUR: Final = re.compile(r"#[0-9A-Fa-f]{6}")
_SES_HOST: Final = re.compile(rf"email(?:-fips)?\.{_REGION.pattern}\.(?:amazonaws\.com(?:\.cn)?|api\.aws)")
_AWS_DOMAINS: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".on.aws", ".aws.dev")

_HTTPS: Final = 443
_JSON: Final = {"content-type": "application/json"}
_CONFIG = Outcome.FAIL_CONFIG
# The daily quota counts a moving 24 hours: it frees itself bit by bit.
_QUOTA_WAIT: Final = timedelta(hours=1)
_ERRORS: Final[Mapping[str, Verdict]] = {
    "TooManyRequestsException": Verdict(Outcome.RETRY, wait=timedelta(seconds=5)),
    "ThrottlingException": Verdict(Outcome.RETRY, wait=timedelta(seconds=5)),
    "Throttling": Verdict(Outcome.RETRY, wait=timedelta(seconds=5)),
    "LimitExceededException": Verdict(Outcome.RETRY, wait=_QUOTA_WAIT),
    # Refused before anything was read: the role's credentials or the clock will be right at the next attempt.
    "ExpiredTokenException": Verdict(Outcome.RETRY),
    "ExpiredToken": Verdict(Outcome.RETRY),
    "RequestExpired": Verdict(Outcome.RETRY),
    "RequestTimeTooSkewed": Verdict(Outcome.RETRY),
    "AccountSuspendedException": Verdict(_CONFIG),
    "SendingPausedException": Verdict(_CONFIG),
    "MailFromDomainNotVerifiedException": Verdict(_CONFIG),
    "NotFoundException": Verdict(_CONFIG),
    "AccessDeniedException": Verdict(_CONFIG),
    "AccessDenied": Verdict(_CONFIG),
    "UnrecognizedClientException": Verdict(_CONFIG),
    "InvalidClientTokenId": Verdict(_CONFIG),
    "InvalidSignatureException": Verdict(_CONFIG),
    "SignatureDoesNotMatch": Verdict(_CONFIG),
    "IncompleteSignature": Verdict(_CONFIG),
    "MissingAuthenticationTokenException": Verdict(_CONFIG),
    "OptInRequired": Verdict(_CONFIG),
    "MessageRejected": Verdict(Outcome.FAIL_MESSAGE),
    "BadRequestException": Verdict(Outcome.FAIL_MESSAGE),
    "ValidationException": Verdict(Outcome.FAIL_MESSAGE),
}
_QUOTA: Final = re.compile(r"daily (?:message|sending) quota", re.IGNORECASE)
_UNVERIFIED: Final = re.compile(r"not verified|sandbox", re.IGNORECASE)
_ILLEGAL: Final = re.compile(
    r"illegal address|missing final|(?:local|domain) (?:address |name )?contains|invalid domain", re.IGNORECASE
)


class SesDestination:
    """E-mail through Amazon SES."""

    kind: Final = "ses"
    channel: Final = "email"
    title: Final = "E-mail through Amazon SES"
    settings: Final[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "from": {
                "type": "string",
                "minLength": 6,
                "maxLength": 320,
                "description": "A verified sender: an address, or `Shop <address>`.",
            },
            "reply_to": {"type": "string", "minLength": 6, "maxLength": MAX_ADDRESS},
            "template": email_layout.schema(),
            "brand_color": {"type": "string", "pattern": "^#[0-9A-Fa-f]{6}$", "default": email_layout.DEFAULT_COLOUR},
            "logo_url": {"type": "string", "pattern": "^https://", "maxLength": 2000},
            "postal_address": {"type": "string", "minLength": 5, "maxLength": 300, "description": "Shown at the end."},
            "configuration_set": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
            "region": {"type": "string", "pattern": f"^{_REGION.pattern}$", "description": "By default the stage's."},
            "access_key_id": {
                "type": "string",
                "pattern": "^[A-Z0-9]{16,128}$",
                "description": "Of your own AWS account; without it the stage's account sends.",
            },
            "secret_access_key": {"type": "string", "writeOnly": True, "minLength": 16, "maxLength": 128},
            "callback_token": CALLBACK_TOKEN,
            "base_url": {
                "type": "string",
                "format": "uri",
                "description": "Another endpoint of SES; any other host only with your own keys.",
            },
        },
        "required": ["from"],
        "additionalProperties": False,
    }

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """A sender that is none, half a pair of keys, a template that cannot be filled."""
        given = endpoint.settings
        found = [(f"/headers/{name}", "this kind takes no headers") for name in endpoint.headers]
        if _mailbox(given.get("from")) is None:
            found.append(("/settings/from", "an ASCII address, or a name and an address in angle brackets"))
        if given.get("reply_to") is not None and _mailbox(given["reply_to"]) is None:
            found.append(("/settings/reply_to", "an ASCII address"))
        for one, other in (("access_key_id", "secret_access_key"), ("secret_access_key", "access_key_id")):
            if given.get(one) and not given.get(other):
                found.append((f"/settings/{other}", f"required together with {one}"))
        if not given.get("access_key_id") and _stage_sends_none():
            found.append(("/settings/access_key_id", "this stage sends no mail itself: keys of your own AWS account"))
        if given.get("region") is not None and not _REGION.fullmatch(str(given["region"])):
            found.append(("/settings/region", "an AWS Region like ap-south-1"))
        elif given.get("region") not in {None, os.environ.get("AWS_REGION")} and not given.get("access_key_id"):
            found.append(("/settings/region", "the stage's own SES sends from the stage's Region; another needs keys"))
        if given.get("configuration_set") and not given.get("access_key_id") and _stages_configuration_set():
            found.append(("/settings/configuration_set", "the stage's mail has the stage's own; another needs keys"))
        if given.get("brand_color") is not None and not _COLOUR.fullmatch(str(given["brand_color"])):
            found.append(("/settings/brand_color", "a colour like #1f6feb"))
        wrong = _base_problem(endpoint)
        if wrong is not None:
            found.append(("/settings/base_url", wrong))
        return found + email_layout.problems(given.get("template"))

    def build(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest:
        """One mail, signed now. Raises Unsendable."""
        sender = _mailbox(endpoint.settings.get("from"))
        if sender is None:
            raise Unsendable(Outcome.FAIL_CONFIG, "the endpoint has no usable sender")
        body = _body(delivery, endpoint, sender)
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        region = str(endpoint.settings.get("region") or os.environ.get("AWS_REGION") or "us-east-1")
        url = _base(endpoint, region) + PATH
        return OutboundRequest(
            url=url,
            body=content,
            headers=signed(url, content, _JSON, service="ses", region=region, by=_credentials(endpoint)),
            timeout=endpoint.timeout,
        )

    def classify(self, result: SendResult, endpoint: Endpoint) -> Attempt:
        """By SES's error code, whatever the HTTP status; the text tells quota and sandbox apart."""
        secret = endpoint.settings.get("secret_access_key")
        return attempt_of(result, endpoint, _judge, repeatable=False, secrets=[str(secret)] if secret else ())


destination = SesDestination()
statuses = SesStatuses()


def _body(delivery: Delivery, endpoint: Endpoint, sender: tuple[str, str]) -> dict[str, Any]:
    """``SendEmail``'s request."""
    recipient = _recipient(delivery)
    mail, unsubscribe_url = _mail(delivery, endpoint, sender)
    headers = {
        "List-Unsubscribe": f"<{unsubscribe_url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    body: dict[str, Any] = {
        "FromEmailAddress": formataddr(sender),
        "Destination": {"ToAddresses": [recipient]},
        "Content": {
            "Simple": {
                "Subject": _text(mail.subject),
                "Body": {"Text": _text(mail.text), "Html": _text(mail.html)},
                "Headers": [{"Name": name, "Value": value} for name, value in headers.items()],
            }
        },
        "EmailTags": [{"Name": "delivery_id", "Value": delivery.id}],
    }
    reply_to = _mailbox(endpoint.settings.get("reply_to"))
    if reply_to is not None:
        body["ReplyToAddresses"] = [formataddr(reply_to)]
    by_the_stage = not endpoint.settings.get("access_key_id")
    # A set that the merchant named would be one of the stage's account, and keep bounces from us.
    told_by = (by_the_stage and _stages_configuration_set()) or endpoint.settings.get("configuration_set")
    if told_by:
        body["ConfigurationSetName"] = str(told_by)
    prefix = os.environ.get("SES_TENANT_PREFIX")
    if by_the_stage and prefix:
        body["TenantName"] = prefix + _merchant_id(delivery)
    return body


def _mail(delivery: Delivery, endpoint: Endpoint, sender: tuple[str, str]) -> tuple[email_layout.Mail, str]:
    given: Any = (delivery.step or {}).get("template") or endpoint.settings.get("template") or {}
    # A bare text where other kinds name their template is the subject here.
    template = {"subject": given} if isinstance(given, str) else mapping(given)
    names = variables(delivery)
    unsubscribe_url = str(names.get("unsubscribe_url") or "")
    header_fits = (
        unsubscribe_url.isascii() and unsubscribe_url.isprintable() and len(unsubscribe_url) < MAX_HEADER_VALUE
    )
    if not unsubscribe_url.startswith(("https://", "http://")) or not header_fits or " " in unsubscribe_url:
        raise Unsendable(Outcome.FAIL_MESSAGE, "there is no unsubscribe link, without which no mail goes out")
    if not names.get("recovery_url") and not template.get("html"):
        raise Unsendable(Outcome.FAIL_MESSAGE, "the checkout has no link to return by")
    name, address = sender
    shop = name or str(mapping(names.get("merchant")).get("name") or address.rpartition("@")[2])
    look = {
        field: str(endpoint.settings[field]) for field in ("logo_url", "postal_address") if endpoint.settings.get(field)
    }
    if _COLOUR.fullmatch(str(endpoint.settings.get("brand_color"))):
        look["brand_color"] = str(endpoint.settings["brand_color"])
    language = str(template.get("language") or "en")
    written = {**names, "items": [_listed(own) for own in names["items"]], "shop": shop}
    mail = email_layout.mail_of(template, written, look, locale_of(delivery, language))
    return mail, unsubscribe_url


def _listed(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as a mail lists it: its titles in one clean line each, of a length that leaves room for others."""
    titles = {name: item[name] for name in ("title", "variant_title") if isinstance(item.get(name), str)}
    return {**item, **{name: clean(title, LONGEST_ITEMS_LINE) for name, title in titles.items()}}


def _recipient(delivery: Delivery) -> str:
    customer = mapping(checkout_of(delivery).get("customer"))
    given = customer.get("email")
    if not isinstance(given, str) or not given.strip():
        raise Unsendable(Outcome.FAIL_RECIPIENT, "no_contact: the checkout has no e-mail address")
    address = _address(given)
    if address is None:
        reason = Refusal.INVALID_ADDRESS.because("not an address that SES can send to")
        raise Unsendable(Outcome.FAIL_RECIPIENT, reason)
    return address


def _merchant_id(delivery: Delivery) -> str:
    merchant_id = delivery.facts.get("merchant_id")
    if not isinstance(merchant_id, str) or not merchant_id:
        raise Unsendable(Outcome.FAIL_CONFIG, "the merchant, whose SES tenant is to send, is not known")
    return merchant_id


def _mailbox(given: object) -> tuple[str, str] | None:
    """Name (maybe empty) and address of a sender, None when it is none."""
    if not isinstance(given, str) or not given.isprintable():
        return None
    name, written = parseaddr(given)
    address = _address(written)
    return None if address is None else (name.strip()[:64], address)


def _address(given: str) -> str | None:
    """The address as SES takes it: an ASCII local part, the domain in its ASCII form; None when it has none."""
    local, at, domain = given.strip().rpartition("@")
    if not domain.isascii():
        import idna

        try:
            domain = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError:
            return None
    if not at or not _LOCAL_PART.fullmatch(local) or not _DOMAIN.fullmatch(domain.lower()):
        return None
    address = f"{local}@{domain}"
    return address if len(address) <= MAX_ADDRESS and len(local) <= 64 else None


def _text(data: str) -> dict[str, str]:
    return {"Data": data, "Charset": "UTF-8"}


def _base(endpoint: Endpoint, region: str) -> str:
    """Where SES is: the endpoint's own address, the environment's (the local engine's), or the Region's."""
    own = _own_base(endpoint)
    wrong = _base_problem(endpoint)
    if wrong is not None:
        raise Unsendable(Outcome.FAIL_CONFIG, f"base_url: {wrong}")
    ours = os.environ.get("AWS_ENDPOINT_URL_SESV2") or os.environ.get("AWS_ENDPOINT_URL")
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return (own or ours or f"https://email.{region}.{suffix}").rstrip("/")


def _own_base(endpoint: Endpoint) -> str:
    return endpoint.url or str(endpoint.settings.get("base_url") or "")


def _base_problem(endpoint: Endpoint) -> str | None:
    """Why requests may not go to the endpoint's own address, None when they may.

    A signature opens whatever it is sent to: the host is SES's own in one Region, and the path is ours alone, or a
    bucket named ``email`` or another operation of SES would do as well. Keys of the merchant's own may go to a
    stand-in outside AWS. Loopback passes here and nowhere else: the guarded client dials it on the local stage alone.
    """
    url = _own_base(endpoint)
    if not url:
        return None
    try:
        target = parse_target(url, allow_loopback=True)
    except RefusedDestination as refused:
        return refused.reason
    if urlsplit(url).path not in {"", "/"} or "?" in url:
        return "a host alone: no path and no query"
    if target.loopback or (_SES_HOST.fullmatch(target.host) and target.port == _HTTPS):
        return None
    if target.host.endswith(_AWS_DOMAINS):
        return "not a host of SES"
    if not endpoint.settings.get("access_key_id"):
        return "another host than SES needs access_key_id and secret_access_key"
    return None


def _credentials(endpoint: Endpoint) -> "ReadOnlyCredentials":
    from botocore.credentials import ReadOnlyCredentials

    key_id, secret = endpoint.settings.get("access_key_id"), endpoint.settings.get("secret_access_key")
    if key_id:
        return ReadOnlyCredentials(str(key_id), str(secret or ""), None)
    own = None if _stage_sends_none() else role()
    if own is None:
        raise Unsendable(Outcome.FAIL_CONFIG, "there are no AWS credentials to send with")
    return own.get_frozen_credentials()


def _stage_sends_none() -> bool:
    return os.environ.get("STAGE_MAIL") == "off"


def _stages_configuration_set() -> str | None:
    return os.environ.get("SES_CONFIGURATION_SET")


def _judge(answer: Answer, body: Mapping[str, Any] | None) -> Verdict:
    told = body or {}
    if 200 <= answer.status_code < 300:
        message_id = text_of(told.get("MessageId"))
        if message_id is None:
            return Verdict(Outcome.UNKNOWN, f"HTTP {answer.status_code}, but no MessageId")
        return Verdict(Outcome.DELIVERED, None, message_id)
    # ``MessageRejected:http://internal...`` in the header, ``com.amazonaws...#MessageRejected`` in the body.
    named = answer.headers.get("x-amzn-errortype") or text_of(told.get("__type")) or text_of(told.get("code")) or ""
    code = named.partition(":")[0].rpartition("#")[2].strip()
    detail = detail_of(told.get("message")) or detail_of(told.get("Message"))
    known = _ERRORS.get(code)
    if known is None or answer.status_code >= 500:
        return by_status(answer, detail or code or None)
    reason = f"SES {code}" + (f": {detail}" if detail else "")
    words = detail or ""
    if known.outcome is Outcome.RETRY and _QUOTA.search(words):
        return Verdict(Outcome.RETRY, reason, wait=_QUOTA_WAIT)
    if known.outcome is Outcome.FAIL_MESSAGE and _UNVERIFIED.search(words):
        return Verdict(Outcome.FAIL_CONFIG, reason)
    if code == "BadRequestException" and _ILLEGAL.search(words):
        return Verdict(Outcome.FAIL_RECIPIENT, Refusal.INVALID_ADDRESS.because(reason))
    return Verdict(known.outcome, reason, wait=known.wait)
