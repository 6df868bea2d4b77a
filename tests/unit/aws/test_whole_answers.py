"""What something between AWS and us has cut is no answer: the call is tried again, and else fails for now."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from shared.aws.faults import is_temporary
from shared.aws.whole_answers import demand_whole_answers

ROW = {"Item": {"pk": {"S": "C#1"}, "sk": {"S": "C"}}}
WHOLE = json.dumps(ROW).encode()


class Aws:
    """Answers with these bodies in turn, the last one for ever."""

    def __init__(self) -> None:
        self.bodies = [WHOLE]
        self.status = 200
        self.asked = 0
        handler = type("Handler", (_Handler,), {"aws": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def client(self, service: str) -> Any:
        client = boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=f"http://127.0.0.1:{self.server.server_address[1]}",
            region_name="ap-south-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"mode": "standard", "total_max_attempts": 2}),
        )
        demand_whole_answers(client)
        return client


class _Handler(BaseHTTPRequestHandler):
    aws: Aws

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = self.aws.bodies[min(self.aws.asked, len(self.aws.bodies) - 1)]
        self.aws.asked += 1
        self.send_response(self.aws.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name upstream
        """Nothing."""


@pytest.fixture
def aws() -> Iterator[Aws]:
    standing = Aws()
    thread = threading.Thread(target=standing.server.serve_forever, args=(0.01,))
    thread.start()
    yield standing
    standing.server.shutdown()
    standing.server.server_close()
    thread.join()


def read(client: Any) -> Any:
    return client.get_item(TableName="table", Key={"pk": {"S": "C#1"}, "sk": {"S": "C"}}).get("Item")


@pytest.mark.parametrize("cut", [WHOLE[:20], WHOLE[:-1], b"", b'"'], ids=["half", "all but the end", "nothing", "text"])
def test_a_row_whose_answer_was_cut_is_asked_for_again(aws: Aws, cut: bytes) -> None:
    aws.bodies = [cut, WHOLE]
    assert read(aws.client("dynamodb")) == ROW["Item"]
    assert aws.asked == 2


def test_a_row_whose_answers_are_all_cut_fails_for_now_and_does_not_read_as_gone(aws: Aws) -> None:
    aws.bodies = [WHOLE[:20]]
    with pytest.raises(ClientError) as raised:
        read(aws.client("dynamodb"))
    assert is_temporary(raised.value)


def test_a_row_that_is_not_there_is_an_answer(aws: Aws) -> None:
    aws.bodies = [b"{}"]
    assert read(aws.client("dynamodb")) is None
    assert aws.asked == 1


def test_an_operation_that_answers_nothing_may_do_so_without_a_body(aws: Aws) -> None:
    """As KMS and SQS do."""
    aws.bodies = [b""]
    aws.client("kms").disable_key(KeyId="key-1")
    aws.client("sqs").delete_message(QueueUrl="https://sqs.example/queue", ReceiptHandle="handle")
    assert aws.asked == 2


def test_a_refusal_that_was_cut_says_nothing_of_the_request(aws: Aws) -> None:
    aws.status, refusal = 400, json.dumps({"__type": "ns#ConditionalCheckFailedException", "message": "no"}).encode()
    aws.bodies = [refusal[:30]]
    with pytest.raises(ClientError) as cut:
        read(aws.client("dynamodb"))
    assert is_temporary(cut.value)
    assert aws.asked == 2
    aws.bodies = [refusal]
    with pytest.raises(ClientError) as whole:
        read(aws.client("dynamodb"))
    assert whole.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
