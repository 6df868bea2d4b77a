"""What ingest is made of, built once per process; the table's client is warmed at init, the rest at first need."""

from functools import cache

from shared.aws.environment import Environment
from shared.aws.stores import Stores
from shared.workflows.intake.receive import Receiver, receiver_over


@cache
def receiver() -> Receiver:
    """The receiver of this process."""
    return receiver_over(Stores(Environment.read()))
