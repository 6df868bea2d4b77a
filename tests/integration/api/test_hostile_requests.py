"""Whatever is sent to a public address, by whomever: an answer below 500, and a problem where it is refused."""

import base64
import importlib
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import functions.redirect.composition as redirect_composition
import functions.redirect.handler as redirect
from functions.callbacks import composition as callbacks_composition
from functions.callbacks.handler import handler as callbacks
from functions.merchant_api import services
from shared.aws import clients
from shared.destinations import registry as destinations
from tests.integration.api.conftest import Api
from tests.integration.api.full_bodies import bodies_of
from tests.integration.api.strictness import as_strict_as_aws
from tests.integration.api.town import Town, a_town
from tests.integration.faults.conftest import StageState
from tests.integration.shop import Shop

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

pytestmark = pytest.mark.long

EVERYTHING = "FUZZ_CASES" in os.environ
"""``make fuzz`` walks all; every other run takes a part, the same each time."""
TEXTS = (
    *("", " ", "\0", "a\0b", "\ud800", "\r\nset-cookie: a=b", "\u202e", "\U0001f600", "\u0661\u0662", "%00", "%s"),
    *("A" * 1_025, "A" * 2_049, "\u00e9" * 1_100, "A" * 100_000, "0", "1e400", "NaN", "null", "{{", "{% for %}", "#"),
    *("ep_", "chk_", "ep_" + "0" * 26, "ep_" + "0" * 3_000, "../..", "@", "+", "-1", "https://", "https://["),
    *("https://\ud800.example", "https://a.example:99999999/", "P999999999D", "PT1E9S", "9999-12-31T23:59:59Z"),
    *("0001-01-01T00:00:00Z", "9999-12-31", "0001-01-01", "2026-02-30T00:00:00+99:99", "1969-12-31T23:59:59Z"),
)
NUMBERS = (0, -1, 2**31, 2**63, 10**38, 10**39, 10**400, 1e308, -1e308, 5e-324, 0.1)
OTHERS: tuple[Any, ...] = (
    *(None, True, [], {}, [None], [[]], {"": ""}, {"a": {"b": []}}, ["x"] * 300),
    {str(number): number for number in range(300)},
)
RAW = (
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" * 5_000),
    *("[" * 2_000 + "]" * 2_000, '{"a":' * 500 + "1" + "}" * 500),
)
"""JSON as text, or what passes for it in Python."""


def checked(answer: Mapping[str, Any], what: object) -> int:
    """The status of an answer that is one."""
    status = answer["statusCode"]
    assert 200 <= status < 500, (status, what, answer)
    headers = {name.lower(): value for name, value in answer["headers"].items()}
    assert all(isinstance(own, str) and own.isprintable() and own.isascii() for own in headers.values()), (
        headers,
        what,
    )
    if status >= 400:
        assert headers["content-type"] == "application/problem+json", (what, answer)
        document = json.loads(answer["body"])
        assert document["status"] == status
        assert document["title"], what
        assert "Traceback" not in answer["body"], what
    return int(status)


@pytest.fixture
def town(operator: Api, shop: Shop) -> Iterator[Town]:
    """Two merchants on a stage whose table is as strict as AWS'."""
    for cached in (callbacks_composition._stores, callbacks_composition.status_reports):
        cached.cache_clear()
    found = a_town(operator, shop)
    clients.dynamodb.cache_clear()
    services.services.cache_clear()
    redirect_composition.links.cache_clear()
    as_strict_as_aws(clients.dynamodb())
    yield found
    clients.dynamodb.cache_clear()
    for cached in (callbacks_composition._stores, callbacks_composition.status_reports):
        cached.cache_clear()


text = st.one_of(
    st.sampled_from(TEXTS),
    st.text(st.characters(codec=None), max_size=40),
    st.integers(1_000, 3_000).map(lambda length: "x" * length),
)
HEADERS = (
    *("authorization", "content-type", "if-match", "idempotency-key", "accept", "cookie", "user-agent", "X-Odd"),
    *("x-hub-signature-256", "x-twilio-signature", "x-amz-sns-message-type", "sec-purpose", "content-length"),
)
PARAMETERS = (
    *("limit", "cursor", "status", "phone", "email", "customer_id", "endpoint_id", "checkout_id", "provider", "event"),
    *("min_total", "updated_since", "updated_before", "from", "to", "group_by", "channel", "token", "hub.mode"),
)
headers = st.dictionaries(st.sampled_from(HEADERS), text, max_size=5)
methods = st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "get", "\0", ""]) | st.text(
    max_size=6
)
bodies = st.one_of(
    st.none(),
    st.just(("", False)),
    st.tuples(
        st.sampled_from([*RAW, "{}", "[]", "null", '"x"', '{"a":', "\ufeff{}", "\0", "a=b&c=d", "<x/>"]) | text,
        st.just(False),
    ),
    st.tuples(st.binary(max_size=60).map(lambda own: base64.b64encode(own).decode()), st.just(True)),
    st.tuples(
        st.sampled_from(["*", "a", "====", "\u00e9", "e30", "e30=\n", "\ud800"]) | st.text(max_size=9), st.just(True)
    ),
)
numbers = st.integers(-(10**30), 10**30).map(str)
queries = st.dictionaries(st.sampled_from(PARAMETERS) | st.text(max_size=5), text | numbers, max_size=3)


def chosen(case: object, part: int) -> bool:
    """Whether this run tries the case: all of them, or one of ``part``."""
    return EVERYTHING or zlib.crc32(repr(case).encode(errors="replace")) % part == 0


def raw_event(
    method: str, path: str, query: dict[str, str], sent: dict[str, str], body: tuple[str, bool] | None
) -> dict[str, Any]:
    """An HTTP API event (payload 2.0)."""
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "rawQueryString": "&".join(
            f"{quote(name, errors='replace')}={quote(own, errors='replace')}" for name, own in query.items()
        ),
        "headers": sent,
        "cookies": [sent["cookie"]] if "cookie" in sent else [],
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t"},
            "requestId": "request-1",
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }
    if query:
        event["queryStringParameters"] = query
    if body is not None:
        event |= {"body": body[0], "isBase64Encoded": body[1]}
    return event


def fuzzed(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def test_the_merchant_api_survives_everything(town: Town) -> None:
    api: Handler = importlib.import_module("functions.merchant_api.handler").handler
    paths = [own.path for own in town.operations] + ["/healthz", "/docs", "/openapi.json", "/v1/", "/", ""]
    segments = st.lists(st.sampled_from(["v1", "merchants", "sources", *town.ids.values()]) | text, max_size=5)
    wild = segments.map(lambda own: "/" + "/".join(own))
    keys = st.sampled_from([town.operator.credential, town.victim.credential, town.victim.credential])

    @fuzzed(1_500)
    @given(methods, st.sampled_from(paths) | wild, queries, headers, bodies, st.none() | keys)
    def survives(
        method: str, path: str, query: dict[str, str], sent: dict[str, str], body: Any, key: str | None
    ) -> None:
        if method == "DELETE" and path == f"/v1/merchants/{town.ids['merchant_id']}":
            return
        if key is not None:
            sent = sent | {"authorization": f"Bearer {key}", "content-type": "application/json"}
        event = raw_event(method, path, query, sent, body)
        checked(api(event, None), event)

    survives()


def test_no_parameter_of_any_operation_is_a_5xx(town: Town) -> None:
    """Every parameter of the description with every extreme."""
    document = town.operator.as_(None)("GET", "/openapi.json").json
    api: Handler = importlib.import_module("functions.merchant_api.handler").handler
    tried = 0
    for own in town.operations:
        caller = town.operator if own.operators else town.victim
        for parameter in document["paths"][own.template][own.method.lower()].get("parameters", []):
            name, where = parameter["name"], parameter["in"]
            for value in (*TEXTS, *map(str, NUMBERS)):
                if not chosen((own.template, own.method, name, value), 12) or (
                    own.method == "DELETE" and where != "path"
                ):
                    continue
                sent = {"authorization": f"Bearer {caller.credential}", "content-type": "application/json"}
                path = own.template.format_map(town.ids | {name: value}) if where == "path" else own.path
                sent |= {name.lower(): value} if where == "header" else {}
                body = None if own.body is None else (json.dumps(own.body), False)
                event = raw_event(own.method, path, {name: value} if where == "query" else {}, sent, body)
                checked(api(event, None), event)
                tried += 1
    assert tried > (5_000 if EVERYTHING else 300)


def test_the_bodies_are_valid_as_they_are(town: Town) -> None:
    """Else every strange value would be refused for something else."""
    refused = {}
    for caller, method, path, body in bodies_of(town):
        answer = caller(method, path, body)
        if answer.status >= 300:
            refused[f"{method} {path} {str(body)[:60]}"] = answer.text
    assert not refused, "\n".join(f"{name}: {why}" for name, why in refused.items())


EXTREMES = (*map(json.dumps, (*TEXTS, *NUMBERS, *OTHERS)), *RAW)


def variants(body: Any, *of: str) -> Iterator[str]:
    """The body as JSON, each place in it replaced by each extreme, one at a time; and further fields.

    This run's part of them: each is chosen before it is written out, as most are long.
    """
    marker = "\x01place\x01"
    for place, shaped in enumerate(_shaped(body, marker)):
        taken = [own for number, own in enumerate(EXTREMES) if chosen((*of, place, number), 60)]
        whole = json.dumps(shaped) if taken else ""
        for own in taken:
            yield whole.replace(json.dumps(marker), own)


def _shaped(value: Any, marker: str) -> Iterator[Any]:
    yield marker
    if isinstance(value, dict):
        for name, own in value.items():
            for shaped in _shaped(own, marker):
                yield value | {name: shaped}
        yield {**value, marker: 1}
        yield {**value, "unknown": marker}
    elif isinstance(value, list):
        for position, own in enumerate(value):
            for shaped in _shaped(own, marker):
                yield [*value[:position], shaped, *value[position + 1 :]]


def test_no_body_of_any_operation_is_a_5xx(town: Town) -> None:
    api: Handler = importlib.import_module("functions.merchant_api.handler").handler
    tried = 0
    for caller, method, path, body in bodies_of(town):
        sent = {"authorization": f"Bearer {caller.credential}", "content-type": "application/json"}
        for raw in variants(body, method, path, *sorted(body)):
            answer = api(raw_event(method, path, {}, sent, (raw, False)), None)
            if checked(answer, (method, path, raw[:600])) == 201 and "Location" in answer["headers"]:
                # What was taken is removed, so that no limit of the merchant's hides what would come next.
                gone = raw_event("DELETE", answer["headers"]["Location"], {}, sent, None)
                checked(api(gone, None), (method, path, raw[:600]))
            tried += 1
    assert tried > (10_000 if EVERYTHING else 400)


CLAUSE = {"field": "total", "op": "gte", "value": "1"}
WORST = (
    *(json.dumps(own) for own in ("\0", "\ud800", 10**400, 1e308, True, None, {"\0": "\ud800"})),
    *(json.dumps([own] * 10_000) for own in ("x", CLAUSE)),
    '{"not":' * 300 + json.dumps(CLAUSE) + "}" * 300,
    '{"all":[' * 20 + json.dumps(CLAUSE) + "]}" * 20,
)
"""What hurts most, for each place of what merchants program most freely."""


def test_no_campaign_is_a_5xx(town: Town) -> None:
    api: Handler = importlib.import_module("functions.merchant_api.handler").handler
    sent = {"authorization": f"Bearer {town.victim.credential}", "content-type": "application/json"}
    (body,) = (own for _, _, path, own in bodies_of(town) if path == "/v1/campaigns")
    marker = "\x01place\x01"
    table_name = services.services().table.name
    before = StageState.taken(table_name)
    statuses: Counter[int] = Counter()
    for shaped in _shaped(body, marker):
        whole = json.dumps(shaped)
        for raw in WORST:
            if not chosen((whole, raw), 4):
                continue
            text = whole.replace(json.dumps(marker), raw if f"{json.dumps(marker)}:" not in whole else json.dumps(raw))
            answer = api(raw_event("POST", "/v1/campaigns", {}, sent, (text, False)), None)
            statuses[checked(answer, (raw[:80], whole[:600]))] += 1
            if answer["statusCode"] == 201:
                # No limit of the merchant's hides what would come next; and moto copies all it holds at each write.
                before.restore(table_name)
    assert statuses[422] > (400 if EVERYTHING else 70), statuses
    assert statuses.keys() <= {201, 400, 413, 422}, statuses


def test_callbacks_survive_everything(town: Town, shop: Shop) -> None:
    kinds = [own for own in destinations.kinds() if destinations.statuses(own) is not None]
    made = [town.victim("POST", "/v1/endpoints", minimal(kind)) for kind in kinds]
    endpoints = [own.json["id"] for own in made if own.status == 201]
    assert len(endpoints) >= 1, [own.text for own in made]
    named = st.sampled_from([*endpoints, town.ids["endpoint_id"], "ep_" + "0" * 26, "ep_" + "0" * 2_100]) | text

    @fuzzed(600)
    @given(st.sampled_from(["GET", "POST"]), named, queries, headers, bodies)
    def survives(method: str, endpoint_id: str, query: dict[str, str], sent: dict[str, str], body: Any) -> None:
        event = raw_event(method, f"/callbacks/{endpoint_id}", query, sent, body)
        event["pathParameters"] = {"endpoint_id": endpoint_id}
        checked(callbacks(event, None), event)

    survives()


def minimal(kind: str) -> dict[str, Any]:
    """A valid endpoint of a kind, as far as its schema tells."""
    schema = destinations.destination(kind).settings
    settings_of = dict.fromkeys(schema.get("required", []), "a" * 10)
    return {"kind": kind, "settings": settings_of | {"bearer_token": "abcdefgh"}}


def test_links_survive_everything(town: Town, shop: Shop) -> None:
    codes = [
        shop.stores.keys.recovery_codes().code(shop.digest()),
        shop.stores.keys.unsubscribe_codes().code(shop.digest()),
    ]
    coded = st.sampled_from([*codes, codes[0][:-1], codes[0] + "=", "A" * 46, "A" * 2_100]) | text

    @fuzzed(600)
    @given(st.sampled_from(["GET /r", "GET /u", "POST /u"]), coded, queries, headers, bodies)
    def survives(route: str, code: str, query: dict[str, str], sent: dict[str, str], body: Any) -> None:
        event = raw_event(route.split(maxsplit=1)[0], f"{route.split()[1]}/{code}", query, sent, body)
        event |= {"routeKey": f"{route}/{{code}}", "pathParameters": {"code": code}}
        answer = redirect.handler(event, None)
        if "text/html" not in sent.get("accept", "") or answer["statusCode"] < 400:
            checked(answer, event)

    survives()
