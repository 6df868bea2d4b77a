"""Every AWS call of a sample, and of turning over an address, fails once; the repeat makes one and not two."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from functions.merchant_api import services
from tests.integration.api.conftest import Answer, Api, merchant, operator, stage_name
from tests.integration.conftest import Stage
from tests.integration.faults.aws_calls import AwsCalls, Fault, Kind, WorkerKilled
from tests.integration.faults.conftest import CASES, EVERYTHING, StageState

__all__ = ["merchant", "operator", "stage_name"]
pytestmark = pytest.mark.long
KEY = {"idempotency-key": "one-request"}


def ended(merchant: Api, path: str, calls: AwsCalls, fault: Fault | None) -> Answer:
    """The last answer of a request that is repeated until it is done."""
    services.services.cache_clear()
    answer: Answer | None = None
    for minutes in (0, 0, 2, 4):
        with time_machine.travel(datetime.now(UTC) + timedelta(minutes=minutes), tick=True):
            try:
                with calls.watched(fault):
                    answer = merchant("POST", path, headers=KEY)
            except WorkerKilled:
                services.services.cache_clear()
            fault = None
        if answer is not None and answer.status < 500 and answer.status != 409:
            return answer
    raise AssertionError(answer)


@pytest.mark.parametrize("action", ["sample", "rotate-token"])
def test_whichever_call_fails_it_is_done_once(
    action: str,
    stage: Stage,
    merchant: Api,
    calls: AwsCalls,
    record_property: Callable[[str, object], None],
) -> None:
    source: dict[str, Any] = merchant("POST", "/v1/sources", {"provider": "custom"}).json
    path, held = f"/v1/sources/{source['id']}/{action}", StageState.taken(stage.table_name)
    assert ended(merchant, path, calls, None).status == 200
    names = list(calls.names)
    assert len(names) >= 3
    kinds = tuple(Kind) if EVERYTHING else (Kind.THROTTLED, Kind.UNSEEN)
    faults = [Fault(at, kind) for at in range(len(names)) for kind in kinds]
    record_property(CASES, (f"samples, {action}", len(faults)))

    wrong = []
    for fault in faults:
        held.restore(stage.table_name)
        answer = ended(merchant, path, calls, fault)
        again = merchant("POST", path, headers=KEY)
        made = merchant("GET", "/v1/checkouts").json["data"]
        version = merchant("GET", f"/v1/sources/{source['id']}").headers["etag"]
        expected = (1, '"1"') if action == "sample" else (0, '"2"')
        if (len(made), version) != expected or answer.status != 200 or again.json != answer.json:
            wrong.append(f"{fault.kind} {fault.at} {names[fault.at]}: {len(made)} {version} {answer.text} {again.text}")

    assert not wrong, "\n".join(wrong)
