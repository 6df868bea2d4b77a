"""No log of any function says who a shopper is, or a secret, after all that the e2e tests did with the stack.

Run behind them, on the engine that they ran on: ``make e2e``.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.functions import FUNCTION_NAMES
from infra.local.shop import EVENTS, engine_arguments
from tests.e2e.test_said_to_nobody import MAIL, NAME, PHONE, STREET, WORD
from tests.logs.collecting import collected
from tests.logs.planted import Planted, places_of, planted_in

pytestmark = pytest.mark.e2e

SAID_TO_NOBODY = {
    *(Planted("contact", own, value) for own, value in (("phone", f"+91{PHONE}"), ("email", MAIL), ("name", NAME))),
    Planted("contact", "address1", STREET),
    Planted("secret", "token", WORD.rpartition("-")[0]),
}
LONG = 32
"""Characters of the stage's own keys, at least."""
ANSWERED = ("bigcommerce/cart-content", "bigcommerce/checkout-content", "shopify/graphql-abandoned-checkouts")
"""What providers' stand-ins answer to the pull function, past the tests' own requests."""


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    described: dict[str, Any] = json.loads((Path(os.environ.get("LOCAL_DIR", ".local")) / "stack.json").read_text())
    return described


@pytest.fixture(scope="module")
def logs(stack: dict[str, Any]) -> Any:
    return boto3.client("logs", **engine_arguments(stack))


def groups(logs: Any) -> list[str]:
    """The names of all log groups there are."""
    pages = logs.get_paginator("describe_log_groups").paginate()
    return [own["logGroupName"] for page in pages for own in page["logGroups"]]


def texts(logs: Any, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """All that each of these groups holds."""
    for name in names:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=name)
        yield name, "\n".join(event["message"] for page in pages for event in page["events"])


@pytest.fixture(scope="module")
def written(logs: Any) -> dict[str, str]:
    """All that there is."""
    return dict(texts(logs, groups(logs)))


@pytest.fixture(scope="module")
def planted(stack: dict[str, Any]) -> set[Planted]:
    """Everything that went in or out, the stage's own secrets, and what is planted for this alone."""
    secrets = boto3.client("secretsmanager", **engine_arguments(stack))
    held = [own["ARN"] for page in secrets.get_paginator("list_secrets").paginate() for own in page["SecretList"]]
    own = {secrets.get_secret_value(SecretId=arn)["SecretString"] for arn in held}
    parts = {str(part) for value in own if value.startswith("{") for part in json.loads(value).values()}
    found = {Planted("secret", "stage", value) for value in own | parts if len(value) >= LONG}
    for name in ANSWERED:
        found |= {*planted_in(json.loads((EVENTS / f"{name}.json").read_text()), shoppers=True)}
    return found | collected() | SAID_TO_NOBODY


@pytest.fixture(scope="module")
def found(planted: set[Planted], written: dict[str, str]) -> dict[Planted, set[str]]:
    """What stands in a log and must not, looked for once: each look takes seconds."""
    return places_of({own for own in planted if own.kind != "id"}, written.items())


def test_no_log_names_a_shopper_or_a_secret(
    stack: dict[str, Any], planted: set[Planted], written: dict[str, str], found: dict[Planted, set[str]]
) -> None:
    secrets, contacts, ids = ({own for own in planted if own.kind == kind} for kind in ("secret", "contact", "id"))
    assert len(secrets) > 50, "each merchant has a token, each source and endpoint a secret"
    assert len(contacts) > 30
    functions = boto3.client("lambda", **engine_arguments(stack))
    all_there = [own for page in functions.get_paginator("list_functions").paginate() for own in page["Functions"]]
    (of_the_bus,) = (own["FunctionName"] for own in all_there if own["Handler"].endswith(".event_bus.handler"))
    for called in (*(stack["functions"][name] for name in FUNCTION_NAMES), of_the_bus):
        told = functions.get_function_configuration(FunctionName=called)
        assert written[told["LoggingConfig"]["LogGroup"]], f"{called} has written nothing"
    assert places_of(ids, written.items()), "what is logged is found: the checkouts' ids"

    assert found == {}, "\n".join(f"{own.kind} {own.field} in {sorted(groups)}" for own, groups in found.items())


@pytest.mark.parametrize(
    "line", [f"refused by {MAIL.upper()}", f'{{"to":"+91 {PHONE[:5]}-{PHONE[5:]}"}}', f"?token={WORD}"]
)
def test_one_line_that_does_would_be_found(
    logs: Any, line: str, planted: set[Planted], found: dict[Planted, set[str]]
) -> None:
    group = "/planted/by-the-scan"
    logs.create_log_group(logGroupName=group)
    try:
        logs.create_log_stream(logGroupName=group, logStreamName="s")
        event = {"timestamp": int(time.time() * 1000), "message": line}
        logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[event])

        assert group in groups(logs)
        in_it = places_of({own for own in planted if own.kind != "id"}, texts(logs, [group]))
        assert {where for own in (found, in_it) for places in own.values() for where in places} == {group}
    finally:
        logs.delete_log_group(logGroupName=group)
