"""What ingest is made of, built once per process: at import where Lambda lets that cost nothing."""

import os
from functools import cache

from shared.aws.deadline import no_call_after
from shared.aws.environment import Environment
from shared.aws.faults import AWS_ERRORS, code_of
from shared.aws.function_log import function_logger
from shared.aws.stores import Stores, now
from shared.workflows.intake.receive import Receiver, receiver_over
from shared.workflows.intake.rehearsal import rehearse

LAST_CALL_OF_PREPARING = 1.0
"""Seconds in which preparing begins calls: who waits for this process to start has waited long enough."""


@cache
def stores() -> Stores:
    """The stores of this process."""
    return Stores(Environment.read())


@cache
def receiver() -> Receiver:
    """The receiver of this process."""
    return receiver_over(stores())


def prepare_where_it_is_free() -> None:
    """``prepare`` at import, where the stage says so: not in tests, and not where starts are copied from a snapshot."""
    if os.environ.get("PREPARE_AT_INIT"):
        prepare()


def prepare() -> None:
    """Do ahead what the first webhook would wait for: load what reads it, connect, open the stage's keys.

    Lambda runs a function's import at a whole processor's speed and its first call at the share that its memory buys
    (0.29 of one at 512 MB). What AWS does not give now, the first webhook asks for again.
    """
    try:
        with no_call_after(LAST_CALL_OF_PREPARING):
            receiver()
            stores().data_keys.open_newest()
            rehearse(stores(), now())
    except AWS_ERRORS as error:
        function_logger("ingest").warning("not_prepared", code=code_of(error))
