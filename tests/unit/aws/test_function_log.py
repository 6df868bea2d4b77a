"""A function's log says what went wrong and where, and quotes nobody."""

import ast
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.local.engine import PROJECT
from shared.aws.function_log import Defect, function_logger, last_net
from shared.store.table import StoreUnavailable

FUNCTIONS = Path(__file__).parents[3] / "functions"
PHONE = "+917777788888"


def unreadable() -> None:
    try:
        int(PHONE + "x")
    except ValueError as error:
        error.add_note(PHONE)
        raise KeyError(f"of {PHONE}") from error


def test_an_error_is_told_by_its_name_and_place(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    logger = function_logger("a test")
    monkeypatch.setattr(logger.handlers[0], "stream", written)

    try:
        unreadable()
    except KeyError:
        logger.exception("row_not_read", row="C#1")

    entry = json.loads(written.getvalue())
    assert PHONE not in written.getvalue()
    assert (entry["message"], entry["row"], entry["exception_name"]) == ("row_not_read", "C#1", "KeyError")
    assert "ValueError" in entry["exception"]
    assert "in unreadable" in entry["exception"]


def test_lambda_can_read_level_and_time_of_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS Lambda Developer Guide, "Log-level filtering": without a time by RFC 3339 every line counts as INFO."""
    written = io.StringIO()
    logger = function_logger("a test")
    monkeypatch.setattr(logger.handlers[0], "stream", written)

    logger.warning("row_not_read")

    entry = json.loads(written.getvalue())
    assert set(entry) == {"level", "message", "timestamp", "service"}
    assert entry["level"] == "WARNING"
    assert entry["timestamp"].endswith("Z")
    assert abs(datetime.fromisoformat(entry["timestamp"]) - datetime.now(UTC)) < timedelta(minutes=5)


def test_libraries_tell_of_warnings_alone_whatever_lambda_lets_them() -> None:
    """In the JSON format the runtime sets its level before our import: botocore would tell of credentials at INFO."""
    asked = "import logging; logging.getLogger().setLevel('INFO'); import shared.aws.function_log;"
    told = subprocess.run(
        [sys.executable, "-c", f"{asked} print(logging.getLogger('botocore.credentials').getEffectiveLevel())"],
        check=True,
        capture_output=True,
        text=True,
        cwd=PROJECT,
    )
    assert told.stdout.strip() == str(logging.WARNING)


def undecodable() -> None:
    b"+91\xff".decode()


@pytest.mark.parametrize(
    ("act", "kind", "said"), [(unreadable, KeyError, ""), (undecodable, Defect, "UnicodeDecodeError")]
)
def test_what_leaves_a_handler_has_no_words_of_its_own(
    act: Callable[[], None], kind: type[Exception], said: str
) -> None:
    handler = last_net(act)

    with pytest.raises(kind) as raised:
        handler()

    assert str(raised.value) == said
    assert raised.value.__suppress_context__


def test_what_passes_leaves_a_handler_as_it_is() -> None:
    @last_net
    def handler() -> None:
        raise StoreUnavailable("busy")

    with pytest.raises(StoreUnavailable):
        handler()


@pytest.mark.parametrize("path", sorted(FUNCTIONS.rglob("*.py")), ids=lambda own: own.relative_to(FUNCTIONS).as_posix())
def test_every_function_logs_so(path: Path) -> None:
    made = [own for own in ast.walk(ast.parse(path.read_text())) if isinstance(own, ast.Call)]
    assert "Logger" not in {own.func.id for own in made if isinstance(own.func, ast.Name)}


BEHIND_THE_FRONT = {"ingest", "redirect"}
"""Whose handlers answer requests alone; callbacks has a part that does."""


@pytest.mark.parametrize("name", ["ingest", "redirect", "callbacks", "deliver", "sweep", "pull", "campaign"])
def test_every_handler_has_the_net(name: str) -> None:
    """But dispatch, which sorts all its errors, and the API, which answers them."""
    source = (FUNCTIONS / name / "handler.py").read_text()
    (handler,) = [own for own in ast.parse(source).body if isinstance(own, ast.FunctionDef) and own.name == "handler"]
    under_it = ["behind_front"] if name in BEHIND_THE_FRONT else []
    assert [own.id for own in handler.decorator_list if isinstance(own, ast.Name)] == ["last_net", *under_it]
