"""Kind ``eventbridge``: the merchant's events on an Amazon EventBridge bus of its own.

The stage's role puts them there, so whose bus it is must be sure: a bus names the merchant whose events it takes
(``checkback-<merchant id>``), as only its owner can have named it. No other merchant can name it, and nobody a bus of
Checkback's own account. The bus' resource policy lets Checkback's account in.

Wire facts: ``PutEvents``, ``PutEventsRequestEntry`` and ``PutEventsResultEntry`` of the Amazon EventBridge API
Reference (JSON 1.1; ten entries a request; an answer of 200 names what failed, in the order of the entries),
"Calculating Amazon EventBridge PutEvents event entry size" of its User Guide (256 KB a request).
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from shared.delivery.exchange import Answer, OutboundRequest, SendResult
from shared.delivery.outcome import Attempt, Outcome
from shared.delivery.put_events import LASTING, SOURCE, packed
from shared.destinations.aws_request import role, signed
from shared.destinations.destination import Delivery, Endpoint, Unsendable
from shared.destinations.vendor_answer import Verdict, attempt_of, by_status, detail_of, json_object, rows, text_of

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

NAME_PREFIX: Final = "checkback-"

# Regions of the partition ``aws``: China's and those of governments are others.
_REGION: Final = "(?!cn-)[a-z]{2}-[a-z]{4,9}-[1-9][0-9]?"
_ACCOUNT: Final = "[0-9]{12}"
_NAME: Final = "[A-Za-z0-9._-]{1,256}"
_ARN: Final = re.compile(f"arn:aws:events:(?P<region>{_REGION}):(?P<account>{_ACCOUNT}):event-bus/(?P<name>{_NAME})")
_HEADERS: Final = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "AWSEvents.PutEvents"}
_NOT_LET_IN: Final = "the bus is not there, or its policy does not let Checkback put this event on it"

_ERRORS: Final[Mapping[str, Verdict]] = {
    **{
        code: Verdict(Outcome.RETRY)
        for code in (
            "InternalFailure",
            "InternalException",
            "InternalServerError",
            "ServiceUnavailable",
            "ThrottlingException",
            "Throttling",
            "LimitExceededException",
            "TooManyRequestsException",
            # The role's credentials or the clock will be right at the next attempt.
            "ExpiredTokenException",
            "ExpiredToken",
            "RequestExpired",
            "InvalidSignatureException",
            "UnrecognizedClientException",
        )
    },
    **{
        code: Verdict(Outcome.FAIL_CONFIG, _NOT_LET_IN)
        for code in (
            "AccessDeniedException",
            "AccessDenied",
            "NotAuthorizedForSourceException",
            "NotAuthorizedForDetailTypeException",
            "ResourceNotFoundException",
            "InvalidAccountIdException",
        )
    },
    **{code: Verdict(Outcome.FAIL_MESSAGE) for code in LASTING},
}
"""The codes of ``PutEventsResultEntry`` and those of a whole request ("Common Errors")."""


class EventBridgeDestination:
    """A merchant's own event bus."""

    kind: Final = "eventbridge"
    title: Final = "Events on an Amazon EventBridge bus of yours"
    takes_events: Final = True
    settings: Final[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "bus_arn": {
                "type": "string",
                "pattern": f"^arn:aws:events:{_REGION}:{_ACCOUNT}:event-bus/{_NAME}$",
                "description": "Of a bus named `checkback-<merchant id>`, or that and `-` with more behind it.",
            }
        },
        "required": ["bus_arn"],
        "additionalProperties": False,
    }

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """A bus that is not certainly the merchant's own; an address or headers, which a bus has none of."""
        found = [(f"/headers/{name}", "this kind takes no headers") for name in endpoint.headers]
        if endpoint.url:
            found.append(("/url", "this kind takes no URL: settings.bus_arn names the bus"))
        if endpoint.bearer_token is not None:
            found.append(("/settings/bearer_token", "this kind takes no token: the bus' policy lets Checkback in"))
        wrong = _bus_problem(endpoint)
        return found if wrong is None else [*found, ("/settings/bus_arn", wrong)]

    def build(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest:
        """``PutEvents`` with the event's stored bytes as its detail, signed now. Raises Unsendable."""
        entry = {
            "Source": SOURCE,
            "DetailType": delivery.event_type,
            "Detail": delivery.body.decode(),
            "EventBusName": str(endpoint.settings.get("bus_arn")),
        }
        return _request([entry], endpoint)

    def classify(self, result: SendResult, endpoint: Endpoint) -> Attempt:
        """By the entry's own error code, else the request's. Events carry their id, so what is unsure is repeated."""
        return attempt_of(result, endpoint, _judge, repeatable=True)

    def together(self, requests: Sequence[OutboundRequest]) -> list[list[int]]:
        """In order, as many as one request takes."""
        return packed(len(request.body) for request in requests)

    def joined(self, requests: Sequence[OutboundRequest], endpoint: Endpoint) -> OutboundRequest:
        """One ``PutEvents`` of all of them, signed anew; it has the time of the shortest."""
        entries = [entry for request in requests for entry in json.loads(request.body)["Entries"]]
        return replace(_request(entries, endpoint), timeout=min(request.timeout for request in requests))

    def parted(self, result: SendResult, count: int) -> list[SendResult] | None:
        """Each entry's own answer. A policy may refuse a whole request for one event's type: None then."""
        answer = result.answer
        if answer is None or not answer.complete:
            return [result] * count
        if answer.status_code != 200:
            passes = answer.status_code >= 500 or _verdict(_code_of(answer), answer).outcome is Outcome.RETRY
            return [result] * count if passes else None
        entries = rows((json_object(answer.body) or {}).get("Entries"))
        if len(entries) != count:
            return [replace(result, answer=replace(answer, body=b""))] * count  # says nothing of any of them
        return [replace(result, answer=replace(answer, body=_answer_of(entry))) for entry in entries]


destination = EventBridgeDestination()


def _bus_problem(endpoint: Endpoint) -> str | None:
    """Why nothing may be put on the endpoint's bus, None when it is certainly its merchant's own.

    The local engine has one account for everybody, and buses of any name; those of Checkback's own are nobody's there
    either.
    """
    found = _ARN.fullmatch(str(endpoint.settings.get("bus_arn")))
    if found is None:
        return "the ARN of an event bus: arn:aws:events:<Region>:<account>:event-bus/<name>"
    name, own = found["name"], f"{NAME_PREFIX}{endpoint.merchant_id}"
    named = bool(endpoint.merchant_id) and (name == own or name.startswith(f"{own}-"))
    if os.environ.get("STAGE") == "local":
        return None if named or not (name == "default" or name.startswith(NAME_PREFIX)) else "not a bus of yours"
    if found["account"] == os.environ.get("ACCOUNT_ID"):
        return "not a bus of yours: it is of Checkback's own account"
    return (
        None if named else f"the bus must be named {own}, or that and - with more behind it, to show that it is yours"
    )


def _request(entries: Sequence[Mapping[str, str]], endpoint: Endpoint) -> OutboundRequest:
    """Raises Unsendable."""
    wrong = _bus_problem(endpoint)
    if wrong is not None:
        raise Unsendable(Outcome.FAIL_CONFIG, f"bus_arn: {wrong}")
    body = json.dumps({"Entries": entries}, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    region = str(endpoint.settings["bus_arn"]).split(":")[3]
    ours = os.environ.get("AWS_ENDPOINT_URL_EVENTBRIDGE") or os.environ.get("AWS_ENDPOINT_URL")
    url = (ours or f"https://events.{region}.amazonaws.com").rstrip("/") + "/"
    headers = signed(url, body, _HEADERS, service="events", region=region, by=_credentials())
    return OutboundRequest(url=url, body=body, headers=headers, timeout=endpoint.timeout)


def _credentials() -> "ReadOnlyCredentials":
    own = role()
    if own is None:
        raise Unsendable(Outcome.RETRY, "there are no AWS credentials to send with")
    return own.get_frozen_credentials()


def _judge(answer: Answer, body: Mapping[str, Any] | None) -> Verdict:
    if answer.status_code != 200:
        return _verdict(_code_of(answer), answer)
    entries = rows((body or {}).get("Entries"))
    if len(entries) != 1:
        return Verdict(Outcome.UNKNOWN, "HTTP 200, but not the answer of PutEvents")
    code = text_of(entries[0].get("ErrorCode"))
    if code is None:
        put = text_of(entries[0].get("EventId")) is not None
        return Verdict(Outcome.DELIVERED) if put else Verdict(Outcome.UNKNOWN, "HTTP 200, but no EventId")
    # Of a code that nobody has written down yet the event is tried again, and ends with its schedule.
    known = _ERRORS.get(code, Verdict(Outcome.RETRY))
    return replace(known, reason=_said(code, known, detail_of(entries[0].get("ErrorMessage"))))


def _verdict(code: str, answer: Answer) -> Verdict:
    """What a refusal of the whole request comes to."""
    told = json_object(answer.body) or {}
    detail = detail_of(told.get("message")) or detail_of(told.get("Message"))
    known = _ERRORS.get(code)
    if known is None or answer.status_code >= 500:
        return by_status(answer, detail or code or None)
    return replace(known, reason=_said(code, known, detail))


def _said(code: str, known: Verdict, detail: str | None) -> str:
    return ": ".join(part for part in (f"EventBridge {code}", known.reason or detail) if part)


def _code_of(answer: Answer) -> str:
    """``com.amazonaws...#AccessDeniedException`` in the body, in the header maybe with a URL behind it."""
    told = json_object(answer.body) or {}
    named = answer.headers.get("x-amzn-errortype") or text_of(told.get("__type")) or ""
    return named.partition(":")[0].rpartition("#")[2].strip()


def _answer_of(entry: Mapping[str, Any]) -> bytes:
    failed = int("ErrorCode" in entry)
    return json.dumps({"FailedEntryCount": failed, "Entries": [dict(entry)]}, separators=(",", ":")).encode()
