"""A stage is what the context says, and a slip in the context is refused by name."""

import json
import re
from dataclasses import replace

import pytest

from infra.concurrency import UNRESERVED, check_shares, shares
from infra.functions import FUNCTION_NAMES
from infra.local.engine import PROJECT
from infra.stages import Stage, UnusableStageError


def test_every_stage_of_the_project_is_usable() -> None:
    stages = json.loads((PROJECT / "cdk.json").read_text())["context"]["stages"]

    assert [Stage.from_context(name, stages).name for name in stages] == ["local", "dev", "production"]


def test_settings_come_from_the_context_and_the_rest_has_defaults() -> None:
    stage = Stage.from_context("production", {"production": {"due_shards": 16, "alarm_email": "ops@example.com"}})

    assert (stage.due_shards, stage.alarm_email) == (16, "ops@example.com")
    assert (stage.architecture, stage.removable, stage.is_local) == ("arm64", False, False)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"due_shard": 4}, "unknown setting due_shard; known are accept_disposable_urls, access_logs, "),
        ({"due_shards": "4"}, "due_shards must be of type int, is '4'"),
        ({"due_shards": True}, "due_shards must be of type int, is True"),
        ({"due_shards": 0}, "due_shards must be 1 to 64, is 0"),
        ({"deliveries_concurrency": 1}, "deliveries_concurrency must be 2 to 1000, is 1"),
        ({"access_logs": 1}, "access_logs must be of type bool, is 1"),
        ({"access_logs": False}, "access_logs tell how long providers wait (WebhooksSlow)"),
        ({"architecture": "x86"}, "architecture must be one of arm64, native, is 'x86'"),
        ({"alarm_email": 5}, "alarm_email must be a text, is 5"),
        (
            {"alarm_email": "a@b.c", "alarm_topic_arn": "arn:aws:sns:x"},
            "alarm_email is of no use beside alarm_topic_arn",
        ),
        ({"domain_name": "hooks.example.com"}, "domain_name and certificate_arn go together"),
        ({"stage_mail": "shared"}, "stage_mail shared needs mail_identities: the domains it may send from"),
        ({"stage_mail": "shared", "mail_identities": " ,"}, "stage_mail shared needs mail_identities"),
        ({"stage_mail": "shared", "mail_identities": "*"}, "mail_identities are domains and addresses, without *"),
        ({"mail_identities": "tea.example"}, "mail_identities is of no use while stage_mail is off"),
        ({"log_retention_days": 8}, "log_retention_days must be one of 1, 7, 14, 30, 90, 180, 365, is 8"),
        ({"console_frame_ancestors": f"https://{'a.' * 250}example"}, "console_frame_ancestors are 500 characters"),
        ({"name": "dev"}, "unknown setting name"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(UnusableStageError, match=re.escape(complaint)) as refusal:
        Stage.from_context("dev", {"dev": settings})

    assert "'dev'" in str(refusal.value)


@pytest.mark.parametrize("name", ["", "1st", "my stage", "a/b", "p" * 33])
def test_a_name_that_stacks_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(UnusableStageError, match="up to 32 letters, digits and hyphens"):
        Stage.from_context(name, {name: {}})


def test_an_unknown_stage_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UnusableStageError, match=r"unknown stage 'prod': .* has dev, production"):
        Stage.from_context("prod", {"production": {}, "dev": {}})


@pytest.mark.parametrize("stages", [None, [], "local"])
def test_a_context_without_stages_is_refused(stages: object) -> None:
    with pytest.raises(UnusableStageError, match="no map 'stages'"):
        Stage.from_context("local", stages)


COMPLETE: dict[str, object] = {
    "domain_name": "hooks.example.com",
    "certificate_arn": "arn:aws:acm:ap-south-1:111122223333:certificate/abc",
    "alarm_email": "ops@example.com",
    "account_concurrency": 1000,
    "ingest_concurrency": 100,
}


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"domain_name": None, "certificate_arn": None}, "domain_name and certificate_arn: "),
        ({"alarm_email": None}, "alarm_email: whom the alarms wake"),
        ({"ingest_concurrency": 0}, "account_concurrency and ingest_concurrency: "),
        ({"account_concurrency": 0}, "account_concurrency and ingest_concurrency: "),
    ],
)
def test_a_stage_that_is_kept_is_refused_without_what_would_hurt_somebody(
    changed: dict[str, object], complaint: str
) -> None:
    Stage.from_context("live", {"live": COMPLETE}).check_complete()
    lacking = Stage.from_context("live", {"live": COMPLETE | changed})

    with pytest.raises(UnusableStageError, match=re.escape(complaint)):
        lacking.check_complete()
    Stage.from_context("trial", {"trial": {**COMPLETE, **changed, "removable": True}}).check_complete()


def test_urls_that_die_with_their_stack_may_be_accepted_in_so_many_words() -> None:
    without = COMPLETE | {"domain_name": None, "certificate_arn": None, "accept_disposable_urls": True}

    Stage.from_context("live", {"live": without}).check_complete()


def test_all_that_is_missing_is_said_at_once_and_the_projects_own_production_waits_for_its_owner() -> None:
    stages = json.loads((PROJECT / "cdk.json").read_text())["context"]["stages"]

    with pytest.raises(UnusableStageError) as refusal:
        Stage.from_context("production", stages).check_complete()

    assert "domain_name" in str(refusal.value)
    assert "alarm_email" in str(refusal.value)


def test_the_shares_add_up_inside_the_account() -> None:
    stages = json.loads((PROJECT / "cdk.json").read_text())["context"]["stages"]
    production = Stage.from_context("production", stages)

    check_shares(production)
    assert sum(shares(production).values()) + UNRESERVED <= 1000
    assert shares(production)["deliver"] == 100 + 20 + 50 + 20
    assert set(shares(production)) == set(FUNCTION_NAMES), "no flood of one takes from another"
    assert shares(production)["sweep"] == 3 * 8, "one for each kind and shard"
    with pytest.raises(UnusableStageError, match=r"concurrent executions are needed .* account_concurrency is 500"):
        check_shares(replace(production, account_concurrency=500))


def test_an_account_too_small_to_reserve_anything_reserves_nothing() -> None:
    assert shares(Stage(name="dev", removable=True)) == {}
