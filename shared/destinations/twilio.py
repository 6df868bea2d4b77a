"""Kind ``twilio``: an approved WhatsApp template (Content SID) through Twilio's Programmable Messaging.

Sources: twilio.com/docs, "Messages resource", "Send templates created with the Content Template Builder", the error
dictionary (docs/api/errors), "Secure webhooks" (signature); github.com/twilio/twilio-oai. Twilio says of 20500 that a
repeated POST may send twice, so an attempt without a usable answer is never repeated.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from shared.delivery.exchange import Answer, OutboundRequest, SendResult
from shared.delivery.outcome import Attempt, Outcome, Refusal
from shared.destinations.destination import Delivery, Endpoint, Unsendable
from shared.destinations.message import phone_of
from shared.destinations.status import (
    CallbackRequest,
    NotAuthentic,
    Status,
    StatusReport,
    e164,
    own_delivery,
    reply,
)
from shared.destinations.vendor_answer import (
    Verdict,
    address,
    attempt_of,
    by_status,
    detail_of,
    form_request,
    mapping,
    text_of,
    token_problems,
)
from shared.destinations.webhook import header_problems
from shared.destinations.whatsapp import message_of
from shared.destinations.whatsapp_errors import Meaning, code_of
from shared.destinations.whatsapp_template import Shape

VENDOR: Final = "https://api.twilio.com"
SHAPE: Final = Shape(name="content_sid", body="either", headers=(), buttons=(), language=False)
DEFAULT_VALIDITY: Final = 900

_ACCOUNT_SID: Final = re.compile(r"AC[0-9a-fA-F]{32}")
_KEY_SID: Final = re.compile(r"SK[0-9a-fA-F]{32}")
_SERVICE_SID: Final = re.compile(r"MG[0-9a-fA-F]{32}")
_CONTENT_SID: Final = re.compile(r"HX[0-9a-fA-F]{32}")

_CONFIG = Outcome.FAIL_CONFIG
_MESSAGE = Outcome.FAIL_MESSAGE
_PERSON = Outcome.FAIL_RECIPIENT
_RETRY = Outcome.RETRY
_UNKNOWN = Outcome.UNKNOWN
_CODES: Final[dict[int, Meaning]] = {
    14107: Meaning(_RETRY, "rate limit of the account", wait=timedelta(minutes=1)),
    20003: Meaning(_CONFIG, "the credentials are refused"),
    20404: Meaning(_CONFIG, "no such account or service"),
    20429: Meaning(_RETRY, "too many requests", wait=timedelta(seconds=10)),
    20500: Meaning(_UNKNOWN, "internal error"),
    21211: Meaning(_PERSON, "not a valid number", Refusal.INVALID_ADDRESS),
    21212: Meaning(_CONFIG, "the sending number is not valid"),
    21408: Meaning(_PERSON, "the account may not message this region", Refusal.REGION_BLOCKED),
    21603: Meaning(_CONFIG, "no sender given"),
    21606: Meaning(_CONFIG, "the sending number is not the account's"),
    21610: Meaning(_PERSON, "the recipient has unsubscribed", Refusal.OPTED_OUT),
    21614: Meaning(_PERSON, "not a mobile number", Refusal.INVALID_ADDRESS),
    21617: Meaning(_MESSAGE, "the message is too long"),
    21654: Meaning(_CONFIG, "the content SID is missing"),
    21655: Meaning(_CONFIG, "the content SID is not valid"),
    21656: Meaning(_MESSAGE, "the content variables are not valid"),
    21701: Meaning(_CONFIG, "no such messaging service"),
    21703: Meaning(_CONFIG, "the messaging service has no sender"),
    30001: Meaning(_RETRY, "the queue is full", wait=timedelta(minutes=5)),
    63003: Meaning(_PERSON, "the recipient cannot be reached on WhatsApp", Refusal.NOT_ON_CHANNEL),
    63005: Meaning(_MESSAGE, "WhatsApp did not take the content for this recipient"),
    63007: Meaning(_CONFIG, "no WhatsApp sender with this number"),
    63010: Meaning(_UNKNOWN, "internal error of the channel"),
    63012: Meaning(_UNKNOWN, "internal error of WhatsApp"),
    63013: Meaning(_MESSAGE, "the message violates a policy of the channel"),
    63014: Meaning(_PERSON, "the recipient blocked or opted out", Refusal.OPTED_OUT),
    63015: Meaning(_CONFIG, "the recipient has not joined the sandbox"),
    63016: Meaning(_CONFIG, "not an approved template, and outside the 24 hours"),
    63017: Meaning(_RETRY, "rate limit of the account", wait=timedelta(minutes=1)),
    63018: Meaning(_RETRY, "rate or messaging limit of the sender", wait=timedelta(days=1)),
    63019: Meaning(_MESSAGE, "the media could not be downloaded"),
    63020: Meaning(_CONFIG, "the WhatsApp account is not in order"),
    63021: Meaning(_MESSAGE, "the content is not valid or too long"),
    63022: Meaning(_CONFIG, "the sender's registration is not valid"),
    63024: Meaning(_PERSON, "not a valid recipient", Refusal.NOT_ON_CHANNEL),
    63027: Meaning(_CONFIG, "the template does not exist in this language"),
    63028: Meaning(_CONFIG, "number of variables differs from the template's"),
    63029: Meaning(_CONFIG, "the template was not found"),
    63030: Meaning(_MESSAGE, "a parameter is not supported"),
    63032: Meaning(_PERSON, "recipient in a marketing experiment", Refusal.THIS_MESSAGE),
    63033: Meaning(_PERSON, "the recipient is blocked", Refusal.THIS_MESSAGE),
    63040: Meaning(_CONFIG, "the template was rejected"),
    63041: Meaning(_CONFIG, "the template is paused"),
    63042: Meaning(_CONFIG, "the template is disabled"),
    63049: Meaning(_PERSON, "marketing cap of this user", Refusal.FREQUENCY_CAP),
    63062: Meaning(_CONFIG, "the terms of the marketing messages API are not accepted"),
    63119: Meaning(_RETRY, "rate limit of Meta", wait=timedelta(minutes=5)),
}
_NOT_ON_WHATSAPP: Final = re.compile(r"not a (?:valid )?whatsapp user|not (?:registered )?on whatsapp", re.IGNORECASE)
_REPORTED: Final = {
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "read": Status.READ,
    "failed": Status.FAILED,
    "undelivered": Status.FAILED,
}


class TwilioDestination:
    """WhatsApp templates through Twilio."""

    kind: Final = "twilio"
    channel: Final = "whatsapp"
    title: Final = "WhatsApp templates through Twilio"
    settings: Final[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "bearer_token": {
                "type": "string",
                "writeOnly": True,
                "description": "The API key's secret, or the account's auth token where `api_key_sid` is absent.",
            },
            "account_sid": {"type": "string", "pattern": f"^{_ACCOUNT_SID.pattern}$"},
            "api_key_sid": {"type": "string", "pattern": f"^{_KEY_SID.pattern}$"},
            "auth_token": {
                "type": "string",
                "writeOnly": True,
                "minLength": 16,
                "description": "The account's auth token, which signs status callbacks; needed beside an API key.",
            },
            "from": {"type": "string", "pattern": "^\\+[1-9][0-9]{6,14}$", "description": "The WhatsApp sender."},
            "messaging_service_sid": {"type": "string", "pattern": f"^{_SERVICE_SID.pattern}$"},
            "template": SHAPE.schema(),
            "status_callback": {
                "type": "string",
                "pattern": "^https://",
                "maxLength": 1000,
                "description": "This endpoint's own /callbacks URL, to be told what became of each message.",
            },
            "validity_seconds": {
                "type": "integer",
                "minimum": 1,
                "maximum": 14400,
                "default": DEFAULT_VALIDITY,
                "description": "For how long Twilio may keep a message in its queue.",
            },
            "base_url": {"type": "string", "format": "uri", "default": VENDOR},
        },
        "required": ["bearer_token", "account_sid"],
        "additionalProperties": False,
    }

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """A credential or sender that is missing, a template that cannot be filled."""
        given = endpoint.settings
        found = token_problems(endpoint, "the API key's secret or the auth token")
        found += header_problems(endpoint.headers, token_set=True)
        if not _ACCOUNT_SID.fullmatch(str(given.get("account_sid") or "")):
            found.append(("/settings/account_sid", "the account's SID: AC and 32 hex digits"))
        if given.get("api_key_sid") is not None and not _KEY_SID.fullmatch(str(given["api_key_sid"])):
            found.append(("/settings/api_key_sid", "an API key's SID: SK and 32 hex digits"))
        if not given.get("from") and not given.get("messaging_service_sid"):
            found.append(("/settings/from", "the WhatsApp sender's number, or messaging_service_sid"))
        template = given.get("template")
        sid = template if isinstance(template, str) else mapping(template).get("content_sid")
        if sid is not None and not _CONTENT_SID.fullmatch(str(sid)):
            found.append(("/settings/template/content_sid", "a content SID: HX and 32 hex digits"))
        return found + SHAPE.problems(endpoint)

    def build(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest:
        """One template message as a form. Raises Unsendable."""
        given = endpoint.settings
        message = message_of(delivery, endpoint, SHAPE)
        form = {"To": f"whatsapp:{phone_of(delivery)}", **_sender(given), "ContentSid": message.name}
        if message.body:
            values = {name or str(place): value for place, (name, value) in enumerate(message.body, start=1)}
            form["ContentVariables"] = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        if given.get("status_callback"):
            callback = str(given["status_callback"])
            form["StatusCallback"] = f"{callback}{'&' if '?' in callback else '?'}delivery={delivery.id}"
        form["ValidityPeriod"] = str(int(given.get("validity_seconds") or DEFAULT_VALIDITY))
        path = f"/2010-04-01/Accounts/{given.get('account_sid')}/Messages.json"
        return form_request(address(endpoint, VENDOR, path), form, endpoint, {"authorization": _basic(endpoint)})

    def classify(self, result: SendResult, endpoint: Endpoint) -> Attempt:
        """By Twilio's error code where there is one, else by HTTP status."""
        hidden = [_basic(endpoint).removeprefix("Basic "), *_tokens(endpoint)]
        return attempt_of(result, endpoint, _judge, repeatable=False, secrets=hidden)


class TwilioStatuses:
    """Twilio's status callbacks, and shoppers' answers where its incoming webhook points here too."""

    def challenge(self, request: CallbackRequest, endpoint: Endpoint) -> str | None:  # noqa: ARG002  the Protocol's
        """None: Twilio sets up without a challenge."""
        return None

    def authenticate(self, request: CallbackRequest, endpoint: Endpoint) -> None:
        """``X-Twilio-Signature``: base64 HMAC-SHA1 of the URL and the sorted form, by the account's auth token."""
        sent = request.headers.get("x-twilio-signature", "").encode()
        tokens = _tokens(endpoint)
        if not tokens:
            raise NotAuthentic("the endpoint has no auth token for status callbacks")
        form = sorted(set(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)))
        signed = "".join(name + value for name, value in form)
        expected = [_signature(token, url + signed) for token in tokens for url in _spellings(request.url)]
        if not any(hmac.compare_digest(sent, candidate) for candidate in expected):
            raise NotAuthentic("x-twilio-signature is missing or wrong")

    def read_statuses(self, request: CallbackRequest) -> list[StatusReport]:
        """The report of the form, or none. Twilio tells no times."""
        form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
        status = (form.get("MessageStatus") or form.get("SmsStatus") or "").lower()
        if status == "received":
            phone = e164(form.get("From", "").removeprefix("whatsapp:"))
            return _answered(phone, form)
        reported = _REPORTED.get(status)
        if reported is None:
            return []
        return [
            StatusReport(
                status=reported,
                vendor_message_id=text_of(form.get("MessageSid") or form.get("SmsSid")),
                reason=_failure(form) if reported is Status.FAILED else None,
                recipient_phone=e164(form.get("To", "").removeprefix("whatsapp:")),
                delivery_id=own_delivery(request.query.get("delivery")),
            )
        ]


destination = TwilioDestination()
statuses = TwilioStatuses()


def _sender(given: Mapping[str, Any]) -> dict[str, str]:
    if given.get("messaging_service_sid"):
        return {"MessagingServiceSid": str(given["messaging_service_sid"])}
    if given.get("from"):
        return {"From": f"whatsapp:{str(given['from']).removeprefix('whatsapp:')}"}
    raise Unsendable(Outcome.FAIL_CONFIG, "the endpoint names neither a sender nor a messaging service")


def _basic(endpoint: Endpoint) -> str:
    user = endpoint.settings.get("api_key_sid") or endpoint.settings.get("account_sid")
    return "Basic " + base64.b64encode(f"{user}:{endpoint.bearer_token or ''}".encode()).decode()


def _tokens(endpoint: Endpoint) -> list[str]:
    """The auth tokens that callbacks may be signed with; an API key's secret signs none."""
    own = endpoint.settings.get("auth_token")
    if isinstance(own, str) and own:
        return [own]
    return [endpoint.bearer_token] if endpoint.bearer_token and not endpoint.settings.get("api_key_sid") else []


def _signature(token: str, signed: str) -> bytes:
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest())


def _spellings(url: str) -> Iterable[str]:
    """The URL as it is, and with or without its standard port: Twilio's products differ in what they sign."""
    yield url
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    host = parts.netloc.rpartition("@")[2]
    port = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    if port and host:
        other = host.removesuffix(port) if host.endswith(port) else host + port
        yield url.replace(host, other, 1)


def _judge(answer: Answer, body: Mapping[str, Any] | None) -> Verdict:
    told = body or {}
    code = code_of(told.get("code")) or code_of(told.get("error_code"))
    detail = detail_of(told.get("message")) or detail_of(told.get("error_message"))
    meaning = None if code is None else _CODES.get(code)
    if code is not None and meaning is not None:
        return Verdict(*_said(code, meaning, detail), wait=meaning.wait)
    if not 200 <= answer.status_code < 300 or body is None:
        return by_status(answer, detail if code is None else f"Twilio {code}, {detail or 'unknown'}")
    if str(told.get("status")) in {"failed", "undelivered", "canceled"}:
        return Verdict(Outcome.FAIL_MESSAGE, detail or f"Twilio says {told['status']}")
    message_id = text_of(told.get("sid"))
    if message_id is None:
        return Verdict(Outcome.UNKNOWN, f"HTTP {answer.status_code}, but no message SID")
    return Verdict(Outcome.DELIVERED, None, message_id)


def _said(code: int, meaning: Meaning, detail: str | None) -> tuple[Outcome, str]:
    told = f"Twilio {code}, {meaning.words}" + (f": {detail}" if detail else "")
    if code == 63005 and _NOT_ON_WHATSAPP.search(detail or ""):
        # One code for two faults; only the words tell which.
        return Outcome.FAIL_RECIPIENT, Refusal.NOT_ON_CHANNEL.because(told)
    return meaning.outcome, told if meaning.refusal is None else meaning.refusal.because(told)


def _failure(form: Mapping[str, str]) -> str:
    code = code_of(form.get("ErrorCode"))
    detail = detail_of(form.get("ChannelStatusMessage")) or detail_of(form.get("ErrorMessage"))
    meaning = None if code is None else _CODES.get(code)
    if code is not None and meaning is not None:
        return _said(code, meaning, detail)[1]
    return f"Twilio {code}: {detail or 'unknown'}" if code is not None else detail or "Twilio gave no reason"


def _answered(phone: str | None, form: Mapping[str, str]) -> list[StatusReport]:
    replied_to = text_of(form.get("OriginalRepliedMessageSid"))
    opted = {"STOP": Status.OPTED_OUT, "START": Status.OPTED_IN}.get(form.get("OptOutType", ""))
    reports = reply(phone, form.get("ButtonText") or form.get("Body"), replied_to, None)
    if opted is not None and opted not in {report.status for report in reports}:
        reports.append(StatusReport(opted, replied_to, recipient_phone=phone))
    return reports
