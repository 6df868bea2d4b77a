"""Whatever arrives, ingest answers without a 5xx, loses no authentic body and stores nothing of an unauthentic one.

Every sample of every provider, mutated as JSON and as bytes, signed or forged, goes through the real handler on a stage
on moto. A few hundred cases run with every test run; ``make fuzz`` runs 20,000 (``CASES=``) and prints the count.
"""

import base64
import json
import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from moto.dynamodb.models import dynamodb_backends

from checkback.proofs import prove
from checkback.samples import ProviderSamples, providers
from functions.ingest.composition import receiver, stores
from functions.ingest.handler import handler
from shared.aws import clients
from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.domain.ids import MerchantId, QuarantineId, SourceId, TokenId, derived_ulid, digest_of
from shared.domain.instants import EPOCH
from shared.domain.merchant import Merchant, Source, SourceCredentials, SourceSettings
from shared.providers import registry
from shared.store import keys
from shared.store.configuration import MerchantStore, SourceStore, TokenRecord
from shared.store.quarantine import QuarantineStore
from tests.integration.conftest import DUE_SHARDS, REGION, Stage
from tests.unit.providers.conftest import mutations

pytestmark = pytest.mark.long

EVENTS = Path(__file__).parents[2] / "events"
CASES = int(os.environ.get("FUZZ_CASES", "300"))
ROUND = 500
"""Cases on one stage: moto copies whole tables for a transaction, so a large one is slow and takes gigabytes."""
SEED = int(os.environ.get("FUZZ_SEED", "0" if "FUZZ_CASES" not in os.environ else str(random.randrange(10**9))))
TOTALS: Counter[str] = Counter()
MERCHANT = MerchantId("mer_01JDZZZZZZZZZZZZZZZZZZZZZZ")
ACCOUNT_ID = "123456789012"
SECRET = "a-secret-of-the-source"
URL_TOKEN = "a-token-in-the-url-of-this-source"
API_CREDENTIALS = {"tenant": "t", "access_token": "x"}
SETTINGS: Mapping[str, dict[str, Any]] = {
    "razorpay": {"money_unit": "minor"},
    "custom": {
        "mapping": json.loads((EVENTS / "custom/mapped.mapping.json").read_text()),
        "signature": {"header": "x-acme-signature", "algorithm": "sha256", "encoding": "hex"},
    },
}


def source_of(provider: str) -> SourceId:
    """The one source of each provider."""
    return SourceId("src_" + derived_ulid(EPOCH, provider))


Sent = tuple[dict[str, str], dict[str, str]]
"""Headers and query."""


WHSEC = "whsec_" + base64.b64encode(SECRET.encode()).decode()


def proof_of(name: str, body: bytes, secret: str) -> Sent:
    """How the provider proves a body that a source with ``SECRET`` gets; ``secret`` is the sender's."""
    scheme = ProviderSamples(name).proof
    match scheme["scheme"]:
        case "jwt":
            return {}, {}
        case "url":
            return {}, {"token": URL_TOKEN if secret == SECRET else "another"}
        case "svix":
            secret = "whsec_" + base64.b64encode((secret or " ").encode()).decode()
    _, headers = prove(scheme, body, secret or " ", now(), SETTINGS.get(name, {}))
    return headers, {}


TOPICS = {
    "emporix": ("cart.updated", "cart.item-added", "cart.closed", "order.created", "cart.merged", "cart.created", "x"),
    "shopify": ("checkouts/update", "checkouts/delete", "orders/create", "carts/update", "x/y"),
    "woocommerce": ("order.created", "order.updated", "order.deleted", "coupon.created"),
    "cashfree": ("abandonedCheckout", "PAYMENT_SUCCESS_WEBHOOK"),
}
TOPIC_HEADERS = {"shopify": "x-shopify-topic", "woocommerce": "x-wc-webhook-topic", "cashfree": "x-webhook-topic"}
SAMPLES = tuple(
    (name, json.loads(path.read_text()))
    for name in registry.names()
    for path in sorted((EVENTS / name).glob("*.json"))
    if not path.name.endswith((".expected.json", ".mapping.json"))
)


@dataclass(frozen=True)
class Case:
    """One webhook: whose it is, its bytes, and whether the provider could have sent it."""

    provider: str
    body: bytes
    headers: dict[str, str]
    query: dict[str, str]
    event: str | None
    authentic: bool


def _wix_body(claims: Any, secret: str) -> bytes:
    """The claims as a signed token; a forger has another key."""
    whole = {**(claims if isinstance(claims, dict) else {"data": claims}), "exp": int(now().timestamp()) + 600}
    return jwt.encode(whole, _key_of("Wix" if secret == SECRET else "a forger"), algorithm="RS256").encode()


@cache
def _key_of(whose: str) -> rsa.RSAPrivateKey:
    """One for each."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _wix_event(sample: Any) -> Any:
    """The event inside a claim set, and None for what is no claim set."""
    try:
        return json.loads(json.loads(sample["data"])["data"])
    except (KeyError, TypeError, ValueError):
        return None


def connect(
    stores: Stores, merchant_id: MerchantId, name: str, at: datetime, api: Mapping[str, str] = API_CREDENTIALS
) -> None:
    """A merchant's one source of a provider."""
    source_id = source_of(name)
    secret = SECRET if name != "emporix" else WHSEC
    public = _key_of("Wix").public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    credentials = SourceCredentials((secret,), pem, api, URL_TOKEN)
    sealed = stores.cipher.seal_source(source_id, merchant_id, credentials)
    own = SourceSettings(**SETTINGS.get(name, {}))
    SourceStore(stores.table).create(Source(source_id, merchant_id, name, at, settings=own, sealed=sealed))


def proved(name: str, body: Any, topic: str | None = None, **headers: str) -> dict[str, Any]:
    """A provider's webhook with its proof, as API Gateway hands it to ingest."""
    raw = _wix_body(body, SECRET) if name == "wix" else json.dumps(body).encode()
    proof, query = proof_of(name, raw, SECRET)
    named = {TOPIC_HEADERS[name]: topic} if topic and name in TOPIC_HEADERS else {}
    return {
        "pathParameters": {"source_id": source_of(name)} | ({"event": topic} if topic and name == "emporix" else {}),
        "queryStringParameters": query or None,
        "headers": {**proof, **named, **headers},
        "body": base64.b64encode(raw).decode(),
        "isBase64Encoded": True,
    }


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A mutated sample of some provider."""
    name, sample = draw(st.sampled_from(SAMPLES))
    authentic = draw(st.integers(0, 5)) < 5
    secret = SECRET if authentic else draw(st.sampled_from(["", "wrong", SECRET[:-1], "ä" * 8]))
    event = _wix_event(sample) if name == "wix" else None
    if event is not None:
        mutated = draw(mutations(event) | st.just(event))
        envelope = {**json.loads(sample["data"]), "data": json.dumps(mutated)}
        body = _wix_body({**sample, "data": json.dumps(envelope)}, secret)
    else:
        mutated = draw(mutations(sample) | st.just(sample))
        body = _wix_body(mutated, secret) if name == "wix" else json.dumps(mutated).encode()
    if name != "wix" and draw(st.integers(0, 7)) == 7:
        body = draw(_broken(body))
    topic = draw(st.none() | st.sampled_from(TOPICS.get(name, ("created",))))
    headers, query = proof_of(name, body, secret)
    if not authentic and draw(st.booleans()):
        headers, query = {}, {}
    if topic is not None and name in TOPIC_HEADERS:
        headers = headers | {TOPIC_HEADERS[name]: topic}
    return Case(name, body, headers, query, topic if name == "emporix" or draw(st.booleans()) else None, authentic)


def _broken(body: bytes) -> st.SearchStrategy[bytes]:
    """The body cut, with foreign bytes in it, or something else altogether."""
    place = st.integers(0, max(len(body) - 1, 0))
    return st.one_of(
        place.map(lambda at: body[:at]),
        st.tuples(place, st.binary(min_size=1, max_size=4)).map(
            lambda own: body[: own[0]] + own[1] + body[own[0] + 1 :]
        ),
        st.binary(max_size=64),
        st.sampled_from([b"", b"{}", b"[]", b"null", b"1", b'"x"', b"[" * 20_000, b"\xff\xfe{}", b"a=b&c=d"]),
    )


class Counted:
    """The stage, and every write that ingest makes on it."""

    def __init__(self, stage: Stage) -> None:
        self.stores = Stores(Environment.read())
        self.outcomes: Counter[str] = Counter()
        self.writes: list[str] = []
        self.quarantine = QuarantineStore(self.stores.table)
        self._s3 = boto3.client("s3")
        # Nobody reads the stream here, and moto keeps it in memory.
        dynamodb_backends[ACCOUNT_ID][REGION].get_table(stage.table_name).stream_shard = None
        writing = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem")
        for operation in writing:
            clients.dynamodb().meta.events.register(f"before-call.dynamodb.{operation}", self._wrote)
        clients.s3().meta.events.register("before-call.s3.PutObject", self._wrote)
        clients.sqs().meta.events.register("before-call.sqs.SendMessageBatch", self._wrote)
        merchant = Merchant(
            *(MERCHANT, "A shop", ("shop.example.com",), "IN", "INR", "Asia/Kolkata", now()),
        )
        MerchantStore(self.stores.table).create(merchant, TokenRecord(TokenId("tok_1"), MERCHANT, "hash", now()))
        for name in registry.names():
            connect(self.stores, MERCHANT, name, now())

    def _wrote(self, model: Any, **_: Any) -> None:
        self.writes.append(model.name)

    def kept(self, quarantine_id: str) -> bytes:
        """The bytes behind a quarantine row."""
        row = self.quarantine.get(QuarantineId(quarantine_id))
        assert row is not None
        found: bytes = self._s3.get_object(Bucket="quarantine", Key=f"quarantine/{row.object_key}")["Body"].read()
        return found

    def knows_an_order(self) -> bool:
        """Whether something was taken back, or bought, before."""
        found = clients.dynamodb().scan(
            TableName=self.stores.table.name,
            FilterExpression="begins_with(pk, :order)",
            ExpressionAttributeValues={":order": {"S": keys.ORDER_PREFIX}},
        )
        return bool(found["Items"])


@pytest.fixture
def counted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    for name, value in {
        "STAGE": "dev",
        "TABLE_NAME": stage.table_name,
        "PUBLIC_URL": "https://hooks.example.com",
        "KEYS_SECRET_ARN": stage.keys_secret_arn,
        "CREDENTIALS_KEY_ARN": stage.key_arn,
        "QUARANTINE_BUCKET": stage.bucket,
        "PULLS_QUEUE_URL": stage.pulls_url,
        "DUE_SHARDS": str(DUE_SHARDS),
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("functions.ingest.handler.logger", _Quiet())
    monkeypatch.setattr("functions.ingest.answers.count_quarantined", lambda: None)
    stores.cache_clear()
    receiver.cache_clear()
    yield Counted(stage)
    stores.cache_clear()
    receiver.cache_clear()


class _Quiet:
    """20,000 log lines say nothing; an exception is kept for the failure's report."""

    def info(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    def exception(self, *_: Any, **__: Any) -> None:
        """Shown when the case fails."""
        import traceback

        traceback.print_exc()


def test_every_provider_is_fuzzed() -> None:
    assert set(providers()) == set(registry.names())
    assert {name for name, _ in SAMPLES} == set(registry.names())


@pytest.mark.parametrize("turn", range(-(-CASES // ROUND)))
def test_ingest_survives_everything(turn: int, counted: Counted, capsys: pytest.CaptureFixture[str]) -> None:
    @seed(SEED + turn)
    @settings(
        max_examples=min(ROUND, CASES - turn * ROUND),
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def survives(case: Case) -> None:
        _check(counted, case)

    survives()
    with capsys.disabled():
        TOTALS.update(counted.outcomes)
        print(f"\nfuzz, seed {SEED}: {TOTALS.total()} webhooks through ingest: {dict(sorted(TOTALS.items()))}")


def _check(counted: Counted, case: Case) -> None:
    counted.writes.clear()
    path = {"source_id": source_of(case.provider)} | ({"event": case.event} if case.event else {})
    answer = handler(
        {
            "pathParameters": path,
            "queryStringParameters": case.query or None,
            "headers": case.headers,
            "body": base64.b64encode(case.body).decode(),
            "isBase64Encoded": True,
        },
        None,
    )
    body = json.loads(answer["body"])
    status = answer["statusCode"]
    outcome = f"{status} {body['status']}" if status == 200 else str(status)
    counted.outcomes[outcome] += 1
    if not case.authentic and not _is_ping(case):
        assert status in {400, 401}, outcome
        assert counted.writes == []
        return
    assert status in {200, 400}, (outcome, body)
    if status == 400:
        assert not _is_json(case.body)
        assert counted.writes == []
    elif body["status"] == "quarantined":
        assert counted.kept(body["quarantine_id"]) == case.body
    elif body["status"] in {"accepted", "duplicate"}:
        ids = body.get("checkout_ids") or ([body["checkout_id"]] if "checkout_id" in body else [])
        # Without a checkout: contents to be asked for, or what is taken back of an order that no checkout is known of.
        assert ids or counted.writes or (body["status"] == "duplicate" and counted.knows_an_order())
        for checkout_id in ids:
            digest = digest_of(checkout_id)
            assert digest is not None
            assert counted.stores.checkouts.get(digest) is not None
    else:
        assert body["status"] == "ignored"
        assert body["reason"]
        assert counted.writes == []


def _is_ping(case: Case) -> bool:
    """WooCommerce's unsigned ping is answered 200 and says nothing."""
    return case.provider == "woocommerce" and case.body.startswith(b"webhook_id=")


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body.decode("utf-8-sig"), parse_constant=_refused)
    except (ValueError, RecursionError):
        return False
    return True


def _refused(constant: str) -> Any:
    raise ValueError(constant)
