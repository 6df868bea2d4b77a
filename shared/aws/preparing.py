"""What a function does at its import, ahead of its first call, where that is free.

Lambda imports a function at a whole processor's speed and runs its calls at the share that its memory buys, 0.29 of one
at 512 MB (AWS Lambda Developer Guide, "Configure memory", "Lambda execution environment lifecycle").
"""

import os
from collections.abc import Callable

from shared.aws.deadline import no_call_after
from shared.aws.faults import AWS_ERRORS, code_of
from shared.aws.function_log import function_logger

LAST_CALL = 1.0
"""Seconds in which preparing begins calls: who waits for this process to start has waited long enough."""


def prepare_where_it_is_free(service: str, prepare: Callable[[], None]) -> None:
    """``prepare`` at import, where the stage says so: not in tests, and not where starts are copied from a snapshot."""
    if os.environ.get("PREPARE_AT_INIT"):
        prepare_ahead(service, prepare)


def prepare_ahead(service: str, prepare: Callable[[], None]) -> None:
    """``prepare``; what AWS does not give now, the first call asks for again. Never fails.

    A defect in what is only done ahead, such as a module of one provider that cannot be loaded, would otherwise keep
    the function from starting, for everybody.
    """
    try:
        with no_call_after(LAST_CALL):
            prepare()
    except AWS_ERRORS as error:
        function_logger(service).warning("not_prepared", code=code_of(error))
    except Exception as defect:  # noqa: BLE001 - whatever it is, the first call that needs it meets it too
        function_logger(service).exception("not_prepared", code=code_of(defect))
