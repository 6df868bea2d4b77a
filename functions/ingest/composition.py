"""What ingest is made of, built once per process: at import where Lambda lets that cost nothing."""

from functools import cache

from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.workflows.intake.receive import Receiver, receiver_over
from shared.workflows.intake.rehearsal import rehearse


@cache
def stores() -> Stores:
    """The stores of this process."""
    return Stores(Environment.read())


@cache
def receiver() -> Receiver:
    """The receiver of this process; who has it made anew has its stores made anew with it."""
    stores.cache_clear()
    return receiver_over(stores())


def prepare() -> None:
    """Do ahead what the first webhook would wait for: load what reads it, connect, open the stage's keys."""
    receiver()
    stores().data_keys.open_ahead()
    rehearse(stores(), now())
