"""AWS Budgets, and the SNS topic that it tells, as they are documented; over a synthesised template.

AWS Cost Management User Guide, "Managing your costs with AWS Budgets" (an update comes up to three times a day),
"Best practices for AWS Budgets" (a forecast needs about five weeks of usage; of what was spent a threshold tells once
in a month, of a forecast each time it is passed again), "Creating an Amazon SNS topic for budget notifications" (the
topic's policy lets ``budgets.amazonaws.com`` publish, for this account's budgets; a topic that is encrypted by a key of
KMS needs that key's policy too). How AWS makes a forecast is not said: here a month goes on as it began.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from tests.unit.infra.conftest import Resource, StackTemplate, as_list

ACCOUNT = "111122223333"
SERVICE = "budgets.amazonaws.com"
HISTORY = timedelta(weeks=5)
DAYS = 30
_UPDATES = 3  # a day
_PSEUDO = {"AWS::AccountId": ACCOUNT, "AWS::Partition": "aws"}


class Told(NamedTuple):
    """A message of a budget's: when in the month, by which threshold, and to whom it went."""

    day: int
    kind: str
    receivers: tuple[str, ...]


class Budgets:
    """The one budget of a stage, in an account that has been in use for ``known``."""

    def __init__(self, service: StackTemplate, known: timedelta) -> None:
        self._service = service
        self._budget = service.only("Budgets::Budget")["Properties"]
        self._known = known

    def month(self, by_day: Sequence[float]) -> list[Told]:
        """What is told in a month that costs so much each day, USD."""
        limit = float(self._budget["Budget"]["BudgetLimit"]["Amount"])
        assert self._budget["Budget"]["TimeUnit"] == "MONTHLY"
        assert "CostFilters" not in self._budget["Budget"], "a filter by tag counts nothing until the tag is activated"
        told: list[Told] = []
        above: dict[int, bool] = {}
        for update in range(len(by_day) * _UPDATES):
            day = update // _UPDATES
            spent = sum(by_day[:day]) + by_day[day] * (update % _UPDATES + 1) / _UPDATES
            for at, own in enumerate(self._budget["NotificationsWithSubscribers"]):
                watched = own["Notification"]
                value = self._value(watched["NotificationType"], spent, (update + 1) / _UPDATES, day)
                if value is None:
                    continue
                passed = value > limit * watched["Threshold"] / 100
                assert (watched["ComparisonOperator"], watched["ThresholdType"]) == ("GREATER_THAN", "PERCENTAGE")
                if passed and not above.get(at, False):
                    told.append(Told(day + 1, watched["NotificationType"], self._received(own["Subscribers"])))
                above[at] = passed
        return told

    def _value(self, kind: str, spent: float, days: float, day: int) -> float | None:
        if kind == "ACTUAL":
            return spent
        assert kind == "FORECASTED"
        return spent / days * DAYS if self._known + timedelta(days=day) >= HISTORY else None

    def _received(self, subscribers: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        return tuple(
            address
            for own in subscribers
            if own["SubscriptionType"] == "SNS"
            for address in published(self._service, own["Address"], f"arn:aws:budgets::{ACCOUNT}:budget/monthly")
        )


def published(service: StackTemplate, topic: Mapping[str, Any], by: str) -> Iterator[str]:
    """Whom a message to the topic (a reference) reaches; nobody, where ``by`` (an ARN) may not publish to it."""
    logical_id = topic["Ref"]
    made = service.json["Resources"][logical_id]["Properties"]
    statements = [
        statement
        for policy in service.resources("SNS::TopicPolicy").values()
        if topic in policy["Properties"]["Topics"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    asked = {"aws:SourceAccount": by.split(":")[4], "aws:SourceArn": by, "aws:SecureTransport": "true"}
    effects = {own["Effect"] for own in statements if _concerns(own, topic, asked)}
    # A key of ours would have to let the service in as well; AWS's own (alias/aws/sns) lets no service in.
    if effects != {"Allow"} or "KmsMasterKeyId" in made:
        return
    for own in service.resources("SNS::Subscription").values():
        if own["Properties"]["TopicArn"] == topic:
            yield own["Properties"]["Endpoint"]


def _concerns(statement: Resource, topic: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
    """Whether a statement of a topic's policy speaks of a message of the budgets' service."""
    principal = statement["Principal"]
    services = ["*"] if "AWS" in principal or principal == "*" else as_list(principal["Service"])
    return (
        bool({"*", SERVICE} & set(services))
        and bool({"sns:Publish", "sns:*"} & set(as_list(statement["Action"])))
        and topic in as_list(statement["Resource"])
        and all(
            key in asked and any(_holds(operator, asked[key], _text(own)) for own in as_list(wanted))
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _holds(operator: str, given: str, wanted: str) -> bool:
    if operator == "ArnLike":
        return fnmatchcase(given, wanted)
    assert operator in {"StringEquals", "Bool"}, operator
    return given == wanted


def _text(value: Any) -> str:
    match value:
        case {"Ref": str(name)}:
            return _PSEUDO[name]
        case {"Fn::Join": [str(between), [*parts]]}:
            return str(between).join(map(_text, parts))
        case str():
            return value
    raise AssertionError(json.dumps(value))
