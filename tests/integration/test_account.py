"""What the tests stand on: an account put back between tests, and transactions that undo themselves."""

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import md5
from io import BytesIO
from typing import Any, cast

import pytest
from botocore.endpoint import Endpoint
from botocore.exceptions import ClientError
from moto.dynamodb.models import table as moto_table
from moto.dynamodb.parsing import ast_nodes as moto_nodes
from moto.dynamodb.parsing import validators as moto_validators

from shared.aws import clients
from tests.integration.account import Account
from tests.integration.conftest import Stage


def test_nothing_of_one_test_is_there_in_the_next(stage: Stage, staged_account: tuple[Account, Stage]) -> None:
    account, _ = staged_account
    seen: list[str] = []
    clients.dynamodb().meta.events.register("before-call.dynamodb", lambda model, **_: seen.append(model.name))
    clients.dynamodb().put_item(TableName=stage.table_name, Item={"pk": {"S": "a"}, "sk": {"S": "b"}})
    clients.dynamodb().update_time_to_live(
        TableName=stage.table_name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
    )
    clients.sqs().send_message(QueueUrl=stage.deliveries_url, MessageBody="a message")
    clients.sqs().create_queue(QueueName="one-more")
    clients.s3().put_object(Bucket=stage.bucket, Key="kept", Body=b"bytes")
    clients.scheduler().create_schedule(
        Name="yearly",
        GroupName=stage.schedule_group,
        ScheduleExpression="rate(365 days)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": stage.campaign_runs_arn, "RoleArn": "arn:aws:iam::123456789012:role/scheduler"},
    )
    clients.secretsmanager().put_secret_value(SecretId=stage.admin_secret_arn, SecretString="changed")
    clients.kms().disable_key(KeyId=stage.key_arn.rpartition("/")[2])
    assert seen == ["PutItem", "UpdateTimeToLive"]

    account.put_back()

    assert clients.dynamodb().scan(TableName=stage.table_name)["Items"] == []
    described = clients.dynamodb().describe_time_to_live(TableName=stage.table_name)
    assert described["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED"
    assert "Messages" not in clients.sqs().receive_message(QueueUrl=stage.deliveries_url)
    assert not [own for own in clients.sqs().list_queues()["QueueUrls"] if own.endswith("one-more")]
    assert "Contents" not in clients.s3().list_objects_v2(Bucket=stage.bucket)
    assert clients.scheduler().list_schedules(GroupName=stage.schedule_group)["Schedules"] == []
    secret = clients.secretsmanager().get_secret_value(SecretId=stage.admin_secret_arn)["SecretString"]
    assert secret != "changed"
    assert clients.kms().describe_key(KeyId=stage.key_arn)["KeyMetadata"]["Enabled"]
    assert seen == ["PutItem", "UpdateTimeToLive"], "nor does what a test registered with a client"


def test_a_client_made_under_other_settings_is_made_again(
    stage: Stage, staged_account: tuple[Account, Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    account, _ = staged_account
    with monkeypatch.context() as changed:
        changed.setenv("PATIENCE_WITH_AWS", "short")
        clients.dynamodb.cache_clear()
        assert _patience() == clients.PATIENCE["short"].read

    account.put_back()

    assert _patience() == clients.PATIENCE["long"].read


def _patience() -> float:
    config: Any = clients.dynamodb().meta.config
    seconds: float = config.read_timeout
    return seconds


def test_a_refused_transaction_leaves_every_row_as_it_was(stage: Stage) -> None:
    client, table = clients.dynamodb(), stage.table_name
    for sort in ("changed", "deleted", "replaced", "untouched"):
        client.put_item(TableName=table, Item={"pk": {"S": "a"}, "sk": {"S": sort}, "of": {"M": {"n": {"N": "1"}}}})
    before = client.scan(TableName=table)["Items"]

    with pytest.raises(client.exceptions.TransactionCanceledException) as refused:
        client.transact_write_items(
            TransactItems=[
                {
                    "Update": {
                        "TableName": table,
                        "Key": {"pk": {"S": "a"}, "sk": {"S": "changed"}},
                        "UpdateExpression": "SET #of.n = :two",
                        "ExpressionAttributeNames": {"#of": "of"},
                        "ExpressionAttributeValues": {":two": {"N": "2"}},
                    }
                },
                {"Delete": {"TableName": table, "Key": {"pk": {"S": "a"}, "sk": {"S": "deleted"}}}},
                {"Put": {"TableName": table, "Item": {"pk": {"S": "a"}, "sk": {"S": "replaced"}}}},
                {"Put": {"TableName": table, "Item": {"pk": {"S": "new"}, "sk": {"S": "new"}}}},
                {
                    "ConditionCheck": {
                        "TableName": table,
                        "Key": {"pk": {"S": "a"}, "sk": {"S": "untouched"}},
                        "ConditionExpression": "attribute_not_exists(pk)",
                    }
                },
            ]
        )

    reasons = [own["Code"] for own in refused.value.response["CancellationReasons"]]
    assert reasons == ["None", "None", "None", "None", "ConditionalCheckFailed"]
    assert client.scan(TableName=table)["Items"] == before


def test_a_transaction_that_goes_through_writes_every_row(stage: Stage) -> None:
    client, table = clients.dynamodb(), stage.table_name
    client.put_item(TableName=table, Item={"pk": {"S": "a"}, "sk": {"S": "deleted"}})

    client.transact_write_items(
        TransactItems=[
            {"Delete": {"TableName": table, "Key": {"pk": {"S": "a"}, "sk": {"S": "deleted"}}}},
            {"Put": {"TableName": table, "Item": {"pk": {"S": "new"}, "sk": {"S": "new"}}}},
        ]
    )

    assert client.scan(TableName=table)["Items"] == [{"pk": {"S": "new"}, "sk": {"S": "new"}}]


def test_a_query_answers_what_moto_alone_answers(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    client, table = clients.dynamodb(), stage.table_name
    for at in range(24):
        item = {"pk": {"S": f"p{at % 3}"}, "sk": {"S": f"s{at * 7 % 24:02d}"}, "n": {"N": str(at)}}
        of_the_list = {"lp": {"S": f"l{at % 2}"}, "ls": {"S": f"{at * 5 % 24:02d}"}} if at % 4 else {}
        client.put_item(TableName=table, Item=item | of_the_list)
    base = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "p1"}}}
    beginning = base | {
        "KeyConditionExpression": "pk = :p AND begins_with(sk, :s)",
        "ExpressionAttributeValues": {":p": {"S": "p2"}, ":s": {"S": "s1"}},
    }
    listed = {
        "IndexName": "list",
        "KeyConditionExpression": "lp = :l",
        "ExpressionAttributeValues": {":l": {"S": "l1"}},
    }
    between = listed | {
        "KeyConditionExpression": "lp = :l AND ls BETWEEN :a AND :z",
        "ExpressionAttributeValues": {":l": {"S": "l0"}, ":a": {"S": "04"}, ":z": {"S": "20"}},
    }
    nobody = base | {"ExpressionAttributeValues": {":p": {"S": "p9"}}}
    asked: list[dict[str, Any]] = [
        own | {"ScanIndexForward": forward, "Limit": limit}
        for own in (base, beginning, listed, between, nobody)
        for forward in (True, False)
        for limit in (3, 100)
    ]

    def answers() -> list[tuple[Any, ...]]:
        pages = [client.query(TableName=table, **own) for own in asked]
        nexts = [
            client.query(TableName=table, **own, ExclusiveStartKey=page["LastEvaluatedKey"])
            for own, page in zip(asked, pages, strict=True)
            if "LastEvaluatedKey" in page
        ]
        return [(own["Items"], own["Count"], own["ScannedCount"], own.get("LastEvaluatedKey")) for own in pages + nexts]

    quick = answers()
    whole: Any = moto_table.Table.all_items
    monkeypatch.setattr(moto_table.Table, "all_items", whole.__wrapped__)

    assert quick == answers()
    assert {len(own[0]) for own in quick} > {0, 3, 8}


def test_a_query_of_large_rows_ends_its_page_where_moto_alone_does(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, table = clients.dynamodb(), stage.table_name
    for at in range(9):
        large = {"text": {"S": "x" * 200_000}} if 1 < at < 8 else {}
        client.put_item(TableName=table, Item={"pk": {"S": "p"}, "sk": {"S": f"{'abccccccd'[at]}{at}"}} | large)
    asked: dict[str, Any] = {
        "TableName": table,
        "KeyConditionExpression": "pk = :p AND begins_with(sk, :s)",
        "ExpressionAttributeValues": {":p": {"S": "p"}, ":s": {"S": "c"}},
    }

    def pages(**forward: Any) -> list[list[str]]:
        found: list[list[str]] = []
        start: dict[str, Any] = {}
        while not found or start:
            page: Any = client.query(**asked | forward | start)
            found.append([own["sk"]["S"] for own in page["Items"]])
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]} if "LastEvaluatedKey" in page else {}
        return found

    quick = [pages(ScanIndexForward=forward) for forward in (True, False)]
    whole: Any = moto_table.Table.all_items
    monkeypatch.setattr(moto_table.Table, "all_items", whole.__wrapped__)

    assert quick == [pages(ScanIndexForward=forward) for forward in (True, False)]
    assert [len(own) for own in quick[0]] == [4, 2]


def test_a_call_answers_the_same_whether_it_goes_to_moto_directly_or_as_a_request(
    stage: Stage, staged_account: tuple[Account, Stage]
) -> None:
    client, table = clients.dynamodb(), stage.table_name

    def answers(partition: str) -> list[Any]:
        return [_answer(client, name, arguments) for name, arguments in _every_kind_of_call(table, partition)]

    directly = answers("a")
    staged_account[0].put_back()
    sent: list[str] = []
    client.meta.events.register("before-send.dynamodb", lambda event_name, **_: sent.append(event_name))
    requested = answers("b")

    assert len(sent) == len(requested)
    for (name, arguments), quick, slow in zip(_every_kind_of_call(table, "a"), directly, requested, strict=True):
        assert quick == slow, (name, arguments)
    refused = [own for own in directly if "Error" in own]
    assert {own["Error"]["Code"] for own in refused} >= {
        "ConditionalCheckFailedException",
        "TransactionCanceledException",
        "ValidationException",
        "ResourceNotFoundException",
    }
    assert len(refused) < len(directly) / 2


def test_the_other_services_answer_the_same_directly_and_by_request(
    stage: Stage, staged_account: tuple[Account, Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    kms: Any = clients.kms()
    make, made = Endpoint.make_request, list[str]()

    def noted(endpoint: Endpoint, operation: Any, request: Any) -> Any:
        made.append(operation.name)
        return make(endpoint, operation, request)

    monkeypatch.setattr(Endpoint, "make_request", noted)
    used: dict[str, Any] = {"sqs": clients.sqs(), "kms": kms, "secretsmanager": clients.secretsmanager()}
    used |= {"s3": clients.s3(), "scheduler": clients.scheduler()}

    def answers() -> list[Any]:
        calls = _every_kind_of_other_call(stage)
        return [_without_what_is_made_anew(_answer(used[service], name, given)) for service, name, given in calls]

    directly = answers()
    assert made == ["SendMessage"], "nothing but the message with bytes beside it"
    sealed = kms.encrypt(KeyId=stage.key_arn, Plaintext=b"\x00\xff", EncryptionContext={"a": "b"})
    opened = {"CiphertextBlob": sealed["CiphertextBlob"], "EncryptionContext": {"a": "b"}}
    assert kms.decrypt(**opened)["Plaintext"] == b"\x00\xff"
    staged_account[0].put_back()
    sent: list[str] = []
    for client in used.values():
        client.meta.events.register("before-send", lambda event_name, **_: sent.append(event_name))
    requested = answers()

    assert len(sent) == len(requested)
    for call, quick, slow in zip(_every_kind_of_other_call(stage), directly, requested, strict=True):
        assert quick == slow, call
    assert {own["Error"]["Code"] for own in directly if "Error" in own} >= {
        *("AWS.SimpleQueueService.NonExistentQueue", "AWS.SimpleQueueService.EmptyBatchRequest"),
        *("NotFoundException", "ResourceNotFoundException", "ConflictException"),
        *("NoSuchKey", "NoSuchBucket", "404", "304", "InvalidRange"),
    }
    assert kms.decrypt(**opened)["Plaintext"] == b"\x00\xff", "sealed directly, opened by request"


_MADE_ANEW = {"MessageId", "ReceiptHandle", "SentTimestamp", "ApproximateFirstReceiveTimestamp", "CiphertextBlob"} | {
    *("LastModifiedTimestamp", "CreatedTimestamp", "LastModified", "CreationDate", "LastModificationDate"),
}


def _without_what_is_made_anew(found: Any) -> Any:
    if isinstance(found, dict):
        return {
            name: type(held) if name in _MADE_ANEW else _without_what_is_made_anew(held) for name, held in found.items()
        }
    return [_without_what_is_made_anew(own) for own in found] if isinstance(found, list) else found


def _every_kind_of_other_call(stage: Stage) -> Iterator[tuple[str, str, dict[str, Any]]]:
    own, nobody = {"QueueUrl": stage.retries_url}, {"QueueUrl": f"{stage.retries_url}-nobody"}
    named = {"MessageAttributes": {"of": {"DataType": "String", "StringValue": "text"}}}
    raw = {"MessageAttributes": {"of": {"DataType": "Binary", "BinaryValue": b"\xff"}}}
    yield "sqs", "receive_message", own
    yield "sqs", "send_message", own | {"MessageBody": '\u00e9 \\ "', **named}
    yield "sqs", "send_message", own | {"MessageBody": "raw", **raw}
    yield "sqs", "send_message", own | {"MessageBody": "late", "DelaySeconds": 600}
    yield "sqs", "send_message", nobody | {"MessageBody": "a"}
    entries = [{"Id": str(at), "MessageBody": f"{at}", "DelaySeconds": at * 300} for at in range(3)]
    yield "sqs", "send_message_batch", own | {"Entries": entries}
    yield "sqs", "send_message_batch", own | {"Entries": [entries[0], entries[0]]}
    yield "sqs", "send_message_batch", own | {"Entries": []}
    yield "sqs", "receive_message", own | {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
    yield "sqs", "receive_message", own | {"MaxNumberOfMessages": 11}
    yield "sqs", "receive_message", nobody
    yield "sqs", "delete_message", own | {"ReceiptHandle": "of nothing"}
    yield "sqs", "send_message", own | {"MessageBody": "again"}
    yield "sqs", "receive_message", own | {"AttributeNames": ["All"], "VisibilityTimeout": 0}
    yield "sqs", "get_queue_attributes", own | {"AttributeNames": ["ApproximateNumberOfMessages", "QueueArn"]}
    yield "sqs", "get_queue_attributes", own | {"AttributeNames": ["All"]}
    yield "sqs", "get_queue_attributes", nobody | {"AttributeNames": ["All"]}
    yield "kms", "encrypt", {"KeyId": stage.key_arn, "Plaintext": b"\x00\xff", "EncryptionContext": {"a": "b"}}
    yield "kms", "encrypt", {"KeyId": "00000000-0000-0000-0000-000000000000", "Plaintext": b"a"}
    yield "kms", "decrypt", {"CiphertextBlob": b"nothing sealed " * 9}
    yield "secretsmanager", "get_secret_value", {"SecretId": stage.admin_secret_arn}
    yield "secretsmanager", "get_secret_value", {"SecretId": "nobody"}
    yield "secretsmanager", "get_secret_value", {"SecretId": "admin", "VersionStage": "AWSPENDING"}
    yield from _every_kind_of_call_by_path(stage)


def _every_kind_of_call_by_path(stage: Stage) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Of services that are asked by paths, queries and headers."""
    of, kept = {"Bucket": stage.bucket}, {"Bucket": stage.bucket, "Key": "a/\u00e9 +&%2F?.json"}
    told = {"ContentType": "application/json", "ContentEncoding": "gzip", "Metadata": {"of": "one", "by_whom": "me"}}
    yield "s3", "put_object", kept | told | {"Body": b"\x00\xff bytes"}
    yield "s3", "put_object", of | {"Key": "empty", "Body": b"", "StorageClass": "STANDARD_IA"}
    yield "s3", "put_object", of | {"Key": "read", "Body": BytesIO(b"as a file " * 9_000)}
    yield "s3", "put_object", kept | {"Body": b"other", "IfNoneMatch": "*"}
    yield "s3", "put_object", {"Bucket": "nobodys", "Key": "a", "Body": b"a"}
    yield "s3", "head_object", kept
    yield "s3", "head_object", of | {"Key": "nobody"}
    for asked in ({}, {"Range": "bytes=1-3"}, {"Range": "bytes=900-"}, {"ResponseContentType": "text/plain"}):
        yield "s3", "get_object", kept | asked
    yield "s3", "get_object", kept | {"IfNoneMatch": f'"{md5(b"\x00\xff bytes", usedforsecurity=False).hexdigest()}"'}
    yield "s3", "get_object", of | {"Key": "read"}
    yield "s3", "get_object", of | {"Key": "nobody"}
    for wanted in ({}, {"Prefix": "a/"}, {"MaxKeys": 1}, {"StartAfter": "b"}, {"Prefix": "nobody"}, {"Delimiter": "/"}):
        yield "s3", "list_objects_v2", of | wanted
    yield "s3", "list_objects_v2", {"Bucket": "nobodys"}
    yield "s3", "delete_object", of | {"Key": "read"}
    yield "s3", "delete_object", of | {"Key": "nobody"}
    yield "s3", "delete_objects", of | {"Delete": {"Objects": [{"Key": own} for own in (kept["Key"], "nobody")]}}
    yield "s3", "delete_objects", of | {"Delete": {"Objects": [{"Key": "empty"}], "Quiet": True}}
    yield "s3", "list_objects_v2", of
    named = {"Name": "yearly", "GroupName": stage.schedule_group}
    target = {"Arn": stage.campaign_runs_arn, "RoleArn": "arn:aws:iam::123456789012:role/scheduler", "Input": "{}"}
    timed = {"ScheduleExpression": "rate(365 days)", "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": target}
    yield "scheduler", "get_schedule", named
    yield "scheduler", "create_schedule", named | timed | {"StartDate": datetime(2030, 1, 2, tzinfo=UTC)}
    yield "scheduler", "create_schedule", named | timed
    yield "scheduler", "get_schedule", named
    yield (
        "scheduler",
        "update_schedule",
        named | timed | {"ScheduleExpression": "cron(0 9 * * ? *)", "State": "DISABLED"},
    )
    yield "scheduler", "update_schedule", named | timed | {"Name": "nobody"}
    yield "scheduler", "list_schedules", {"GroupName": stage.schedule_group, "NamePrefix": "y"}
    yield "scheduler", "list_schedules", {"GroupName": stage.schedule_group, "State": "ENABLED"}
    yield "scheduler", "delete_schedule", named
    yield "scheduler", "delete_schedule", named


def test_an_update_answers_what_moto_alone_answers(
    stage: Stage, staged_account: tuple[Account, Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, table = clients.dynamodb(), stage.table_name

    def answers() -> list[Any]:
        calls = (*_every_kind_of_call(table, "a"), *_every_kind_of_update(table))
        return [_answer(client, name, arguments) for name, arguments in calls]

    quick = answers()
    staged_account[0].put_back()
    ast_nodes, validators = cast("Any", moto_nodes), cast("Any", moto_validators)
    traversers = (ast_nodes.DepthFirstTraverser, validators.ActionCountValidator, validators.OverlappingPathsValidator)
    for traverser in traversers:
        monkeypatch.setattr(traverser, "traverse", ast_nodes.DepthFirstTraverser.traverse_node_recursively)

    assert quick == answers()
    refused = {own["Error"]["Message"] for own in quick if "Error" in own}
    assert {own for own in refused if "one section" in own or "overlap" in own or "two document paths" in own}


def _every_kind_of_update(table: str) -> Iterator[tuple[str, dict[str, Any]]]:
    key = {"pk": {"S": "updated"}, "sk": {"S": "row"}}
    held = {"n": {"N": "1"}, "m": {"M": {"in": {"M": {"n": {"N": "7"}}}}}, "l": {"L": [{"N": "1"}, {"N": "2"}]}}
    for expression in (
        "SET n = n + :one, m.#i.n = m.#i.n - :one",
        "SET l[1] = :one, l[9] = :one, m.fresh = :one",
        "SET l = list_append(l, :list), fresh = list_append(if_not_exists(nobody, :list), :list)",
        "SET fresh = if_not_exists(m.#i.n, :one), other = if_not_exists(nobody, :one) + :one",
        "SET fresh = nobody",
        "SET fresh = nobody + :one",
        "SET m.nobody.n = :one",
        "SET l.n = :one",
        "SET n = :one SET fresh = :one",
        "REMOVE n REMOVE l",
        "ADD n :one ADD fresh :one",
        "SET m.#i.n = :one, m.#i = :one",
        "SET n = :one, n = :one",
        "SET n = :one REMOVE n",
        "REMOVE l[0], l[1], m.#i.n",
        "SET fresh = :one REMOVE l ADD n :one DELETE s :set",
        "ADD l :one",
        "SET sk = :one",
        "SET lp = :one",
        "SET name = :one",
        "SET",
        "SET n = :nobody",
    ):
        yield "put_item", {"TableName": table, "Item": {**key, **held, "s": {"SS": ["a", "c"]}}}
        given = tuple(name for name in ("one", "list", "set") if f":{name}" in expression)
        named = _named("in") if "#i" in expression else {}
        changed = {"UpdateExpression": expression, **named, **(_given(*given) if given else {})}
        yield "update_item", {"TableName": table, "Key": key, **changed, "ReturnValues": "ALL_NEW"}


def _answer(client: Any, name: str, arguments: dict[str, Any]) -> Any:
    """What a call answers or raises, without what is of the request alone; of whichever partition."""
    try:
        answer = getattr(client, name)(**arguments)
    except ClientError as refused:
        answer = refused.response
    answer.pop("ResponseMetadata")
    if "Body" in answer:
        answer["Body"] = answer["Body"].read()
    return _of_any_partition(answer)


def _of_any_partition(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: {"S": "?"} if name == "pk" else _of_any_partition(held) for name, held in found.items()}
    return [_of_any_partition(own) for own in found] if isinstance(found, list) else found


def _every_kind_of_call(table: str, partition: str) -> Iterator[tuple[str, dict[str, Any]]]:
    def key(sort: str) -> dict[str, Any]:
        return {"pk": {"S": partition}, "sk": {"S": sort}}

    held = {
        "n": {"N": "1"},
        "of": {"M": {"list": {"L": [{"S": "\u00e9"}, {"NULL": True}, {"BOOL": False}, {"M": {}}]}, "bare": {"S": ""}}},
        "set": {"SS": ["b", "a"]},
        "numbers": {"NS": ["1", "2.5"]},
        "B": {"B": b"\x00\xff bytes"},
        "within": {"L": [{"M": {"B": {"S": "text"}, "BS": {"BS": [b"a", b"\xfe"]}}}, {"B": b""}]},
    }
    row, old, own = {**key("row"), **held}, {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}, {"TableName": table}
    absent = {"ConditionExpression": "attribute_not_exists(#k)", "ExpressionAttributeNames": {"#k": "pk"}}
    yield "put_item", own | {"Item": row, **absent}
    yield "put_item", own | {"Item": row, **absent, **old}
    yield "put_item", own | {"Item": row, **absent}
    yield "put_item", own | {"Item": row | {"n": {"N": "2"}}, "ReturnValues": "ALL_OLD"}
    yield "put_item", own | {"Item": {"pk": {"S": ""}, "sk": {"S": "row"}}}
    yield "put_item", own | {"Item": {"sk": {"S": "row"}}}
    yield "put_item", own | {"Item": key("large") | {"v": {"S": "x" * 410_000}}}
    yield "put_item", {"TableName": "another", "Item": row}
    yield "get_item", own | {"Key": key("row"), "ConsistentRead": True}
    yield "get_item", own | {"Key": key("nobody")}
    yield "get_item", own | {"Key": key("row"), "ProjectionExpression": "n, #o.bare", **_named("of")}
    for expression, values in (
        ("SET n = if_not_exists(n, :one) + :one, #o.bare = :text REMOVE numbers ADD #s :set", ("one", "text", "set")),
        ("SET fresh = :list", ("list",)),
        ("DELETE #s :set", ("set",)),
        ("SET n = :one, n = :one", ("one",)),
        ("SET pk = :text", ("text",)),
        ("SET n = :nobody", ("one",)),
    ):
        names = _named(*(name for name in ("of", "set") if f"#{name[0]}" in expression))
        for returned in ("NONE", "ALL_NEW", "UPDATED_NEW", "UPDATED_OLD"):
            changed = {"UpdateExpression": expression, "ReturnValues": returned, **names, **_given(*values)}
            yield "update_item", own | {"Key": key("row"), **changed}
    counted = {"UpdateExpression": "ADD n :one", **_given("one")}
    yield "update_item", own | {"Key": key("new"), **counted, "ReturnValues": "UPDATED_NEW"}
    yield "update_item", own | {"Key": key("row"), **counted, "ConditionExpression": "n > :one AND n < :one", **old}
    yield "update_item", own | {"Key": key("nobody"), **counted, "ConditionExpression": "attribute_exists(n)", **old}
    of_this = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": partition}}}
    yield "query", own | of_this
    yield "query", own | of_this | {"Limit": 1, "ReturnConsumedCapacity": "TOTAL"}
    yield "query", own | of_this | {"ProjectionExpression": "sk"}
    yield "query", own | of_this | {"KeyConditionExpression": "sk = :p"}
    yield from _every_kind_with_bytes(own, of_this, key("row"))
    yield "batch_get_item", {"RequestItems": {table: {"Keys": [key("row"), key("nobody"), key("new")]}}}
    written = [{"PutRequest": {"Item": key("one")}}, {"DeleteRequest": {"Key": key("new")}}]
    yield "batch_write_item", {"RequestItems": {table: written}}
    yield "batch_write_item", {"RequestItems": {table: [written[0], written[0]]}}
    update = {"Update": own | {"Key": key("one"), **counted}}
    check = {"ConditionCheck": own | {"Key": key("row"), **absent, **old}}
    put = {"Put": own | {"Item": key("two")}}
    yield "transact_write_items", {"TransactItems": [update, put, {"Delete": own | {"Key": key("row")}}]}
    yield "put_item", own | {"Item": row}
    yield "transact_write_items", {"TransactItems": [update, check, put]}
    yield "transact_write_items", {"TransactItems": [update, update]}
    yield "delete_item", own | {"Key": key("row"), **absent, **old}
    yield "delete_item", own | {"Key": key("row"), "ReturnValues": "ALL_OLD"}
    yield "delete_item", own | {"Key": key("nobody")}
    yield "query", own | of_this


def _every_kind_with_bytes(
    own: dict[str, Any], of_this: dict[str, Any], row: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Updates and queries by bytes, scans, and what is asked about a table."""
    packed = {"UpdateExpression": "SET packed = :bytes, #w[1] = :bytes", **_named("within"), **_given("bytes")}
    yield "update_item", own | {"Key": row, **packed, "ReturnValues": "ALL_NEW"}
    told = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    yield "update_item", own | {"Key": row, **packed, "ConditionExpression": "packed <> :bytes", **told}
    yield "update_item", own | {"Key": row, **packed, "ConditionExpression": "begins_with(packed, :bytes)"}
    yield "query", own | of_this | {"FilterExpression": "packed = :b"} | _also(of_this, ":b", b"\x80\x00")
    yield "scan", own
    yield "scan", own | {"Limit": 1, "ConsistentRead": True}
    yield "scan", own | {"ProjectionExpression": "sk, packed", "Segment": 0, "TotalSegments": 1}
    yield "scan", own | {"FilterExpression": "packed = :bytes", **_given("bytes")}
    yield "scan", {"TableName": "another"}
    yield "describe_table", own
    yield "describe_table", {"TableName": "another"}
    yield "describe_time_to_live", own
    provisioned = {"ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}}
    yield "update_table", own | {"BillingMode": "PROVISIONED", **provisioned}
    yield "update_table", own | {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}


def _also(asked: dict[str, Any], name: str, held: bytes) -> dict[str, Any]:
    return {"ExpressionAttributeValues": {**asked["ExpressionAttributeValues"], name: {"B": held}}}


def _named(*names: str) -> dict[str, Any]:
    return {"ExpressionAttributeNames": {f"#{name[0]}": name for name in names}} if names else {}


def _given(*names: str) -> dict[str, Any]:
    values: dict[str, Any] = {
        "one": {"N": "1"},
        "text": {"S": "text"},
        "set": {"SS": ["c"]},
        "bytes": {"B": b"\x80\x00"},
        "list": {"L": [{"S": "a"}, {"M": {"x": {"N": "1"}}}]},
    }
    return {"ExpressionAttributeValues": {f":{name}": values[name] for name in names}}
