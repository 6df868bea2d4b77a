"""What became of a mail, as Amazon SES tells it by event publishing.

Source: docs.aws.amazon.com/ses, "Contents of event data"; docs.aws.amazon.com/sns, "HTTP/HTTPS subscription
confirmation JSON format" and "ConfirmSubscription".
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from shared.delivery.outcome import Refusal
from shared.destinations.status import CallbackRequest, Status, StatusReport, TokenProved, own_delivery
from shared.destinations.vendor_answer import detail_of, first_row, json_object, mapping, text_of
from shared.domain.instants import parse_instant

_REPORTED: Final = {
    "Send": Status.SENT,
    "Delivery": Status.DELIVERED,
    "Open": Status.READ,
    "Click": Status.CLICKED,
    "Bounce": Status.FAILED,
    "Reject": Status.FAILED,
    "Rendering Failure": Status.FAILED,
    "Complaint": Status.OPTED_OUT,
}
_EVENT_PARTS: Final = {"Rendering Failure": "failure"}


_TOPIC: Final = re.compile(
    r"arn:aws(-cn|-us-gov)?:sns:([a-z]{2}(?:-[a-z]+)+-\d):\d{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?"
)
_TOKEN: Final = re.compile(r"[0-9a-f]{32,1024}")


class SesStatuses(TokenProved):
    """SES's event publishing, by EventBridge (API destination) or SNS, wrapped or raw."""

    def confirmation(self, request: CallbackRequest) -> str | None:
        """SNS's ``ConfirmSubscription``, made of the topic and the token: the URL that the body gives is not called."""
        body = json_object(request.body) or {}
        topic = _TOPIC.fullmatch(str(body.get("TopicArn")))
        token = _TOKEN.fullmatch(str(body.get("Token")))
        if body.get("Type") != "SubscriptionConfirmation" or topic is None or token is None:
            return None
        suffix = "amazonaws.com.cn" if topic[1] == "-cn" else "amazonaws.com"
        asked = {"Action": "ConfirmSubscription", "TopicArn": topic[0], "Token": token[0]}
        return f"https://sns.{topic[2]}.{suffix}/?{urlencode(asked)}"

    def read_statuses(self, request: CallbackRequest) -> list[StatusReport]:
        """The one report of the body, or none. A transient bounce ends this message, not the address."""
        body = json_object(request.body) or {}
        if isinstance(body.get("Message"), str):
            body = json_object(body["Message"].encode("utf-8", "replace")) or {}
        event = mapping(body.get("detail")) or body
        kind = str(event.get("eventType") or event.get("notificationType"))
        status = _REPORTED.get(kind)
        if status is None:
            return []
        mail = mapping(event.get("mail"))
        told = mapping(event.get(_EVENT_PARTS.get(kind, kind.lower())))
        return [
            StatusReport(
                status=status,
                vendor_message_id=text_of(mail.get("messageId")),
                at=parse_instant(told.get("timestamp")) or parse_instant(mail.get("timestamp")),
                reason=_failure(kind, told),
                delivery_id=_tagged(mail),
                recipient_email=_refused(told),
            )
        ]


def delivery_of(body: bytes) -> str | None:
    """The delivery that an event's mail was sent for, as its tag names it; None where it is none of ours."""
    return _tagged(mapping((json_object(body) or {}).get("mail")))


def _tagged(mail: Mapping[str, Any]) -> str | None:
    tagged = mapping(mail.get("tags")).get("delivery_id")
    return own_delivery(next(iter(tagged), None) if isinstance(tagged, list) else tagged)


def _refused(told: Mapping[str, Any]) -> str | None:
    """The address that a bounce or a complaint is about. Other events may be of mails that are none of ours."""
    row = first_row(told.get("bouncedRecipients")) or first_row(told.get("complainedRecipients"))
    return text_of(row.get("emailAddress"))


def _failure(kind: str, told: Mapping[str, Any]) -> str | None:
    if kind == "Complaint":
        return Refusal.COMPLAINT.because(detail_of(told.get("complaintFeedbackType")) or "marked as spam")
    if kind == "Bounce":
        row = first_row(told.get("bouncedRecipients"))
        words = f"{told.get('bounceType')}/{told.get('bounceSubType')} {row.get('diagnosticCode') or ''}"
        refusal = Refusal.HARD_BOUNCE if told.get("bounceType") == "Permanent" else Refusal.THIS_MESSAGE
        return refusal.because(detail_of(words) or "bounced")
    if kind in {"Reject", "Rendering Failure"}:
        return detail_of(told.get("reason")) or detail_of(told.get("errorMessage")) or kind
    return None
