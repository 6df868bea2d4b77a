"""A browser before the console: it keeps the cookie, follows redirects, and says where it comes from."""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from functions.console import composition
from tests.integration.api.conftest import PUBLIC_URL, Api, http_event, operator, stage_name
from tests.integration.shop import Shop

__all__ = ["operator", "stage_name"]
COOKIE = "__Host-checkback"


@dataclass(frozen=True)
class Page:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str
    cookies: list[str]


@dataclass
class Browser:
    """One person's browser."""

    handler: Any = field(repr=False)
    cookie: str | None = None
    address: str = ""
    seen: list[str] = field(default_factory=list)
    follows: bool = True

    def get(self, address: str, **headers: str) -> Page:
        """Open an address, as a link does."""
        return self.ask("GET", address, headers)

    def post(self, address: str, form: Mapping[str, str] | None = None, **headers: str) -> Page:
        """Send a form of a page of ours."""
        return self.ask("POST", address, {"sec-fetch-site": "same-origin"} | headers, form or {})

    def sign_in(self, token: str) -> Page:
        """By a merchant's token."""
        return self.post("/console/sign-in", {"token": token})

    def ask(self, method: str, address: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None) -> Page:
        self.address = address
        parts = urlsplit(address.removeprefix(PUBLIC_URL))
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        text = None
        if form is not None:
            text, given["content-type"] = urlencode(form), "application/x-www-form-urlencoded"
        raw = None if text is None else text.encode()
        event = http_event(method, parts.path, dict(parse_qsl(parts.query)), given, None, raw)
        if self.cookie is not None:
            event["cookies"] = [f"{COOKIE}={self.cookie}"]
        answer = self.handler(event, None)
        for cookie in answer.get("cookies", ()):
            name, _, value = cookie.partition(";")[0].partition("=")
            assert name == COOKIE
            self.cookie = value or None
        self.seen.append(answer["body"])
        if answer["statusCode"] == 303 and self.follows:
            return self.ask("GET", answer["headers"]["location"], {})
        return Page(answer["statusCode"], answer["headers"], answer["body"], answer.get("cookies", []))


@pytest.fixture
def browser(operator: Api) -> Iterator[Browser]:
    """Somebody who is not signed in."""
    composition.services.cache_clear()
    yield Browser(importlib.import_module("functions.console.handler").handler)
    composition.services.cache_clear()


@pytest.fixture
def shop(operator: Api, shop: Shop) -> Shop:
    """The API and the functions over one stage and one merchant."""
    return shop


@pytest.fixture
def merchant(shop: Shop, operator: Api) -> Api:
    """The shop's merchant."""
    return operator.as_(operator("POST", f"/v1/merchants/{shop.merchant.id}/tokens").json["token"])


@pytest.fixture
def signed_in(browser: Browser, merchant: Api) -> Browser:
    """The merchant at the console. The overview, to which signing in leads, takes as long as most tests: they go on."""
    browser.follows = False
    assert browser.sign_in(merchant.credential or "").status == 303
    browser.follows = True
    return browser
