"""`checkback listen`: events by the cursor, handed to a receiver that verifies them as it will in production."""

from typing import Any

import pytest
from standardwebhooks import Webhook

from checkback.api import Api
from checkback.failures import Exit, Failed
from checkback.listening import Place, events
from infra.local.receiver import Receiver
from tests.integration.stand_in import Reply, StandIn
from tests.unit.cli.conftest import TOKEN, Run, documents

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def event(number: int) -> dict[str, Any]:
    data = {"checkout": {"id": f"chk_{number}", "customer": {"first_name": "Zoë"}}}
    timestamp = "2026-11-28T10:00:00Z"
    return {"id": f"evt_{number}", "type": "checkout.abandoned", "timestamp": timestamp, "data": data}


def page(cursor: str | None, *numbers: int) -> Reply:
    return Reply({"data": [event(own) for own in numbers], "next_cursor": cursor})


def test_a_receiver_on_this_machine_verifies_what_is_forwarded(logged_in: StandIn, run: Run, tmp_path: Any) -> None:
    (tmp_path / "secret").write_text(SECRET)
    logged_in.on("/v1/events", page("c1", 1, 2), page("c2", 3), page("c2"))
    given = (
        "--after",
        "c0",
        "--secret-file",
        str(tmp_path / "secret"),
        "--types",
        "checkout.abandoned",
        "--count",
        "3",
    )
    with Receiver() as receiver:
        receiver.secret = SECRET
        result = run("listen", "--forward", f"{receiver.url}/bsp", *given, "--count", "3")
    assert result.exit_code == Exit.DONE
    assert [own.event["id"] for own in receiver.received] == ["evt_1", "evt_2", "evt_3"]
    assert all(own.verified for own in receiver.received)
    assert [own.query["after"] for own in logged_in.asked] == [["c0"], ["c1"]]
    assert logged_in.asked[0].query["types"] == ["checkout.abandoned"]
    assert SECRET not in result.output
    assert "--after c2" in result.stderr


def test_without_a_secret_one_is_made_for_the_session_and_told(logged_in: StandIn, run: Run) -> None:
    logged_in.on("/v1/events", page("c1", 1))
    with Receiver() as receiver:
        result = run("listen", "--forward", receiver.url, "--after", "c0", "--count", "1")
    [received] = receiver.received
    told = result.stderr.partition("signing secret of this session: ")[2].split()[0]
    Webhook(told).verify(received.body, received.headers)
    assert received.headers["webhook-id"] == "evt_1"


def test_a_receiver_that_is_down_is_told_and_listening_goes_on(logged_in: StandIn, run: Run) -> None:
    logged_in.on("/v1/events", page("c1", 1, 2))
    with Receiver() as gone:
        url = gone.url
    result = run("listen", "--forward", url, "--after", "c0", "--count", "2", "--json")
    assert [own["forwarded"] for own in documents(result)] == ["not reached (ConnectError)"] * 2


def test_what_broke_is_asked_again_from_where_it_was(api: StandIn) -> None:
    api.on("/v1/events", page("c1", 1), Reply({"title": "x"}, 503), Reply(drops=True), page("c2", 2))
    pauses: list[float] = []
    with Api(api.url, TOKEN) as client:
        reading = events(client, Place("c0"), ends=lambda: False, pause=pauses.append)
        assert [next(reading)[0]["id"] for _ in range(2)] == ["evt_1", "evt_2"]
    assert [own.query["after"] for own in api.asked] == [["c0"], ["c1"], ["c1"], ["c1"]]
    assert pauses == [1.0, 2.0]


def test_a_refusal_is_not_asked_for_ever(api: StandIn) -> None:
    api.on("/v1/events", Reply({"title": "Unprocessable", "status": 422}, 422))
    with Api(api.url, TOKEN) as client, pytest.raises(Failed):
        next(events(client, Place("gone"), ends=lambda: False, pause=lambda _: None))


def test_listening_begins_behind_what_has_happened(logged_in: StandIn, run: Run) -> None:
    logged_in.on("/v1/events", page("c9"), page("c10", 1))
    assert run("listen", "--count", "1").exit_code == Exit.DONE
    assert [own.query["after"] for own in logged_in.asked] == [["now"], ["c9"]]


def test_an_answer_that_could_not_be_held_back_is_not_asked_for_at_once(api: StandIn) -> None:
    busy = Reply({"data": [], "next_cursor": "c0"}, headers={"Retry-After": "7"})
    api.on("/v1/events", busy, page("c1", 1))
    pauses: list[float] = []
    with Api(api.url, TOKEN) as client:
        next(events(client, Place("c0"), ends=lambda: False, pause=pauses.append))
    assert pauses == [7.0]


def test_a_stage_without_a_stream_is_said(logged_in: StandIn, run: Run) -> None:
    logged_in.on("/v1/events", Reply({"title": "Not found", "status": 404}, 404))
    result = run("listen")
    assert result.exit_code == Exit.NOT_FOUND
    assert "checkback deliveries tail" in result.stderr
