"""What calls need: not always the action of their own name, nor the resource they seem to be about."""

import json
from typing import Any

import pytest

from tests.permissions.needs import Need, arn, names_of, needs_of, needs_of_events, needs_of_mail

NAMES = names_of({
    "TABLE_NAME": "checkback-1",
    "RETRIES_QUEUE_URL": "https://sqs.example/1/retries",
    "DELIVERIES_QUEUE_URL": "https://sqs.example/1/deliveries",
    "WATCHED_QUEUES": "STEPS=steps-1 SLOW=slow-1",
    "QUARANTINE_BUCKET": "kept",
    "KEYS_SECRET_ARN": "arn:aws:secretsmanager:ap-south-1:1:secret:keys",
    "SCHEDULE_GROUP": "campaigns",
    "SCHEDULER_ROLE_ARN": "arn:aws:iam::1:role/scheduler",
    "PUBLIC_URL": "checkback-1",
})  # fmt: skip
TABLE = arn("dynamodb", "table/TABLE_NAME")
GROUP = "schedule/SCHEDULE_GROUP"
PASSED = (("iam:PassedToService", "scheduler.amazonaws.com"),)


def row(**more: Any) -> dict[str, Any]:
    return {"TableName": "checkback-1", **more}


@pytest.mark.parametrize(
    ("call", "arguments", "expected"),
    [
        ("dynamodb.GetItem", row(), [Need("dynamodb:GetItem", TABLE)]),
        ("dynamodb.Query", row(), [Need("dynamodb:Query", TABLE)]),
        ("dynamodb.Query", row(IndexName="due"), [Need("dynamodb:Query", f"{TABLE}/index/due")]),
        ("dynamodb.BatchGetItem", {"RequestItems": {"checkback-1": {}}}, [Need("dynamodb:BatchGetItem", TABLE)]),
        ("dynamodb.BatchWriteItem", {"RequestItems": {"other": []}}, [
            Need("dynamodb:BatchWriteItem", arn("dynamodb", "table/other")),
        ]),
        ("dynamodb.TransactWriteItems", {"TransactItems": [
            {"Put": row()}, {"Update": row()}, {"Delete": row()}, {"ConditionCheck": row()},
        ]}, [
            Need(f"dynamodb:{own}", TABLE) for own in ("PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem")
        ]),
        ("sqs.SendMessageBatch", {"QueueUrl": "https://sqs.example/1/retries"}, [
            Need("sqs:SendMessage", arn("sqs", "RETRIES_QUEUE_URL")),
        ]),
        ("s3.HeadObject", {"Bucket": "kept", "Key": "a/b"}, [
            Need("s3:GetObject", "arn:aws:s3:::QUARANTINE_BUCKET/a/b"),
        ]),
        ("s3.DeleteObjects", {"Bucket": "kept", "Delete": {"Objects": [{"Key": "a"}, {"Key": "b"}]}}, [
            Need("s3:DeleteObject", f"arn:aws:s3:::QUARANTINE_BUCKET/{own}") for own in "ab"
        ]),
        ("s3.ListObjectsV2", {"Bucket": "kept"}, [
            Need("s3:ListBucket", "arn:aws:s3:::QUARANTINE_BUCKET", (("s3:prefix", ""),)),
        ]),
        ("secretsmanager.GetSecretValue", {"SecretId": "arn:aws:secretsmanager:ap-south-1:1:secret:keys"}, [
            Need("secretsmanager:GetSecretValue", "KEYS_SECRET_ARN"),
        ]),
        ("scheduler.UpdateSchedule", {
            "GroupName": "campaigns", "Name": "n", "Target": {"RoleArn": "arn:aws:iam::1:role/scheduler"},
        }, [
            Need("scheduler:UpdateSchedule", arn("scheduler", f"{GROUP}/n")),
            Need("iam:PassRole", "SCHEDULER_ROLE_ARN", PASSED),
        ]),
        ("scheduler.DeleteSchedule", {"GroupName": "campaigns", "Name": "n"}, [
            Need("scheduler:DeleteSchedule", arn("scheduler", f"{GROUP}/n")),
        ]),
        ("sqs.GetQueueAttributes", {"QueueUrl": "https://sqs.example/1/retries"}, [
            Need("sqs:GetQueueAttributes", arn("sqs", "RETRIES_QUEUE_URL")),
        ]),
        ("sqs.GetQueueAttributes", {"QueueUrl": "https://sqs.example/1/slow-1"}, [
            Need("sqs:GetQueueAttributes", arn("sqs", "SLOW_QUEUE_URL")),
        ]),
        ("cloudwatch.DescribeAlarms", {"AlarmNamePrefix": "a"}, [Need("cloudwatch:DescribeAlarms", "*")]),
        ("dynamodb.Scan", row(), [Need("dynamodb:Scan", "*")]),
    ],
)  # fmt: skip
def test_a_call_needs(call: str, arguments: dict[str, Any], expected: list[Need]) -> None:
    service, _, operation = call.partition(".")

    assert needs_of(service, operation, arguments, NAMES) == expected


def test_events_need_each_bus_of_whoevers_account() -> None:
    buses = [f"arn:aws:events:eu-west-1:{account}:event-bus/checkback-mer_1" for account in ("1" * 12, "2" * 12)]
    sent = {"Entries": [{"EventBusName": bus} for bus in (*buses, buses[0])]}

    assert needs_of_events(json.dumps(sent).encode(), NAMES) == [
        Need("events:PutEvents", buses[0], (("aws:ResourceAccount", "1" * 12),)),
        Need("events:PutEvents", buses[1], (("aws:ResourceAccount", "2" * 12),)),
    ]


def test_a_mail_needs_the_identity_and_the_configuration_set_as_its_tenant() -> None:
    sent = {
        "FromEmailAddress": "Tea House <hello@mail.tea.example>",
        "ConfigurationSetName": "checkback-dev",
        "TenantName": "checkback-dev-mer_1",
    }
    names = {"checkback-dev": "SES_CONFIGURATION_SET", "checkback-dev-": "SES_TENANT_PREFIX"}
    needs = needs_of_mail(json.dumps(sent).encode(), names)

    assert {own.action for own in needs} == {"ses:SendEmail"}
    assert [own.resource for own in needs] == [
        *(arn("ses", own) for own in ("identity/mail.tea.example", "configuration-set/SES_CONFIGURATION_SET")),
    ]
    assert {own.context for own in needs} == {
        (("ses:FromAddress", "hello@mail.tea.example"), ("ses:TenantName", "SES_TENANT_PREFIXmer_1")),
    }
