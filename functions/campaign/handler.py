"""The campaign function: runs that EventBridge Scheduler asks for through a queue.

``{"repair": true}`` comes from a rule, and ``{"facts": true}`` where the stage keeps daily files of facts;
``{"reconcile": true, "after": …}`` from an operator's command.
"""

from typing import Any

from functions.campaign.composition import fact_files, reconciliation, runner, schedules
from shared.aws.campaign_queue import read_message
from shared.aws.faults import code_of, is_temporary
from shared.aws.function_log import function_logger, last_net
from shared.domain.instants import from_ms
from shared.store.campaign_runs import RunTaken
from shared.workflows.campaigns.run import DEFECT

logger = function_logger("campaign")

SPARE_MS = 30_000
"""A page is not begun with less time left than this: a message of its own goes on."""


@last_net
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Repair or reconcile schedules, write files of facts, or handle a batch of runs: failed ones alone come back."""
    if event.get("repair"):
        settled = schedules().repair()
        logger.info("schedules_repaired", settled=settled)
        return {"settled": settled}
    if event.get("reconcile"):
        return _reconciled(event, context)
    if event.get("facts"):
        return _facts_written(context)
    failed = [record["messageId"] for record in event.get("Records", []) if not _ran(record, context)]
    return {"batchItemFailures": [{"itemIdentifier": own} for own in failed]}


def _reconciled(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """All schedules as the campaigns say, or as many as there was time for."""
    done = reconciliation().run(event.get("after"), lambda: context.get_remaining_time_in_millis() < SPARE_MS)
    logger.info("schedules_reconciled", settled=done.settled, failed=done.failed, whole=done.next is None)
    return done.as_json()


def _facts_written(context: Any) -> dict[str, Any]:
    """Today's files of facts, or as many as there was time for: the next tick goes on."""
    written = fact_files().write(lambda: context.get_remaining_time_in_millis() < SPARE_MS)
    tell = logger.error if written.failed else logger.info
    tell("facts_written", files=written.files, merchants=written.merchants, failed=written.failed, done=written.done)
    return {"files": written.files, "done": written.done}


def _ran(record: dict[str, Any], context: Any) -> bool:
    """Whether the message is done with."""
    message_id = record["messageId"]
    try:
        message = read_message(record["body"], from_ms(int(record["attributes"]["SentTimestamp"])))
        ran = runner().run(message, lambda: context.get_remaining_time_in_millis() < SPARE_MS)
    except ValueError:
        logger.error("message_unreadable", message_id=message_id)
        return False
    except Exception as error:  # the next message is another merchant's: after five tries this one is a dead letter
        if isinstance(error, RunTaken) or is_temporary(error):
            logger.warning("run_failed", message_id=message_id, error=code_of(error))
        else:
            logger.exception("run_defect", message_id=message_id)
        return False
    tell = logger.error if any(own.startswith(DEFECT) for own in ran.counts) else logger.info
    tell("campaign_run", campaign_id=message.campaign_id, outcome=ran.outcome, checkouts=ran.counts)
    return True
