"""Every call that a function makes to AWS, written down as what it needs: by function, once each.

Played in one process (``tests/integration``) a call belongs to the function whose handler it was made under, also by
threads of its own, but for what a test does meanwhile; in a worker of the local engine there is one function. One file
for each process that records; ``recorded`` reads them all.

Nothing but the standard library at import: a worker's ``botocore`` is its bundle's.
"""

import importlib
import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from tests.permissions.needs import Names, Need, names_of, needs_of, needs_of_events, needs_of_mail

FOLDER = "RECORD_AWS_CALLS"
"""The variable that says where to; without it nothing is recorded."""
_PUT_EVENTS = "AWSEvents.PutEvents"
KEPT_BACK = "nowhere"
"""The table of calls that ``shared.aws.dry_calls`` answers itself: they need no right. (Not imported: see above.)"""
_PROJECT = Path(__file__).parents[2]
_TESTS = str(_PROJECT / "tests")
_CODE = (str(_PROJECT / "shared"), str(_PROJECT / "functions"))


class Recorded(NamedTuple):
    """That a function needed something."""

    function: str
    need: Need


class Recording:
    """What is needed in this process, by whom, and where it was needed first."""

    def __init__(self, folder: Path, function: str | None = None) -> None:
        """``function``: whose process this is, where it is one function's."""
        folder.mkdir(parents=True, exist_ok=True)
        # Resolved: some test may go to another folder.
        self._folder = folder.resolve()
        self._own = function
        self._known: set[Recorded] = set()
        self._names: tuple[Any, Names] = ({}, {})
        self._inherited = threading.local()
        self._writing = threading.Lock()

    def by_handler(self, function: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        """The handler, whose calls are the function's."""

        @wraps(handler)
        def handled(*args: Any, **kwargs: Any) -> Any:
            _function = function  # found by whoever looks up the stack
            return handler(*args, **kwargs)

        return handled

    def follow_threads(self) -> None:
        """What a handler hands to threads is still its doing."""
        threads: Any = threading.Thread
        start, submit = threads.start, ThreadPoolExecutor.submit

        def started(thread: threading.Thread) -> None:
            thread.run = self._handed_on(thread.run)  # type: ignore[method-assign]
            start(thread)

        def submitted(pool: ThreadPoolExecutor, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            return submit(pool, self._handed_on(work), *args, **kwargs)

        threads.start = started
        ThreadPoolExecutor.submit = submitted  # type: ignore[method-assign,assignment]

    def _handed_on(self, work: Callable[..., Any]) -> Callable[..., Any]:
        function = self._at_work()

        def done(*args: Any, **kwargs: Any) -> Any:
            self._inherited.function = function
            return work(*args, **kwargs)

        return done

    def _at_work(self) -> str | None:
        """The function under whose handler we are. Whatever a test calls from there is the test's doing."""
        if self._own is not None:
            return self._own
        frame: FrameType | None = sys._getframe(1)
        ours = False
        while frame is not None:
            path = frame.f_code.co_filename
            if path == __file__ and frame.f_code.co_name == "handled":
                return str(frame.f_locals["_function"])
            if ours and path.startswith(_TESTS) and path != __file__:
                return None
            ours = ours or path.startswith(_CODE)
            frame = frame.f_back
        return getattr(self._inherited, "function", None)

    def listen(self, client_class: Any, signer_class: Any) -> None:
        """Stand in botocore's ``BaseClient`` and ``SigV4Auth``, where all calls pass."""
        call, sign = client_class._make_api_call, signer_class.add_auth
        if getattr(call, "recorded", False):
            return

        def made(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
            if arguments.get("TableName") != KEPT_BACK:
                service = client.meta.service_model.service_name
                self._note(lambda names: needs_of(service, operation, arguments, names))
            return made.call(client, operation, arguments)  # type: ignore[attr-defined]

        def signed(signer: Any, request: Any) -> Any:
            by_role = signer.credentials.access_key == os.environ.get("AWS_ACCESS_KEY_ID")
            if by_role and signer._service_name == "ses" and request.url.endswith("/outbound-emails"):
                self._note(lambda names: needs_of_mail(request.data, names))
            if by_role and signer._service_name == "events" and request.headers.get("x-amz-target") == _PUT_EVENTS:
                self._note(lambda names: needs_of_events(request.data, names))
            return sign(signer, request)

        made.recorded, made.call = True, call  # type: ignore[attr-defined]
        client_class._make_api_call, signer_class.add_auth = made, signed

    def _note(self, needed: Callable[[Names], list[Need]]) -> None:
        function = self._at_work()
        if function is None:
            return
        needs = {Recorded(function, own) for own in needed(self._named())}
        if needs <= self._known:
            return
        with self._writing:
            fresh = needs - self._known
            self._known |= fresh
            where = os.environ.get("PYTEST_CURRENT_TEST", "")
            path = self._folder / f"{os.getpid()}.jsonl"  # it may be a fork of who set this up
            with path.open("a") as file:
                file.writelines(f"{json.dumps([own.function, *own.need, where])}\n" for own in fresh)

    def _named(self) -> Names:
        """Which variable holds a value. Reading the environment takes as long as a call, comparing it does not."""
        raw: dict[Any, Any] = os.environ._data  # type: ignore[attr-defined]
        seen, names = self._names
        if raw != seen:
            seen, names = dict(raw), names_of(os.environ)
            self._names = (seen, names)
        return names


def record_handlers() -> None:
    """From now on, for the life of the process, where ``FOLDER`` is set: whatever a function's handler does."""
    if FOLDER not in os.environ:
        return
    from botocore.auth import SigV4Auth
    from botocore.client import BaseClient

    from infra.functions import FUNCTION_NAMES

    recording = Recording(Path(os.environ[FOLDER]))
    recording.listen(BaseClient, SigV4Auth)
    recording.follow_threads()
    for function in FUNCTION_NAMES:
        module = importlib.import_module(f"functions.{function}.handler")
        module.handler = recording.by_handler(function, module.handler)  # type: ignore[attr-defined]
    feed = importlib.import_module("functions.dispatch.event_bus")
    feed.handler = recording.by_handler("event_bus", feed.handler)  # type: ignore[attr-defined]


def recorded(folder: Path) -> dict[Recorded, str]:
    """What all processes recorded, and the test in which it was needed, where that is known."""
    found: dict[Recorded, str] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            function, action, resource, context, where = json.loads(line)
            need = Need(action, resource, tuple((key, value) for key, value in context))
            found.setdefault(Recorded(function, need), where)
    return found
