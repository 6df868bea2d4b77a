"""Codes that the merchant's own server makes: what its answers mean."""

from datetime import timedelta

import pytest

from shared.aws.stores import now
from shared.delivery.exchange import (
    Answer,
    DeliveryError,
    DestinationTimeout,
    DestinationUnreachable,
    ForbiddenAddress,
    OutboundRequest,
    SendResult,
)
from shared.domain.coupon import Allocation, CouponRule
from shared.store.configuration import EndpointStore
from shared.store.coupons import CouponStore
from shared.workflows.campaigns.coupon_source import CouponSource
from shared.workflows.campaigns.step_coupon import CouponDelayed
from tests.unit.workflows.campaigns.due_steps import Due, DueSteps

WITHIN = timedelta(seconds=3)


def minted(stage: DueSteps, own: Due, answer: Answer | DeliveryError, step: int = 1) -> Allocation | None:
    """What the step gets when the merchant's server answers so."""
    asked: list[OutboundRequest] = []

    def send_all(requests: list[OutboundRequest]) -> list[SendResult]:
        asked.extend(requests)
        answered = answer if isinstance(answer, Answer) else None
        error = answer if isinstance(answer, DeliveryError) else None
        return [SendResult(now(), now(), 1, sent=True, answer=answered, error=error)]

    source = CouponSource(CouponStore(stage.table), EndpointStore(stage.table), stage.stores.cipher, send_all)  # type: ignore[arg-type]
    rule = CouponRule("minted", endpoint_id=own.endpoint.id)
    given = source.allocate(stage.episode(own), step, rule, now(), WITHIN)
    assert [request.timeout for request in asked] == [WITHIN]
    return given


def test_the_code_is_written_down_before_anybody_sees_it(stage: DueSteps) -> None:
    own = stage.due()
    given = minted(stage, own, Answer(201, body=b'{"code": " BACK-1 "}'))
    assert given is not None
    assert given.code == "BACK-1"
    assert CouponStore(stage.table).allocations(own.message.episode_id) == [given]


def test_a_second_answer_does_not_change_the_code(stage: DueSteps) -> None:
    own = stage.due()
    minted(stage, own, Answer(200, body=b'{"code": "BACK-1"}'))
    again = minted(stage, own, Answer(200, body=b'{"code": "BACK-2"}'))
    assert again is not None
    assert again.code == "BACK-1"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500),
        Answer(503, body=b'{"code": "BACK-1"}'),
        Answer(429),
        Answer(200, body=b'{"code": "BA', complete=False),
        DestinationTimeout("no answer in time"),
        DestinationUnreachable("the host name does not resolve"),
    ],
)
def test_whoever_gave_no_answer_may_be_asked_again(stage: DueSteps, answer: Answer | DeliveryError) -> None:
    with pytest.raises(CouponDelayed):
        minted(stage, stage.due(), answer)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404),
        Answer(302, body=b'{"code": "BACK-1"}'),
        Answer(200, body=b"{}"),
        Answer(200, body=b'{"code": 7}'),
        Answer(200, body=b'{"code": "  "}'),
        Answer(200, body=b"\xff"),
        Answer(200, body=b"[]"),
        Answer(200, body=b'{"code": "' + b"x" * 101 + b'"}'),
        ForbiddenAddress("the host does not resolve to public addresses only"),
    ],
)
def test_whoever_has_none_is_believed(stage: DueSteps, answer: Answer | DeliveryError) -> None:
    assert minted(stage, stage.due(), answer) is None
