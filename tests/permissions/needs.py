"""What a call to AWS needs to be allowed: the IAM actions, on which resources, under which condition values.

A call is not its action: a transaction needs the actions it is made of, a batch of messages the action of one, a query
of an index the index. Source: the tables "Actions defined by ..." of the Service Authorization Reference
(docs.aws.amazon.com/service-authorization), for transactions the DynamoDB Developer Guide ("Using IAM with DynamoDB
transactions"), for schedules "Setting up Amazon EventBridge Scheduler" (whoever names a role must be allowed to pass
it), for mail the table "Actions defined by Amazon Simple Email Service v2": ``SendEmail`` asks about the identity and
the configuration set, and knows the tenant by the condition key ``ses:TenantName`` alone.

Resources are named as the stage names them to its functions: what an environment variable holds stands here as the
variable, so that what is recorded on one account can be compared with what a template allows on any.

Nothing but the standard library: the workers of the local engine load this beside their bundle.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from email.utils import parseaddr
from typing import Any, NamedTuple

REGION, ACCOUNT = "region", "account"
NAMED = re.compile(
    r"TABLE_NAME|QUARANTINE_BUCKET|FACTS_BUCKET|EVENT_BUS_NAME|[A-Z_]+_QUEUE_URL|KEYS_SECRET_ARN|ADMIN_SECRET_ARN|CREDENTIALS_KEY_ARN"
    r"|SCHEDULE_GROUP|SCHEDULER_ROLE_ARN|SES_CONFIGURATION_SET|SES_TENANT_PREFIX"
)
"""The variables that name a resource."""
WATCHED_QUEUES = "WATCHED_QUEUES"
"""The variable that names several queues (``shared/aws/stage_watch.py``)."""


class Need(NamedTuple):
    """One action on one resource; ``context`` as IAM's conditions see it, sorted."""

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


type Arguments = Mapping[str, Any]
type Names = Mapping[str, str]
"""Values of variables, with the variable of each."""


def names_of(environment: Mapping[str, str]) -> Names:
    """Which variable holds a value. A queue that is only looked at is told by name, and called by its URL."""
    beside, _, _ = environment.get("DELIVERIES_QUEUE_URL", "").rpartition("/")
    looked_at = (own.partition("=") for own in environment.get(WATCHED_QUEUES, "").split())
    urls = {f"{beside}/{name}": f"{kind}_QUEUE_URL" for kind, _, name in looked_at}
    return urls | {value: variable for variable, value in environment.items() if NAMED.fullmatch(variable)}


def arn(service: str, resource: str) -> str:
    """An ARN of the stage's own account and Region."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def needs_of(service: str, operation: str, arguments: Arguments, names: Names) -> list[Need]:
    """What the call needs. Of an operation that nobody has looked up, an action of its name, which nothing allows."""
    known = _READ.get(f"{service}.{operation}")
    if known is None:
        return [Need(f"{service}:{operation}", "*")]
    return list(known(arguments, names))


def needs_of_mail(body: bytes, names: Names) -> list[Need]:
    """What ``SendEmail`` of SES v2 needs, by its request: it is signed by hand, and goes by no client of botocore's."""
    sent = json.loads(body)
    _, address = parseaddr(sent["FromEmailAddress"])
    context = [("ses:FromAddress", address)]
    if "TenantName" in sent:
        context.append(("ses:TenantName", beginning_named(sent["TenantName"], names)))
    resources = [f"identity/{address.rpartition('@')[2]}"]
    if "ConfigurationSetName" in sent:
        named = sent["ConfigurationSetName"]
        resources.append(f"configuration-set/{names.get(named, named)}")
    return [Need("ses:SendEmail", arn("ses", own), tuple(context)) for own in resources]


def needs_of_events(body: bytes, names: Names) -> list[Need]:
    """What ``PutEvents`` needs, by its request: the action on each bus, whose account is ``aws:ResourceAccount``."""
    return list(_put_events(json.loads(body), names))


def _put_events(arguments: Arguments, names: Names) -> Iterator[Need]:
    for bus in dict.fromkeys(entry["EventBusName"] for entry in arguments["Entries"]):
        # The stage's own is called by its name, merchants' by their ARNs.
        own = names.get(bus)
        account = ACCOUNT if own else bus.split(":")[4]
        resource = arn("events", f"event-bus/{own}") if own else bus
        yield Need("events:PutEvents", resource, (("aws:ResourceAccount", account),))


def beginning_named(text: str, names: Names) -> str:
    """The text with the variable in the place of what it begins with."""
    for value, variable in names.items():
        if variable == "SES_TENANT_PREFIX" and text.startswith(value):
            return variable + text.removeprefix(value)
    return text


def _table(arguments: Arguments, names: Names) -> str:
    name = arguments["TableName"]
    return arn("dynamodb", f"table/{names.get(name, name)}")


def _on_table(action: str) -> Callable[[Arguments, Names], Iterator[Need]]:
    def needed(arguments: Arguments, names: Names) -> Iterator[Need]:
        yield Need(f"dynamodb:{action}", _table(arguments, names))

    return needed


def _on_tables(action: str) -> Callable[[Arguments, Names], Iterator[Need]]:
    def needed(arguments: Arguments, names: Names) -> Iterator[Need]:
        for table in arguments["RequestItems"]:
            yield Need(f"dynamodb:{action}", _table({"TableName": table}, names))

    return needed


def _query(arguments: Arguments, names: Names) -> Iterator[Need]:
    index = f"/index/{arguments['IndexName']}" if "IndexName" in arguments else ""
    yield Need("dynamodb:Query", _table(arguments, names) + index)


_OF_TRANSACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}


def _transaction(arguments: Arguments, names: Names) -> Iterator[Need]:
    for item in arguments["TransactItems"]:
        for kind, own in item.items():
            yield Need(f"dynamodb:{_OF_TRANSACTIONS[kind]}", _table(own, names))


def _send(arguments: Arguments, names: Names) -> Iterator[Need]:
    url = arguments["QueueUrl"]
    yield Need("sqs:SendMessage", arn("sqs", names.get(url, url)))


def _attributes_of_a_queue(arguments: Arguments, names: Names) -> Iterator[Need]:
    url = arguments["QueueUrl"]
    yield Need("sqs:GetQueueAttributes", arn("sqs", names.get(url, url)))


def _of_everything(service: str, action: str) -> Callable[[Arguments, Names], Iterator[Need]]:
    """An action that knows no resource, or is asked for of all."""

    def needed(arguments: Arguments, names: Names) -> Iterator[Need]:
        yield Need(f"{service}:{action}", "*")

    return needed


def _bucket(arguments: Arguments, names: Names) -> str:
    name = arguments["Bucket"]
    return f"arn:aws:s3:::{names.get(name, name)}"


def _on_object(action: str) -> Callable[[Arguments, Names], Iterator[Need]]:
    def needed(arguments: Arguments, names: Names) -> Iterator[Need]:
        yield Need(f"s3:{action}", f"{_bucket(arguments, names)}/{arguments['Key']}")

    return needed


def _delete_objects(arguments: Arguments, names: Names) -> Iterator[Need]:
    for own in arguments["Delete"]["Objects"]:
        yield Need("s3:DeleteObject", f"{_bucket(arguments, names)}/{own['Key']}")


def _list_objects(arguments: Arguments, names: Names) -> Iterator[Need]:
    yield Need("s3:ListBucket", _bucket(arguments, names), (("s3:prefix", arguments.get("Prefix", "")),))


def _by(service: str, action: str, member: str) -> Callable[[Arguments, Names], Iterator[Need]]:
    """An action on a resource whose ARN the call names."""

    def needed(arguments: Arguments, names: Names) -> Iterator[Need]:
        yield Need(f"{service}:{action}", names.get(arguments[member], arguments[member]))

    return needed


def _with_context(action: str) -> Callable[[Arguments, Names], Iterator[Need]]:
    """An action of KMS, and what its encryption context says (``kms:EncryptionContext:<name>`` in a condition)."""

    def needed(arguments: Arguments, names: Names) -> Iterator[Need]:
        context = sorted(arguments.get("EncryptionContext", {}).items())
        said = tuple((f"kms:EncryptionContext:{name}", value) for name, value in context)
        # Of what is to be opened, KMS finds the key by itself where none is named.
        key = arguments.get("KeyId", "*")
        yield Need(f"kms:{action}", names.get(key, key), said)

    return needed


def _schedule(action: str) -> Callable[[Arguments, Names], Iterator[Need]]:
    def needed(arguments: Arguments, names: Names) -> Iterator[Need]:
        group = names.get(arguments["GroupName"], arguments["GroupName"])
        yield Need(f"scheduler:{action}", arn("scheduler", f"schedule/{group}/{arguments['Name']}"))
        if "Target" in arguments:
            role = arguments["Target"]["RoleArn"]
            passed = (("iam:PassedToService", "scheduler.amazonaws.com"),)
            yield Need("iam:PassRole", names.get(role, role), passed)

    return needed


_READ: Mapping[str, Callable[[Arguments, Names], Iterator[Need]]] = {
    **{f"dynamodb.{own}": _on_table(own) for own in ("GetItem", "PutItem", "UpdateItem", "DeleteItem")},
    **{f"dynamodb.{own}": _on_tables(own) for own in ("BatchGetItem", "BatchWriteItem")},
    "dynamodb.Query": _query,
    "dynamodb.TransactWriteItems": _transaction,
    "dynamodb.TransactGetItems": _transaction,
    "sqs.SendMessage": _send,
    "sqs.SendMessageBatch": _send,
    "sqs.GetQueueAttributes": _attributes_of_a_queue,
    "cloudwatch.DescribeAlarms": _of_everything("cloudwatch", "DescribeAlarms"),
    "cloudwatch.GetMetricData": _of_everything("cloudwatch", "GetMetricData"),
    "s3.PutObject": _on_object("PutObject"),
    "s3.GetObject": _on_object("GetObject"),
    "s3.HeadObject": _on_object("GetObject"),
    "s3.DeleteObject": _on_object("DeleteObject"),
    "s3.DeleteObjects": _delete_objects,
    "s3.ListObjectsV2": _list_objects,
    "kms.GenerateDataKey": _with_context("GenerateDataKey"),
    "kms.Decrypt": _with_context("Decrypt"),
    "secretsmanager.GetSecretValue": _by("secretsmanager", "GetSecretValue", "SecretId"),
    "events.PutEvents": _put_events,
    "scheduler.CreateSchedule": _schedule("CreateSchedule"),
    "scheduler.UpdateSchedule": _schedule("UpdateSchedule"),
    "scheduler.DeleteSchedule": _schedule("DeleteSchedule"),
}
