"""An answer of AWS that broke off is no answer.

The SDK takes a 200 whose JSON cannot be read for an empty one: a row that is there reads as none, and a checkout,
a merchant or an endpoint as gone. Of a refusal it keeps the status alone: a lost race, which a code would tell, looks
like a write that the table never takes. Such an answer, which something between AWS and us has cut, becomes a passing
error here: the SDK tries the call again, and whoever made it hears of a temporary failure when that does not help.
"""

import json
from typing import Any

_TRANSIENT = json.dumps({"__type": "RequestTimeout", "message": "the answer broke off"}).encode()


def demand_whole_answers(client: Any) -> None:
    """From now on the client takes no broken JSON for an answer."""
    client.meta.events.register_first("before-parse", _whole)
    client.meta.events.register_first("after-call", _told)


def _whole(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    """Before each answer is read."""
    # What an operation that answers nothing (KMS' DisableKey, SQS' DeleteMessage) has for a body, nobody reads.
    nothing_to_say = operation_model.output_shape is None and response_dict["status_code"] < 300
    if _is_json(operation_model) and not nothing_to_say and not _is_read(response_dict["body"]):
        response_dict |= {"status_code": 500, "body": _TRANSIENT}


def _told(http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
    """After the last try, what was refused in place of an answer is raised: the SDK goes by the status that came."""
    if http_response.status_code < 300 and parsed.get("Error"):
        http_response.status_code = 500


def _is_json(operation_model: Any) -> bool:
    """Whether the service answers with a JSON object wherever it answers anything."""
    return bool(operation_model.service_model.resolved_protocol == "json")


def _is_read(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False
