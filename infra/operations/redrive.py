"""Sends what failed for good back to where it was, once its cause is mended.

    make redrive STAGE=production CAUSE=deliveries
    make redrive STAGE=production CAUSE="pulls campaigns"

One cause for each dead letter queue: ``deliveries``, ``records``, ``pulls``, ``campaigns`` and ``schedules``.

Each message goes back to the queue it came from, with its group and its attributes. It is deleted here only after it
is there: whatever breaks off in between is sent twice at most, which every consumer takes for a late copy. Safe to run
again at any time. Stream records that dispatch set aside lie in the quarantine bucket: what stands for them here is
handed to dispatch from there, and stays where dispatch refuses it. A tick that was missed is not repeated: one sweep
and one repair do the work of any number of them.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3

from infra.functions import FunctionName
from infra.operations.deployed import DeployedStage, FunctionFailed
from infra.operations.replay_stream_records import invoking, replay

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef

MOST: Final = 10_000
"""Messages in one run: what fails again at once must not be sent round for ever."""
_BECAME: Final = {"left": "stay", "done": "caught up with"}
_HIDDEN_SECONDS: Final = 300
_AT_ONCE: Final = 10


@dataclass(frozen=True, slots=True)
class Cause:
    """A kind of failure, by the names of the stage's outputs: where it lies, and where it goes if it does not say.

    ``sources``: the queues whose messages end there. Without any, what stands for no stream record stays.
    """

    dead: str
    otherwise: str | None = None
    sources: tuple[str, ...] = ()


CAUSES: Final = {
    "deliveries": Cause(
        "DeadLettersQueueUrl",
        "RetriesQueueUrl",
        ("DeliveriesQueueUrl", "RetriesQueueUrl", "StepsQueueUrl", "SlowQueueUrl"),
    ),
    "records": Cause("RecordDeadLettersQueueUrl"),
    "pulls": Cause("PullDeadLettersQueueUrl", "PullsQueueUrl", ("PullsQueueUrl",)),
    "campaigns": Cause("CampaignDeadLettersQueueUrl", "CampaignRunsQueueUrl", ("CampaignRunsQueueUrl",)),
}

SCHEDULES: Final = "schedules"
"""The cause of missed ticks, whose queue EventBridge fills."""
CATCHING_UP: Final[Sequence[tuple[FunctionName, Mapping[str, Any]]]] = (
    ("sweep", {"asked": "redrive"}),
    ("campaign", {"repair": True}),
)
"""What the rules of the stage start every few minutes."""

type Invoke = Callable[[FunctionName, Mapping[str, Any]], object]
type Replay = Callable[[str], bool]
"""Hands the object of this key to dispatch; whether it was taken."""


def redrive(sqs: "SQSClient", cause: Cause, outputs: Mapping[str, str], replayed: Replay) -> Counter[str]:
    """Empty one dead letter queue; how many went where, by the queues' own names, ``dispatch`` and ``left``."""
    dead = outputs[cause.dead]
    queues = {_name(outputs[own]): outputs[own] for own in cause.sources}
    went: Counter[str] = Counter()
    for message in _received(sqs, dead):
        poison = _poison(message["Body"])
        source = message.get("Attributes", {}).get("DeadLetterQueueSourceArn", "").rpartition(":")[2]
        url = queues.get(source, outputs.get(cause.otherwise or ""))
        if poison is not None and replayed(poison):
            place = "dispatch"
        elif poison is None and url is not None:
            _send(sqs, url, message)
            place = _name(url)
        else:
            went["left"] += 1  # hidden for five minutes, so that this run does not meet it again
            continue
        sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
        went[place] += 1
    return went


def catch_up(sqs: "SQSClient", missed: str, invoke: Invoke) -> Counter[str]:
    """Do once what missed ticks would have done, and forget them; how many there were.

    They are forgotten only after the work: whatever breaks off in between, it is done again, which changes nothing.
    Raises FunctionFailed where the work is not done: all of them stay.
    """
    ticks = list(_received(sqs, missed))
    if not ticks:
        return Counter()
    for name, event in CATCHING_UP:
        invoke(name, event)
    for tick in ticks:
        sqs.delete_message(QueueUrl=missed, ReceiptHandle=tick["ReceiptHandle"])
    return Counter(done=len(ticks))


def _received(sqs: "SQSClient", dead: str) -> Iterator["MessageTypeDef"]:
    """Each message once, until none is left or one comes again."""
    seen: set[str] = set()
    while len(seen) < MOST:
        found = sqs.receive_message(
            QueueUrl=dead,
            MaxNumberOfMessages=_AT_ONCE,
            VisibilityTimeout=_HIDDEN_SECONDS,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["MessageGroupId", "DeadLetterQueueSourceArn"],
        ).get("Messages", [])
        fresh = [own for own in found if own["MessageId"] not in seen]
        if not fresh:
            return
        seen.update(own["MessageId"] for own in fresh)
        yield from fresh


def _send(sqs: "SQSClient", url: str, message: "MessageTypeDef") -> None:
    more: Any = {}
    if group := message.get("Attributes", {}).get("MessageGroupId"):
        more["MessageGroupId"] = group
    if attributes := message.get("MessageAttributes"):
        more["MessageAttributes"] = attributes
    sqs.send_message(QueueUrl=url, MessageBody=message["Body"], **more)


def _poison(body: str) -> str | None:
    """The key of a stream record that dispatch set aside, where the message stands for one."""
    try:
        plain = json.loads(body)
    except ValueError:
        return None
    key = plain.get("poison") if isinstance(plain, dict) else None
    return key if isinstance(key, str) else None


def _name(url: str) -> str:
    return url.rpartition("/")[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Redrive for a stage, with the credentials of this shell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True)
    parser.add_argument("cause", nargs="+", choices=sorted([*CAUSES, SCHEDULES]))
    given = parser.parse_args(arguments)
    stage = DeployedStage(given.stage)
    s3 = boto3.client("s3")

    def replayed(key: str) -> bool:
        told = replay(s3, stage.outputs["QuarantineBucketName"], [key], invoking(stage))
        return all(taken is not None for _, taken in told)

    left = 0
    for name in given.cause:
        if name == SCHEDULES:
            try:
                went = catch_up(boto3.client("sqs"), stage.outputs["MissedSchedulesQueueUrl"], stage.invoke)
            except FunctionFailed as failed:
                sys.stdout.write(f"{name}: all stay, {failed}\n")
                left += 1
                continue
        else:
            went = redrive(boto3.client("sqs"), CAUSES[name], stage.outputs, replayed)
        left += went["left"]
        for place, count in sorted(went.items()):
            sys.stdout.write(f"{name}: {count} {_BECAME.get(place, f'to {place}')}\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
