"""What no schema can say of the merchant API: formats that have no keyword, and refusals that need more than a look at
the request. Loaded by Schemathesis' own process.
"""

import atexit
import gc
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData

# Nearly everything is kept to the end: looking through all of it for rubbish again and again, and once more when the
# process ends, was an eighth of its work. Not looking costs 240 MB.
gc.disable()
atexit.register(gc.freeze)

STAYS: dict[str, list[str]] = json.loads(os.environ["CHECKBACK_STAYS"])
"""By operation: an id that it may not take away, that of whoever is asking above all, and another to take instead.
``endpoint_id``, ``checkout_id``: what bodies may name."""
PAYLOAD = json.loads((Path(__file__).parents[3] / "events" / "flexype" / "abandoned-checkout.json").read_text())
FORMATS = {
    "phone": ("+919876543210", "09876543210", "+12025550123"),
    "iso-4217": ("INR", "USD", "jpy"),
    "iso-3166-1-alpha-2": ("IN", "US", "de"),
    "iana-time-zone": ("Asia/Kolkata", "UTC", "America/New_York"),
    "idn-hostname": ("shop.example", "www.shop.example", "teehaus.example"),
    "uri": ("https://bsp.example.com/hooks", "https://one.example.net/"),
    "duration": ("PT5S", "PT30S", "PT30M", "PT4H", "P1D", "P7D"),
}
NOT_UNDERSTOOD = {"Payload not understood", "Malformed JSON"}
_CURSOR = "not a cursor of this list"
_RANGE = "must lie between P"
_ONE = "give exactly one of phone, email and customer_id"
_PERIOD = ("lies after to", "at most 366 days in one report", _CURSOR)
_FREE = ("a name must not be empty", "nested more than", "a number is too")
_SETTINGS = (
    _RANGE,
    "has more decimals than its currency",
    "a currency stands once",
    "may only rise",
    "must differ from start",
)
_ENDPOINT = (
    _RANGE,
    "at least PT5S",
    "the URL leads back to Checkback itself",
    "unknown field for this kind",
    "required for this kind",
    "does not fit the kind's schema",
    "/settings/filter",
    *_FREE,
)
_SOURCE = (
    _RANGE,
    "/settings/mapping",
    "required for this provider",
    "this provider takes no such credential",
    "this provider's webhooks tell no version",
)
_CAMPAIGN = (
    _RANGE,
    "must be earlier than do_not_send_after",
    "must be earlier than the recovery_horizon",
    "must not come before the step above it",
    "modified_after must reach further back than modified_before",
    "1 to 100 printable characters",
    "/trigger/expression",
    "/criteria",
    *_FREE,
    "no such coupon pool",
    "no such endpoint",
)
REASONS = {
    **dict.fromkeys(
        (
            *("listMerchants", "listTokens", "listSources", "listEndpoints", "listCampaigns", "listPools"),
            *("listCheckouts", "listCustomerCheckouts", "listActivities", "listDeliveries", "listQuarantine"),
            *("previewCampaign", "exportCustomer", "eraseCustomer", "readEvents"),
        ),
        (_CURSOR,),
    ),
    **dict.fromkeys(("readFacts", "recovery", "funnel", "sources"), _PERIOD),
    "listJobs": ("a job is of a source or of an endpoint", _CURSOR),
    "listSuppressions": (_ONE, _CURSOR),
    "liftSuppression": (_ONE,),
    **dict.fromkeys(("createMerchant", "changeMerchant"), _SETTINGS),
    "changeProfile": (*_SETTINGS, "only the operator adds a store domain"),
    **dict.fromkeys(("createEndpoint", "changeEndpoint"), _ENDPOINT),
    "previewDelivery": (*_ENDPOINT, "no such checkout"),
    "rotateSecret": (_RANGE,),
    **dict.fromkeys(("createSource", "changeSource"), _SOURCE),
    **dict.fromkeys(("createCampaign", "changeCampaign"), _CAMPAIGN),
    "previewDraft": (*_CAMPAIGN, "/campaign/criteria", "/campaign/trigger/expression", "no such campaign", _CURSOR),
    **dict.fromkeys(("startBackfill", "recoverEndpoint"), ("lies in the future",)),
    "rotateToken": (_RANGE,),
    "sendSample": ("the provider's sample has no place",),
    "previewQuarantined": ("/mapping",),
    "createPortalLink": ("the operator names a merchant",),
}
"""By operation: why a request may be refused that fits the description, as far as the description says so in words.

The beginning of what is told, or of the place it is told of.
"""
_KEYS = count()

for _name, _values in FORMATS.items():
    schemathesis.openapi.format(_name, st.sampled_from(_values))
schemathesis.openapi.format("date", st.dates(date(1970, 1, 2), date(2999, 12, 30)).map(date.isoformat))
schemathesis.openapi.format(
    "date-time",
    st.datetimes(datetime(1970, 1, 2), datetime(2999, 12, 30), timezones=st.just(UTC)).map(  # noqa: DTZ001
        lambda own: own.isoformat().replace("+00:00", "Z")
    ),
)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Name what exists, and give each request a key of its own: a key used twice says nothing of the second request.

    Neither the merchant that asks is erased, nor its token: everything after would be refused.
    """
    mine, *others = STAYS.get(f"{case.method} {case.path}", [None])
    for name, named in list((case.path_parameters or {}).items()):
        if named == mine:
            case.path_parameters[name] = others[0]
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch(r"[!-~]{1,200}", key):
        case.headers["Idempotency-Key"] = f"{key}-{next(_KEYS)}"
    if not isinstance(case.body, dict):
        return
    if case.path.endswith("/preview") and case.path.startswith("/v1/sources"):
        case.body = PAYLOAD
    for part in _objects(case.body):
        for name, shape in (("endpoint_id", "ep_[0-9A-Z]{26}"), ("checkout_id", "chk_[a-z2-7]{26}")):
            if re.fullmatch(shape, str(part.get(name))):
                part[name] = STAYS[name][0]


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether a failure is one: not where the description says in words what it cannot say in keywords.

    A request that fits is refused for a reason of its operation's, or one that does not is taken, its blanks taken off.
    """
    if isinstance(failure, AcceptedNegativeData):
        return not _has_blanks_around(case.body)
    if not isinstance(failure, RejectedPositiveData):
        return True
    operation = case.operation.definition.raw["operationId"]
    problem = response.json()
    if operation in {"previewPayload", "previewQuarantined"} and problem["title"] in NOT_UNDERSTOOD:
        return False
    if operation == "sendSample" and response.status_code == 429:
        return False  # a bound of its own: ten a minute
    told = REASONS.get(operation, ())
    errors = problem.get("errors", [])
    return not errors or not all(
        own["detail"].startswith(told) or own.get("pointer", "").startswith(told) for own in errors
    )


def _has_blanks_around(part: Any) -> bool:
    """Whether some text may fit once the blanks around it are taken off."""
    if isinstance(part, dict):
        return any(map(_has_blanks_around, part.values()))
    if isinstance(part, list):
        return any(map(_has_blanks_around, part))
    return isinstance(part, str) and part != part.strip()


def _objects(body: Any) -> Iterator[dict[str, Any]]:
    if isinstance(body, dict):
        yield body
        for part in body.values():
            yield from _objects(part)
    elif isinstance(body, list):
        for part in body:
            yield from _objects(part)
