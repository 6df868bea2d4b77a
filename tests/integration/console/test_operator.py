"""The operator at the console: by the admin key, for an hour, bound to that key; merchants, and nothing of shoppers."""

from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine

from functions.console import composition
from shared.aws import clients
from shared.aws.stage_watch import QUEUES
from tests.integration.account import onlookers_client
from tests.integration.api.conftest import Api, http_event, new_merchant
from tests.integration.conftest import ADMIN_KEY, Stage
from tests.integration.console.conftest import Browser
from tests.integration.console.test_access import another, signed_out
from tests.integration.monitoring import Monitoring, alarm

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def made(operator: Api) -> dict[str, Any]:
    """A merchant with its token."""
    return new_merchant(operator, name=f"Tea {HOSTILE}")


def by_key(browser: Browser, key: str = ADMIN_KEY) -> Browser:
    browser.post("/console/sign-in/operator", {"key": key})
    return browser


def test_the_operator_sees_merchants_and_makes_a_link_that_works_once(browser: Browser, made: dict[str, Any]) -> None:
    page = by_key(browser).get("/console/operator")
    assert page.status == 200
    assert made["id"] in page.text
    assert "<img" not in page.text
    path = f"/console/operator/merchants/{made['id']}/link"

    for capability, allowed in (("read", 403), ("all", 200)):
        shown = browser.post(path, {"capability": capability, "once": capability})
        link = unescape(shown.text.split('id="portal-link" value="')[1].split('"')[0])
        assert "<img" not in shown.text
        merchants = another(browser)
        assert not signed_out(merchants.post(link))
        assert merchants.post("/console/campaigns/quiet-hours", {"none": "yes"}).status == allowed
        assert another(browser).post(link).status == 403


def test_nothing_of_a_merchants_or_a_shoppers_is_the_operators(browser: Browser, made: dict[str, Any]) -> None:
    by_key(browser)

    for path in ("", "/start", "/checkouts", "/deliveries", "/endpoints", "/campaigns", "/sources", "/settings"):
        page = browser.get(f"/console{path}")
        assert browser.address == "/console/operator", path
        assert page.status == 200
    browser.post("/console/checkouts", {"contact": "+919876543210"})
    assert browser.address == "/console/operator"


def test_a_merchants_session_is_no_operators(browser: Browser, made: dict[str, Any]) -> None:
    browser.sign_in(made["token"])

    assert browser.get("/console/operator").status == 403
    assert browser.post(f"/console/operator/merchants/{made['id']}/link").status == 403


@pytest.mark.parametrize("key", ["", "wrong", "cbk_" + "a" * 43, ADMIN_KEY[:-1], f"{ADMIN_KEY}x", "\ud800", "é" * 50])
def test_nothing_but_the_admin_key_signs_the_operator_in(browser: Browser, key: str) -> None:
    page = browser.post("/console/sign-in/operator", {"key": key.encode(errors="replace").decode()})

    assert page.status == 403
    assert browser.cookie is None
    assert "not the admin key" in page.text


def test_the_operators_tries_count_with_the_others(browser: Browser) -> None:
    for _ in range(20):
        browser.sign_in("cbk_" + "a" * 43)

    assert browser.post("/console/sign-in/operator", {"key": ADMIN_KEY}).status == 429


def test_the_key_stands_in_no_row_no_page_and_no_cookie(browser: Browser, made: dict[str, Any]) -> None:
    by_key(browser).get("/console/operator")

    rows = onlookers_client("dynamodb").scan(TableName=composition.services().table.name)["Items"]
    secret = (browser.cookie or "").partition(".")[2]
    for text in (repr(rows), *browser.seen):
        assert ADMIN_KEY not in text
        assert secret not in text
    assert len(secret) == 43


def test_a_session_ends_when_the_key_is_replaced(browser: Browser, stage: Stage) -> None:
    with time_machine.travel("2026-11-28T06:00:00Z", tick=False):
        by_key(browser)
        assert not signed_out(browser.get("/console/operator"))
        clients.secretsmanager().put_secret_value(SecretId=stage.admin_secret_arn, SecretString="another-key" * 4)
        composition.services.cache_clear()  # another process; this one asks anew after five seconds

        assert signed_out(browser.get("/console/operator"))
        assert by_key(another(browser)).cookie is None
        assert by_key(another(browser), "another-key" * 4).cookie is not None


def test_an_empty_key_lets_nobody_in(browser: Browser, stage: Stage) -> None:
    clients.secretsmanager().put_secret_value(SecretId=stage.admin_secret_arn, SecretString=" ")

    for key in ("", " "):
        assert by_key(another(browser), key).cookie is None


def test_a_session_lasts_an_hour_and_ends_by_signing_out(browser: Browser) -> None:
    with time_machine.travel("2026-11-28T06:00:00Z", tick=False) as clock:
        by_key(browser)
        clock.shift(timedelta(minutes=59))
        assert not signed_out(browser.get("/console/operator"))
        clock.shift(timedelta(minutes=1))
        assert signed_out(browser.get("/console/operator"))

        again = by_key(another(browser))
        kept = again.cookie
        again.post("/console/sign-out")
        again.cookie = kept
        assert signed_out(again.get("/console/operator"))


def test_a_form_of_another_site_signs_no_operator_in(browser: Browser) -> None:
    form = {"key": ADMIN_KEY}
    page = browser.ask("POST", "/console/sign-in/operator", {"sec_fetch_site": "cross-site"}, form)

    assert page.status == 403
    assert browser.cookie is None


def test_the_api_takes_no_operators_session(browser: Browser, operator: Api) -> None:
    assert operator.as_(by_key(browser).cookie)("GET", "/v1/merchants").status == 401


def test_the_operators_cookie_is_as_strict_as_a_merchants(browser: Browser) -> None:
    form = urlencode({"key": ADMIN_KEY}).encode()
    event = http_event("POST", "/console/sign-in/operator", {}, {"sec-fetch-site": "same-origin"}, None, form)
    (cookie,) = browser.handler(event, None)["cookies"]

    assert cookie.startswith("__Host-checkback=operator.")
    for attribute in ("Path=/", "Secure", "HttpOnly", "SameSite=Lax"):
        assert f"; {attribute}" in cookie


def test_the_operator_sees_what_rings_and_what_to_do_about_it(browser: Browser, monitoring: Monitoring) -> None:
    ringing = alarm("SweepLate", "ALARM", AlarmName=f"a{HOSTILE}")
    monitoring.says["DescribeAlarms"] = lambda _: {"MetricAlarms": [ringing], "CompositeAlarms": []}
    monitoring.refuses("GetMetricData", "ThrottlingException")

    page = by_key(browser).get("/console/operator/stage")

    assert page.status == 200
    assert "1 alarm of 1 rings" in page.text
    assert "metrics (Throttled)" in page.text
    assert "<img" not in page.text
    assert 'href="/console/operator/runbook/sweeplate"' in page.text
    section = browser.get("/console/operator/runbook/sweeplate")
    assert "abandonments are not recorded, steps not sent" in section.text
    assert browser.get("/console/operator/stage", if_none_match=page.headers["etag"]).status in {200, 304}


def test_every_section_that_a_queue_or_an_alarm_leads_to_is_there(browser: Browser, monitoring: Monitoring) -> None:
    by_key(browser)
    for own in QUEUES:
        page = browser.get(f"/console/operator/runbook/{own.section}")
        assert browser.address == f"/console/operator/runbook/{own.section}"
        for part in ("Means", "First look", "Mend", "Verify"):
            assert f"<h2>{part}</h2>" in page.text, own.section
    browser.get("/console/operator/runbook/nosuch")
    assert browser.address == "/console/operator/stage"


def test_how_the_stage_fares_is_no_merchants_business(browser: Browser, made: dict[str, Any]) -> None:
    assert signed_out(browser.get("/console/operator/runbook/sweeplate"))
    browser.sign_in(made["token"])

    assert browser.get("/console/operator/stage").status == 403
    assert browser.get("/console/operator/runbook/sweeplate").status == 403
