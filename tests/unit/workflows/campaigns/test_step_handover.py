"""A step as its receiver gets it: every link names the step, and every attempt is the same message."""

import json
from datetime import timedelta

import pytest

from shared.delivery.outcome import Outcome
from shared.destinations.destination import Unsendable
from tests.unit.workflows.campaigns.due_steps import DueSteps


def test_the_message_names_its_step_its_code_and_its_links(stage: DueSteps) -> None:
    own = stage.due()
    case = stage.case(own)
    handovers = stage.sender._handovers
    made = handovers.made(case, handovers.receiver(own.endpoint), None, "BACK10")
    told = json.loads(made.request.body)
    step = told["data"]["step"]
    digest, keys = own.checkout.digest, stage.stores.keys
    assert made.request.url == own.url
    assert (step["index"], step["campaign_id"], step["coupon_code"]) == (1, own.campaign.id, "BACK10")
    assert step["recovery_url"] == f"https://hooks.example.com/r/{keys.recovery_codes().code(digest, 1)}"
    assert step["unsubscribe_url"] == f"https://hooks.example.com/u/{keys.unsubscribe_codes().code(digest)}"
    assert step["idempotency_key"] == case.delivery_id
    assert told["merchant"] == {"id": own.merchant.id, "name": own.merchant.name}
    assert made.first is None


def test_every_attempt_is_the_same_message(stage: DueSteps) -> None:
    own = stage.due()
    handovers = stage.sender._handovers
    receiver = handovers.receiver(own.endpoint)
    first = handovers.made(stage.case(own), receiver, None, None).request
    stage.wait(timedelta(minutes=10))
    second = handovers.made(stage.case(own), receiver, None, None).request
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])


def test_a_vendor_that_must_be_told_first_is_told_of_the_shopper(stage: DueSteps) -> None:
    own = stage.due(kind="interakt_event")
    handovers = stage.sender._handovers
    made = handovers.made(stage.case(own), handovers.receiver(own.endpoint), None, None)
    assert made.first is not None
    assert made.first.url.endswith("/track/users/")


def test_a_message_that_cannot_be_made_says_whose_fault_it_is(stage: DueSteps) -> None:
    own = stage.due(kind="interakt_event", template={"event": "Cart", "traits": {"name": "{% nonsense %}"}})
    handovers = stage.sender._handovers
    with pytest.raises(Unsendable) as refused:
        handovers.made(stage.case(own), handovers.receiver(own.endpoint), None, None)
    assert refused.value.outcome in {Outcome.FAIL_MESSAGE, Outcome.FAIL_CONFIG}
