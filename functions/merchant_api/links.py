"""Links of the description: where an answer leads, by operation."""

from collections.abc import Mapping
from typing import Any, Final

Parameters = Mapping[str, str]
"""A parameter of the operation, and where in the answer its value stands."""

_ID: Final = "$response.body#/id"
_FIRST: Final = "$response.body#/data/0/id"
LINKS: Final[Mapping[str, tuple[tuple[str, Parameters], ...]]] = {
    "createMerchant": tuple(
        (to, {"merchant_id": _ID}) for to in ("readMerchant", "changeMerchant", "createMerchantToken")
    ),
    "listMerchants": (("readMerchant", {"merchant_id": _FIRST}),),
    "createToken": (("revokeToken", {"token_id": _ID}),),
    "createSource": tuple(
        (to, {"source_id": _ID})
        for to in (
            "readSource",
            "changeSource",
            "previewPayload",
            "sendSample",
            "rotateToken",
            "startBackfill",
            "deleteSource",
        )
    ),
    "listSources": (("readSource", {"source_id": _FIRST}),),
    "sendSample": tuple(
        (to, {"checkout_id": "$response.body#/checkout_id"}) for to in ("readCheckout", "listActivities")
    ),
    "startBackfill": (("readJob", {"job_id": _ID}),),
    "listJobs": (("readJob", {"job_id": _FIRST}),),
    "createEndpoint": (
        *((to, {"endpoint_id": _ID}) for to in ("readEndpoint", "changeEndpoint", "sendTestEvent", "deleteEndpoint")),
        ("listDeliveries", {"endpoint_id": _ID}),
    ),
    "listEndpoints": (("readEndpoint", {"endpoint_id": _FIRST}), ("listDeliveries", {"endpoint_id": _FIRST})),
    "readEndpoint": (("listDeliveries", {"endpoint_id": _ID}), ("recoverEndpoint", {"endpoint_id": _ID})),
    "sendTestEvent": (("readDelivery", {"delivery_id": _ID}),),
    "recoverEndpoint": (("readJob", {"job_id": _ID}),),
    "listDeliveries": (("readDelivery", {"delivery_id": _FIRST}), ("retryDelivery", {"delivery_id": _FIRST})),
    "readDelivery": (
        ("retryDelivery", {"delivery_id": _ID}),
        ("readEndpoint", {"endpoint_id": "$response.body#/endpoint_id"}),
    ),
    "listCheckouts": tuple(
        (to, {"checkout_id": _FIRST}) for to in ("readCheckout", "listActivities", "readEligibility")
    ),
    "readCheckout": (
        *((to, {"checkout_id": _ID}) for to in ("listActivities", "readEligibility", "discardCheckout")),
        ("completeCheckout", {"checkout_id": _ID}),
        ("listDeliveries", {"checkout_id": _ID}),
    ),
    "createCampaign": tuple(
        (to, {"campaign_id": _ID})
        for to in ("readCampaign", "changeCampaign", "pauseCampaign", "previewCampaign", "deleteCampaign")
    ),
    "listCampaigns": (("readCampaign", {"campaign_id": _FIRST}),),
    "createPool": (("readPool", {"pool_id": _ID}), ("addCodes", {"pool_id": _ID})),
    "listPools": (("readPool", {"pool_id": _FIRST}),),
    "createSuppression": (("liftListedSuppression", {"suppression_id": _ID}),),
    "listQuarantine": (("readQuarantined", {"quarantine_id": _FIRST}),),
    "readQuarantined": tuple(
        (to, {"quarantine_id": _ID}) for to in ("replayQuarantined", "previewQuarantined", "deleteQuarantined")
    ),
}


def links(operation_id: str) -> dict[str, Any]:
    """The links of an operation's successes."""
    return {to: {"operationId": to, "parameters": dict(own)} for to, own in LINKS.get(operation_id, ())}
