"""The commands as an integrator types them: what they ask of the API, what they print, how they end."""

import json
import stat
from pathlib import Path

import pytest

from checkback.api import Api
from checkback.commands.doctor import examined
from checkback.failures import Exit, Failed
from tests.integration.stand_in import Reply, StandIn
from tests.unit.cli.conftest import TOKEN, Run, documents

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
EMPTY = Reply({"data": [], "next_cursor": None})


def listed(*rows: dict[str, object]) -> Reply:
    return Reply({"data": list(rows), "next_cursor": None})


def test_a_token_is_kept_once_the_api_has_accepted_it_and_never_printed(api: StandIn, run: Run, home: Path) -> None:
    result = run("login", "--api-url", api.url, "--token-stdin", input=TOKEN + "\n")
    assert (result.exit_code, TOKEN in result.output) == (Exit.DONE, False)
    assert api.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert stat.S_IMODE((home / "secrets.json").stat().st_mode) == 0o600
    assert TOKEN not in (home / "profiles.json").read_text()
    assert documents(run("whoami", "--json"))[0]["id"] == "mer_1"


def test_a_token_that_is_refused_is_not_kept(api: StandIn, run: Run, home: Path) -> None:
    api.on("/v1/merchant", Reply({"title": "Unauthorized", "status": 401, "detail": "No such token."}, 401))
    result = run("login", "--api-url", api.url, "--token-stdin", input=TOKEN)
    assert result.exit_code == Exit.CREDENTIALS
    assert not home.exists()


def test_a_token_goes_nowhere_over_plain_http_but_to_this_machine(run: Run) -> None:
    result = run("login", "--api-url", "http://checkback.example.com", "--token-stdin", input=TOKEN)
    assert result.exit_code == Exit.USAGE
    assert "https" in result.output


def test_secrets_that_others_can_read_are_not_used(logged_in: StandIn, run: Run, home: Path) -> None:
    (home / "secrets.json").chmod(0o644)
    result = run("whoami")
    assert result.exit_code == Exit.CREDENTIALS
    assert "chmod 600" in result.output


def test_profiles_stand_side_by_side(api: StandIn, run: Run) -> None:
    for name in ("dev", "production"):
        run("login", "--profile", name, "--api-url", api.url, "--token-stdin", input=f"token-of-{name}")
    run("profiles", "--use", "dev")
    run("whoami")
    run("whoami", "--profile", "production")
    asked = [own.headers["authorization"] for own in api.asked[-2:]]
    assert asked == ["Bearer token-of-dev", "Bearer token-of-production"]
    assert run("logout", "--profile", "dev").exit_code == Exit.DONE
    assert run("whoami", "--profile", "dev").exit_code == Exit.CREDENTIALS


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, 3), (403, 3), (404, 4), (409, 5), (422, 5), (429, 7), (500, 6), (503, 6)],
)
def test_a_problem_is_told_readable_and_by_the_exit_code(logged_in: StandIn, run: Run, status: int, code: int) -> None:
    problem = {
        "type": "urn:checkback:problem:x",
        "title": "Not so",
        "status": status,
        "detail": "Because.",
        "errors": [{"pointer": "/settings/currency", "detail": "no such currency"}],
    }
    logged_in.on("/v1/sources", Reply(problem, status))
    result = run("sources", "list")
    assert result.exit_code == code
    assert result.stderr.splitlines() == [
        f"Error: {status} Not so",
        "Because.",
        "  /settings/currency: no such currency",
    ]
    assert documents(run("sources", "list", "--json")) == [problem]


def test_an_api_that_is_not_there_is_told_in_a_word(logged_in: StandIn, run: Run) -> None:
    logged_in.on("/v1/endpoints", Reply(drops=True))
    result = run("endpoints", "list")
    assert result.exit_code == Exit.UNREACHABLE
    assert "Traceback" not in result.output


def test_a_page_that_is_no_api_is_told_so(logged_in: StandIn, run: Run) -> None:
    logged_in.on("/v1/endpoints", Reply(b"<html>Welcome</html>"))
    assert run("endpoints", "list").exit_code == Exit.UNREACHABLE


def test_a_list_is_read_page_by_page(logged_in: StandIn, run: Run) -> None:
    first = [{"id": f"dlv_{own}", "status": "delivered"} for own in range(3)]
    logged_in.on(
        "/v1/deliveries",
        Reply({"data": first, "next_cursor": "more"}),
        Reply({"data": [{"id": "dlv_3", "status": "failed"}], "next_cursor": None}),
    )
    shown = documents(run("deliveries", "list", "--json", "--status", "failed"))
    assert [own["id"] for own in shown] == ["dlv_0", "dlv_1", "dlv_2", "dlv_3"]
    assert logged_in.asked[-1].query == {"status": ["failed"], "limit": ["47"], "cursor": ["more"]}


def test_what_a_vendor_wrote_does_not_move_the_cursor_of_a_terminal(logged_in: StandIn, run: Run) -> None:
    logged_in.on("/v1/deliveries", listed({"id": "dlv_1", "status": "failed", "reason": "\x1b[2Jgone\r\n\u202etxt"}))
    printed = run("deliveries", "list").stdout
    assert not set(printed) & {"\x1b", "\r", "\u202e"}


def test_the_secret_of_a_new_source_is_kept_and_printed_only_when_asked_for(logged_in: StandIn, run: Run) -> None:
    made = {"id": "src_1", "provider": "shopflo", "url": "https://x.example/hooks/src_1?token=of-the-url"}
    logged_in.on("/v1/sources", Reply({**made, "credentials": {"secret": "of-the-source"}}, 201))
    quiet = run("sources", "add", "shopflo", "--json")
    assert "of-the-source" not in quiet.output
    assert "of-the-url" not in quiet.output
    assert "of-the-source" in run("sources", "add", "shopflo", "--show-secret").output
    shown = run("sources", "secret", "src_1").stdout
    assert "of-the-source" in shown
    assert "of-the-url" in shown
    assert run("sources", "secret", "src_2").exit_code == Exit.NOT_FOUND


def test_the_signing_secret_of_an_endpoint_is_kept_the_same_way(logged_in: StandIn, run: Run) -> None:
    made = {"id": "ep_1", "url": "https://bsp.example.com", "event_types": [], "signing_secret": SECRET}
    logged_in.on("/v1/endpoints", Reply(made, 201))
    assert SECRET not in run("endpoints", "add", "https://bsp.example.com", "--event", "checkout.abandoned").output
    assert logged_in.asked[-1].json["event_types"] == ["checkout.abandoned"]
    assert SECRET in run("endpoints", "secret", "ep_1").stdout


def test_a_webhook_is_triggered_as_the_provider_sends_it(logged_in: StandIn, run: Run) -> None:
    made: dict[str, object] = {
        "id": "src_1",
        "provider": "shopify",
        "url": f"{logged_in.url}/hooks/src_1",
        "settings": {},
    }
    logged_in.on("/v1/sources", Reply({**made, "credentials": {"secret": "s"}}, 201))
    run("sources", "add", "shopify", "--test-keys")
    given = logged_in.asked[-1].json["credentials"]["secret"]
    logged_in.on("/v1/sources", listed(made))
    logged_in.on("/hooks/src_1", Reply({"status": "accepted", "checkout_id": "chk_1"}))
    [told] = documents(run("trigger", "shopify", "--phone", "+919820012345", "--json"))
    hook = logged_in.asked_at("/hooks/src_1")[-1]
    assert (told["status"], told["checkout_id"]) == ("accepted", "chk_1")
    assert hook.headers["x-shopify-topic"] == "checkouts/create"
    assert "authorization" not in hook.headers
    assert (hook.json["phone"], hook.json["email"]) == ("+919820012345", None)
    assert given not in json.dumps(told)
    run("trigger", "shopify", "--email", "me@shop.example")
    hook = logged_in.asked_at("/hooks/src_1")[-1]
    assert (hook.json["phone"], hook.json["customer"]["phone"], hook.json["email"]) == (None, None, "me@shop.example")
    logged_in.on("/hooks/src_1", Reply({"title": "Unauthorized", "status": 401}, 401))
    assert run("trigger", "shopify").exit_code == Exit.CREDENTIALS
    logged_in.on("/hooks/src_1", Reply({"status": "quarantined", "quarantine_id": "qrn_1"}))
    assert run("trigger", "shopify").exit_code == Exit.NO


def test_a_provider_that_is_not_connected_is_said_with_what_to_do(logged_in: StandIn, run: Run) -> None:
    logged_in.on("/v1/sources", EMPTY)
    result = run("trigger", "stripe")
    assert result.exit_code == Exit.NOT_FOUND
    assert "checkback sources add stripe" in result.output


def test_deliveries_are_followed_as_they_change(logged_in: StandIn, run: Run) -> None:
    pending = {"id": "dlv_1", "status": "pending", "attempt_count": 0}
    logged_in.on("/v1/deliveries", listed(pending), listed({**pending, "status": "delivered", "attempt_count": 1}))
    shown = documents(run("deliveries", "tail", "--seconds", "0.5", "--json"))
    assert [own["status"] for own in shown] == ["pending", "delivered"]


def test_deliveries_are_retried_and_recovered(logged_in: StandIn, run: Run) -> None:
    logged_in.on("/v1/deliveries/dlv_1/retry", Reply({"id": "dlv_1", "status": "pending"}, 202))
    logged_in.on("/v1/endpoints/ep_1/recover", Reply({"id": "job_1"}, 202))
    assert run("deliveries", "retry", "dlv_1").exit_code == Exit.DONE
    run("deliveries", "recover", "ep_1", "--since", "2026-11-28T09:00:00Z", "--status", "held")
    assert logged_in.asked[-1].json == {"since": "2026-11-28T09:00:00Z", "statuses": ["held"]}


def test_a_quarantined_body_goes_into_a_file_alone(logged_in: StandIn, run: Run, tmp_path: Path) -> None:
    shown = {"id": "qrn_1", "reason": "a field is missing", "body_base64": "e30="}
    logged_in.on("/v1/quarantine/qrn_1", Reply(shown))
    result = run("quarantine", "show", "qrn_1", "--body", str(tmp_path / "body"))
    assert "e30=" not in result.output
    assert (tmp_path / "body").read_bytes() == b"{}"
    logged_in.on("/v1/quarantine/qrn_1/replay", Reply({"quarantine_id": "qrn_1", "status": "quarantined"}))
    assert run("quarantine", "replay", "qrn_1").exit_code == Exit.NO


def test_a_payload_is_previewed_byte_for_byte(logged_in: StandIn, run: Run, tmp_path: Path) -> None:
    (tmp_path / "payload").write_bytes(b'{"a" : 1}\n')
    reply = Reply({"id": None, "status": "open"}, headers={"Checkback-Missing": "customer.email"})
    logged_in.on("/v1/sources/src_1/preview", reply)
    given = ("--source", "src_1", "--event", "cart.updated", "--header", "x-shopify-topic: carts/update")
    result = run("preview", str(tmp_path / "payload"), *given)
    asked = logged_in.asked[-1]
    assert (asked.body, asked.query["event"]) == (b'{"a" : 1}\n', ["cart.updated"])
    assert asked.headers["x-shopify-topic"] == "carts/update"
    assert "customer.email" in result.stderr


def test_a_signature_is_judged_without_the_api(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "body").write_bytes(b'{"id":"evt_1"}')
    result = run("verify", str(tmp_path / "body"), "--secret-file", str(tmp_path / "secret"), "--json")
    assert (result.exit_code, documents(result)[0]["finding"]) == (Exit.NO, "missing_header")


ROWS = {
    "/v1/sources": listed({"id": "src_1", "provider": "flexype"}),
    "/v1/checkouts": listed({"id": "chk_1", "last_activity_at": "2026-11-28T10:00:00Z"}),
    "/v1/endpoints": listed(
        {"id": "ep_1", "kind": "webhook", "status": "active", "event_types": ["checkout.abandoned"]}
    ),
    "/v1/deliveries": listed({"id": "dlv_1", "status": "delivered", "reason": None}),
    "/v1/quarantine": EMPTY,
    "/v1/campaigns": EMPTY,
}


@pytest.mark.parametrize(
    ("path", "reply", "state", "check"),
    [
        ("/v1/sources", EMPTY, "missing", "sources"),
        ("/v1/checkouts", EMPTY, "missing", "webhooks of flexype"),
        ("/v1/endpoints", EMPTY, "missing", "endpoints"),
        (
            "/v1/endpoints",
            listed({"id": "ep_1", "kind": "webhook", "status": "disabled", "event_types": ["checkout.abandoned"]}),
            *("missing", "endpoint ep_1"),
        ),
        (
            "/v1/endpoints",
            listed({"id": "ep_1", "kind": "webhook", "status": "active", "event_types": ["checkout.updated"]}),
            *("missing", "abandonment"),
        ),
        ("/v1/deliveries", listed({"id": "dlv_1", "status": "failed", "reason": "http_500"}), "warning", "deliveries"),
        ("/v1/quarantine", listed({"id": "qrn_1", "reason": "x", "replay_status": None}), "warning", "quarantine"),
    ],
)
def test_the_doctor_finds_what_is_missing(api: StandIn, path: str, reply: Reply, state: str, check: str) -> None:
    for one, usual in ROWS.items():
        api.on(one, usual)
    with Api(api.url, TOKEN) as client:
        assert {own.state for own in examined(client)} == {"ok"}
        api.on(path, reply)
        assert [own.check for own in examined(client) if own.state == state] == [check]


def test_the_doctor_asks_whether_purchases_arrive(logged_in: StandIn, run: Run) -> None:
    """A setup without them looks complete, and writes to shoppers who have bought."""
    for one, usual in ROWS.items():
        logged_in.on(one, usual)
    arrived = ROWS["/v1/checkouts"]
    logged_in.on("/v1/checkouts", arrived, EMPTY, EMPTY)
    result = run("doctor", "--json")
    assert result.exit_code == Exit.DONE
    assert [own["check"] for own in documents(result) if own["state"] == "warning"] == ["purchases of flexype"]


@pytest.mark.parametrize("own", ["../merchant", "ep_1/../../x", "", "%2e%2e", "a?b"])
def test_what_is_no_id_leads_to_no_other_path(logged_in: StandIn, run: Run, own: str) -> None:
    assert run("endpoints", "show", own).exit_code == Exit.USAGE
    assert run("endpoints", "remove", own, "--yes").exit_code == Exit.USAGE
    assert logged_in.asked == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(run: Run, shell: str) -> None:
    assert "_CHECKBACK_COMPLETE" in run("completion", shell).stdout


def test_every_command_explains_itself(run: Run) -> None:
    from checkback.main import cli

    assert "Exit codes: 0 done 1 no" in " ".join(run("--help").stdout.split())
    import click

    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert command.help
        for own in getattr(command, "commands", {}).values():
            assert own.help


def test_a_wrong_url_is_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKBACK_API_URL", "https://[bad")
    monkeypatch.setenv("CHECKBACK_TOKEN", "x")
    result = run("whoami")
    assert result.exit_code in {Exit.USAGE, Exit.UNREACHABLE}
    assert isinstance(result.exception, SystemExit)
    with pytest.raises(Failed):
        Api("ftp://x.example", "t")
