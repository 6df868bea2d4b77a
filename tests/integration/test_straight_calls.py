"""A call that becomes no request, and attributes read the short way: refused, copied, heard and answered as ever."""

from importlib import import_module
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError
from botocore.stub import Stubber
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.utilities import dynamo_json_dump, dynamo_to_dict

from shared.aws import clients
from tests.integration.account import onlookers_client
from tests.integration.conftest import REGION, Stage
from tests.integration.shop import Shop


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"TableName": ""},
        {"TableName": 7},
        {"Key": {"pk": {"S": 7}, "sk": {"S": "row"}}},
        {"Key": {"pk": {"T": "a"}, "sk": {"S": "row"}}},
        {"Key": [{"S": "a"}]},
        {"Key": {"pk": {"S": "a"}, "sk": {"S": "row"}}, "Consistent": True},
        {"Key": {"pk": {"S": "a"}, "sk": {"S": "row"}}, "ConsistentRead": "yes"},
        {"Key": {"pk": {"SS": "a"}, "sk": {"L": [{"S": None}]}}},
    ],
)
def test_what_botocore_refuses_before_it_is_sent_is_refused(stage: Stage, given: dict[str, Any]) -> None:
    client = onlookers_client("dynamodb")
    key = {"pk": {"S": "a"}, "sk": {"S": "row"}}
    whole = {"TableName": stage.table_name, "Key": key} if given else {}
    with pytest.raises(ParamValidationError):
        client.get_item()  # where requests go is known from here on, and not looked for by the name
    with pytest.raises(ParamValidationError):
        client.get_item(**whole | given)


def test_what_is_sent_and_answered_is_a_copy(stage: Stage) -> None:
    client: Any = clients.dynamodb()
    key = {"pk": {"S": "a"}, "sk": {"S": "row"}}
    item: dict[str, Any] = {**key, "list": {"L": [{"S": "one"}]}, "set": {"SS": ["one"]}}
    client.put_item(TableName=stage.table_name, Item=item)
    item["list"]["L"].append({"S": "two"})
    found = client.query(
        TableName=stage.table_name,
        KeyConditionExpression="pk = :p",
        ExpressionAttributeValues={":p": {"S": "a"}},
    )["Items"]
    found[0]["set"]["SS"].append("two")
    again = client.get_item(TableName=stage.table_name, Key=key)["Item"]
    assert again == {**key, "list": {"L": [{"S": "one"}]}, "set": {"SS": ["one"]}}


def test_whoever_listens_hears_every_call_and_then_nobody_does(stage: Stage) -> None:
    client, heard = clients.dynamodb(), list[str]()

    def note(model: Any, **_: Any) -> None:
        heard.append(model.name)

    def calls() -> None:
        client.describe_table(TableName=stage.table_name)
        client.get_item(TableName=stage.table_name, Key={"pk": {"S": "a"}, "sk": {"S": "row"}})

    calls()
    for event in ("provide-client-params", "before-parameter-build", "before-call", "after-call"):
        client.meta.events.register(f"{event}.dynamodb.GetItem", note)
        calls()
        client.meta.events.unregister(f"{event}.dynamodb.GetItem", note)
    calls()
    assert heard == ["GetItem"] * 4


def _asked(client: Any, operation: str, given: dict[str, Any]) -> Any:
    """What is answered, or refused; without what differs each time."""
    try:
        answer = getattr(client, operation)(**given)
    except ClientError as refused:
        return type(refused), refused.response["Error"], refused.response["ResponseMetadata"]["HTTPStatusCode"]
    rows = [answer, *answer.get("Messages", ()), *answer.get("Successful", ())]
    told = [{name: type(own) if name in DIFFERS else own for name, own in row.items()} for row in rows]
    return told, answer["ResponseMetadata"]["HTTPStatusCode"]


DIFFERS = {"MessageId", "ReceiptHandle", "CiphertextBlob", "Plaintext", "Messages", "Successful", "ResponseMetadata"}


def test_what_queues_keys_and_secrets_answer_is_what_they_answer_to_a_request(stage: Stage) -> None:
    queue = {"QueueUrl": stage.deliveries_url}
    nobodys = {"QueueUrl": stage.deliveries_url + "-of-nobody"}
    entries = [{"Id": f"e{at}", "MessageBody": f"caf\u00e9 {at}", "DelaySeconds": at} for at in (0, 1)]
    attributes = {"note": {"DataType": "String", "StringValue": "one"}}
    binary = {"note": {"DataType": "Binary", "BinaryValue": b"\xff"}}
    context: dict[str, Any] = {"EncryptionContext": {"purpose": "test"}}
    of_key: dict[str, Any] = {"KeyId": stage.key_arn, **context}
    kms: Any = clients.kms()
    sealed = kms.encrypt(Plaintext=b"\x00\xff", **of_key)["CiphertextBlob"]
    calls: list[tuple[Any, str, dict[str, Any]]] = [
        (clients.sqs, "send_message", {**queue, "MessageBody": "x"}),
        (clients.sqs, "send_message", {**queue, "MessageBody": "x", "MessageAttributes": attributes}),
        (clients.sqs, "send_message", {**queue, "MessageBody": "x", "MessageAttributes": binary}),
        (clients.sqs, "send_message", {**queue, "MessageBody": "x" * (1 << 21)}),
        (clients.sqs, "send_message", {**nobodys, "MessageBody": "x"}),
        (clients.sqs, "send_message_batch", {**queue, "Entries": entries}),
        (clients.sqs, "send_message_batch", {**queue, "Entries": [entries[0], entries[0]]}),
        (clients.sqs, "receive_message", {**queue, "MaxNumberOfMessages": 1, "VisibilityTimeout": 0}),
        (clients.sqs, "receive_message", {**queue, "AttributeNames": ["All"], "MaxNumberOfMessages": 11}),
        (clients.sqs, "delete_message", {**queue, "ReceiptHandle": "nobody's"}),
        (clients.sqs, "get_queue_attributes", {**queue, "AttributeNames": ["VisibilityTimeout", "QueueArn"]}),
        (clients.sqs, "get_queue_attributes", {**queue, "AttributeNames": ["Mood"]}),
        (clients.kms, "encrypt", {**of_key, "Plaintext": b"\x00\xff"}),
        (clients.kms, "decrypt", {**of_key, "CiphertextBlob": sealed}),
        (clients.kms, "decrypt", {**context, "CiphertextBlob": sealed}),
        (clients.kms, "decrypt", {"CiphertextBlob": sealed}),
        (clients.kms, "decrypt", {**context, "CiphertextBlob": b"no cipher"}),
        (clients.kms, "generate_data_key", {**of_key, "KeySpec": "AES_256"}),
        (clients.kms, "generate_data_key", {**of_key, "KeySpec": "AES_257"}),
        (clients.secretsmanager, "get_secret_value", {"SecretId": stage.keys_secret_arn}),
        (clients.secretsmanager, "get_secret_value", {"SecretId": "nobody's"}),
        (clients.secretsmanager, "get_secret_value", {"SecretId": "keys", "VersionStage": "AWSPENDING"}),
    ]
    for made, operation, given in calls:
        client, heard = made(), list[str]()
        straight = _asked(client, operation, given)

        def note(model: Any, heard: list[str] = heard, **_: Any) -> None:
            heard.append(model.name)

        client.meta.events.register("before-call", note)
        assert _asked(client, operation, given) == straight, (operation, given)
        client.meta.events.unregister("before-call", note)
        assert len(heard) == 1
    assert kms.decrypt(CiphertextBlob=sealed, **context)["Plaintext"] == b"\x00\xff"


def test_a_client_that_is_told_its_answers_says_those(stage: Stage) -> None:
    client = boto3.client("dynamodb")
    with Stubber(client) as told:
        told.add_response("describe_table", {"Table": {"TableName": "another"}}, {"TableName": stage.table_name})
        told.add_client_error("get_item", "InternalServerError")
        assert client.describe_table(TableName=stage.table_name)["Table"]["TableName"] == "another"
        with pytest.raises(client.exceptions.InternalServerError):
            client.get_item(TableName=stage.table_name, Key={"pk": {"S": "a"}, "sk": {"S": "row"}})


def test_what_an_index_or_a_projection_answers_is_what_moto_alone_answers(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = clients.dynamodb()
    given = {"TableName": stage.table_name}
    nested = {"M": {"x": {"NULL": True}}}
    for at, odd in enumerate(({"N": "007"}, {"N": "1.50"}, {"B": b"\xff"}, nested, {"S": "\u00e9"})):
        row: Any = {"pk": {"S": "p"}, "sk": {"S": f"{at}"}, "lp": {"S": "l"}, "ls": {"S": f"{at}"}, "odd": odd}
        client.put_item(**given, Item=row | {"ca": {"N": f"{at}"}, "ip": {"S": "i"}, "parts": {"L": [odd, odd]}})

    def asked(index: dict[str, Any], expression: str, value: str, **more: Any) -> Any:
        condition = {"KeyConditionExpression": expression, "ExpressionAttributeValues": {":v": {"S": value}}}
        return client.query(**given, **index, **condition, **more)["Items"]

    projections = ("sk, odd", "parts, sk", "parts[1]", "nobody")

    def answers() -> list[Any]:
        return [
            asked({"IndexName": "list"}, "lp = :v", "l"),
            asked({"IndexName": "phone"}, "ip = :v", "i", ScanIndexForward=False),
            *(asked({}, "pk = :v", "p", ProjectionExpression=own) for own in projections),
            client.scan(**given, ProjectionExpression="odd, ca")["Items"],
        ]

    quick = answers()
    project: Any = Item.project
    monkeypatch.setattr(Item, "project", project.__wrapped__)
    monkeypatch.setattr(import_module("moto.dynamodb.responses"), "dynamo_to_dict", dynamo_to_dict)
    assert quick == answers()
    assert [len(own) for own in quick] == [5, 5, 5, 5, 5, 5, 5]


def test_an_attribute_tells_what_it_is_as_moto_alone_has_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    plain: list[Any] = [{"S": "\u00e9"}, {"N": "007"}, {"B": b"\xff"}, {"B": "/w=="}, {"BOOL": False}, {"NULL": True}]
    sets: list[Any] = [{"SS": ["a", "b"]}, {"NS": ["1"]}, {"BS": [b"\xff"]}]
    every = [*plain, *sets, {"L": []}, {"M": {}}]
    nested = {"M": {"of all": {"L": [*every, {"M": {str(at): own for at, own in enumerate(every)}}]}}}
    attributes = [DynamoType(own) for own in [*every, nested]]
    quick = [own.to_regular_json() for own in attributes]
    held = quick[-1]["M"]["of all"]["L"]
    as_json: Any = DynamoType.to_regular_json
    monkeypatch.setattr(DynamoType, "to_regular_json", as_json.__wrapped__)
    assert quick == [own.to_regular_json() for own in attributes]
    held.clear()
    assert attributes[-1].to_regular_json()["M"]["of all"]["L"], "what was told is no copy"


def test_the_keys_of_all_indexes_are_moto_s_own(stage: Stage) -> None:
    table = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].get_table(stage.table_name)
    indexes = [own["AttributeName"] for index in table.global_indexes for own in index.schema]
    assert table.attribute_keys == ["pk", "sk", *indexes]
    assert len(indexes) == 12


def test_a_stream_record_says_how_long_it_is(shop: Shop) -> None:
    shop.webhook()
    shard = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].get_table(shop.environment["TABLE_NAME"]).stream_shard
    assert shard is not None
    for record in shard.get(shard.starting_sequence_number, 100):
        told = record["dynamodb"]
        assert told["SizeBytes"] == len(dynamo_json_dump(told | {"SizeBytes": 1}))
