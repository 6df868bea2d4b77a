"""What a function writes into its log of an error: which it is and where it happened, never what it says.

An error may quote what it met: a value that is no number, a row that cannot be read, a vendor's answer. So a trace here
has no messages, and what leaves a handler and is no word of AWS's leaves it without its own: Lambda logs it.
"""

import functools
import json
import logging
from collections.abc import Callable, Iterator
from traceback import format_tb
from typing import Any, override

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from shared.aws.faults import code_of, is_temporary

_MOST_CAUSES = 5
_RFC_3339 = "%Y-%m-%dT%H:%M:%S.%FZ"
"""Lambda reads levels only beside such a time (AWS Lambda Developer Guide, "Log-level filtering")."""

# In the JSON format Lambda's runtime lets libraries speak from its own level on. Botocore tells at INFO of each client
# where its credentials are from; warnings are enough, of libraries as of our modules.
logging.getLogger().setLevel(logging.WARNING)


class Defect(Exception):
    """What a handler did not foresee, by its name alone."""


def function_logger(service: str) -> Logger:
    """The JSON log of a function."""
    return Logger(service=service, logger_formatter=_WithoutWords())


def last_net[**P, T](handler: Callable[P, T]) -> Callable[P, T]:
    """A handler from which only AWS's temporary errors and groups come out as they are.

    Of a group, Lambda shows what we call it and none of the errors in it. Any other is logged and raised without its
    words: as its own kind where that can be made of nothing, else as Defect.
    """

    @functools.wraps(handler)
    def netted(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            if isinstance(error, ExceptionGroup) or is_temporary(error):
                raise
            function_logger(handler.__module__.split(".")[-2]).exception("defect")
            raise _wordless(error) from None

    return netted


def _wordless(error: Exception) -> Exception:
    try:
        return type(error)()
    except TypeError:
        return Defect(code_of(error))


def trace_of(error: BaseException) -> str:
    """Where the error and its causes happened, each with its name."""
    return "".join(_told(error))


class _WithoutWords(LambdaPowertoolsFormatter):
    def __init__(self) -> None:
        # Our messages are words: none is JSON to be tried. One encoder serves all lines.
        encoder = json.JSONEncoder(default=str, separators=(",", ":"), ensure_ascii=False)
        super().__init__(
            serialize_stacktrace=False,
            json_serializer=encoder.encode,
            json_deserializer=str,
            datefmt=_RFC_3339,
            utc=True,
            # A message is written in one place: where that is would be said twice.
            location=None,
        )

    @override
    def formatException(self, ei: Any) -> str:
        return trace_of(ei[1])

    @override
    def _extract_log_exception(self, log_record: Any) -> Any:
        trace, name, _ = super()._extract_log_exception(log_record)
        return trace, name, None  # notes are words too


def _told(error: BaseException) -> Iterator[str]:
    current: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if current is None:
            return
        yield f"{type(current).__name__}\n"
        yield from format_tb(current.__traceback__)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
