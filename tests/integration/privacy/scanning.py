"""Everything that a stage holds, opened: the table, the bucket, the queues, the schedules."""

import base64
import contextlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.sqs.models import sqs_backends

from shared.aws.stores import Stores
from shared.store import event_body
from shared.store.wire import from_wire
from tests.integration.account import onlookers_client
from tests.integration.conftest import REGION

_DEEPEST = 5
_LONG = 9


def texts(value: Any, depth: int = 0) -> Iterator[str]:
    """Every text in a value: compressed, in base64, or JSON within a text too."""
    if isinstance(value, dict):
        for name, own in value.items():
            yield from texts(name, depth)
            yield from texts(own, depth)
    elif isinstance(value, list | tuple | set | frozenset):
        for own in value:
            yield from texts(own, depth)
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
        for opened in _opened(value) if depth < _DEEPEST else ():
            yield from texts(opened, depth + 1)
    elif isinstance(value, str):
        yield value
        if depth < _DEEPEST and value[:1] in {"{", "[", '"'}:
            with contextlib.suppress(ValueError):
                yield from texts(json.loads(value), depth + 1)
        elif depth < _DEEPEST and len(value) >= 16:
            with contextlib.suppress(ValueError):
                yield from texts(base64.b64decode(value, validate=True), depth + 1)
    elif value is not None:
        yield str(value)


def _opened(value: bytes) -> Iterator[Any]:
    with contextlib.suppress(zlib.error):
        yield zlib.decompress(value, 47)
    with contextlib.suppress(zlib.error):
        yield event_body.unpack(value)
    with contextlib.suppress(ValueError):
        yield json.loads(value)


def stage_texts(stores: Stores) -> Iterator[tuple[str, str]]:
    """Where, and what, of all that the stage holds; sealed answers are opened."""
    for row in rows(stores.environment.table_name):
        place = f"{row['pk']} {row['sk']}"
        if row["pk"].startswith("X#") and "answer" in row:
            yield place, stores.cipher.answer(bytes(row["answer"]), row["pk"][2:], row["sk"])
        yield from ((place, own) for own in texts(row))
    s3 = onlookers_client("s3")
    for own in s3.list_objects_v2(Bucket="quarantine").get("Contents", []):
        body = s3.get_object(Bucket="quarantine", Key=own["Key"])["Body"].read()
        yield from ((own["Key"], text) for text in (own["Key"], *texts(body)))
    for name, queue in sqs_backends[ACCOUNT_ID][REGION].queues.items():
        yield from ((name, text) for message in queue._messages for text in texts(message.body))
    scheduler: Any = onlookers_client("scheduler")
    for schedule in scheduler.list_schedules()["Schedules"]:
        whole = scheduler.get_schedule(Name=schedule["Name"], GroupName=schedule["GroupName"])
        yield from ((schedule["Name"], text) for text in texts(json.loads(json.dumps(whole, default=str))))


def rows(table_name: str) -> list[dict[str, Any]]:
    """The whole table, what is past its time too."""
    table = dynamodb_backends[ACCOUNT_ID][REGION].get_table(table_name)
    return [from_wire(own.to_json()["Attributes"]) for own in table.all_items()]


def _alone(value: str) -> re.Pattern[str] | None:
    """How a short one stands by itself; None for a long one, which may stand anywhere."""
    return None if len(value) >= _LONG else re.compile(rf"(?<![0-9a-z]){re.escape(value)}(?![0-9a-z])")


def places_of(values: Iterable[str], held: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """Where each of the values stands; one that stands nowhere is absent.

    A short one has to stand by itself: five digits or letters are in some instant or random id by chance.
    """
    wanted = [(own, own.casefold(), _alone(own.casefold())) for own in values]
    # Names of attributes, kinds and ids stand in hundreds of places: each text is looked through once.
    places: dict[str, set[str]] = {}
    for place, text in held:
        places.setdefault(text.casefold(), set()).add(place)
    found: dict[str, set[str]] = {}
    for text, at in places.items():
        for value, lower, alone in wanted:
            if lower in text and (alone is None or alone.search(text)):
                found.setdefault(value, set()).update(at)
    return found
