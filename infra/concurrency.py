"""How many executions of a function may be at work at once, and that the account has as many.

A function's reserved concurrency is its share and its cap: nobody else takes it, and it takes no more. AWS Lambda
Developer Guide, "Configuring reserved concurrency": 100 of the account's must stay unreserved. The sum of the
``MaximumConcurrency`` of a function's queues must lie within its share ("Using Lambda with Amazon SQS").
"""

from typing import Final

from infra.functions import FunctionName
from infra.stages import Stage, UnusableStageError

SWEEP_KINDS: Final = ("C", "S", "R")
"""Kinds of due work: checkouts' deadlines, planned steps, late retries."""
PULLS: Final = 5
"""Each works off ten messages at a time; the providers' rates bound it further."""
RUNS: Final = 5
"""A run holds one merchant's campaign; a long one goes on in further messages."""
UNRESERVED: Final = 100
"""What Lambda wants to stay for functions without a share."""
_BESIDE_RUNS: Final = 2
"""Repair and reconciliation are invoked beside the queue."""


def sweep_parts(stage: Stage) -> int:
    """How many sweeps begin each minute."""
    return len(SWEEP_KINDS) * stage.due_shards if stage.sweep_by_shard else 1


def wanted(stage: Stage) -> dict[FunctionName, int]:
    """The most of each function that are at work at once, whether or not it is reserved."""
    deliver = (
        stage.deliveries_concurrency + stage.retries_concurrency + stage.steps_concurrency + stage.slow_concurrency
    )
    limits: dict[FunctionName, int] = {
        "ingest": stage.ingest_concurrency,
        "dispatch": stage.dispatch_concurrency,
        "merchant_api": stage.merchant_api_concurrency,
        "redirect": stage.redirect_concurrency,
        "callbacks": stage.callbacks_concurrency,
        "reading": stage.reading_concurrency,
        "console": stage.console_concurrency,
        "sweep": sweep_parts(stage),
        "deliver": deliver,
        "pull": PULLS,
        "campaign": RUNS + _BESIDE_RUNS,
    }
    return {name: limit for name, limit in limits.items() if limit}


def shares(stage: Stage) -> dict[FunctionName, int]:
    """What each function has reserved: nothing where the account is too small to reserve anything."""
    return wanted(stage) if stage.account_concurrency else {}


def usable_stage(name: str, stages: object) -> Stage:
    """The settings of a stage from the context's ``stages``, complete and within the account.

    Raises UnusableStageError for a stage or setting that does not exist, or is missing.
    """
    stage = Stage.from_context(name, stages)
    stage.check_complete()
    check_shares(stage)
    return stage


def check_shares(stage: Stage) -> None:
    """That the shares add up inside what the stage says the account has. Raises UnusableStageError."""
    reserved = shares(stage)
    needed = sum(reserved.values()) + UNRESERVED
    if reserved and needed > stage.account_concurrency:
        told = ", ".join(f"{name} {share}" for name, share in reserved.items())
        msg = (
            f"stage {stage.name!r}: {needed} concurrent executions are needed ({told}, {UNRESERVED} unreserved), "
            f"account_concurrency is {stage.account_concurrency}"
        )
        raise UnusableStageError(msg)
