"""Recorded needs against granted rights: what is missing, and what is granted and never needed."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.permissions.exceptions import BY_LAMBDA_ITSELF, UNUSED
from tests.permissions.needs import Need
from tests.permissions.policies import Grant, Policies
from tests.permissions.recording import Recorded


class Verdict(NamedTuple):
    """What is wrong, in words, and which exceptions nothing asked for."""

    missing: list[str]
    unused: list[str]
    idle_exceptions: list[str]


def judge(policies: Policies, needs: Mapping[Recorded, str]) -> Verdict:
    """Compare, function by function. ``needs``: what was needed, with the test in which it was."""
    missing: list[str] = []
    unused: list[str] = []
    excepted: set[tuple[str, str, str]] = set()
    for function in policies.functions:
        grants = policies.grants(function)
        own = {recorded.need: where for recorded, where in needs.items() if recorded.function == function}
        own |= dict.fromkeys(needed_by_lambda(policies, function), "Lambda itself")
        missing += [
            f"{function}: {need.action} on {need.resource} {dict(need.context) or ''} ({where})"
            for need, where in own.items()
            if not any(grant.allows(need) for grant in grants)
        ]
        for grant in grants:
            for part in parts(grant):
                if any(part.allows(need) for need in own):
                    continue
                named = (function, part.action, part.resource)
                if named in UNUSED:
                    excepted.add(named)
                else:
                    unused.append(
                        f"{function}: {part.action} on {part.resource} {dict(part.conditions) or ''}".rstrip()
                    )
    return Verdict(sorted(missing), sorted(unused), sorted(map(str, UNUSED.keys() - excepted)))


def parts(grant: Grant) -> Iterator[Grant]:
    """The grant once for each value that a condition leaves open: each of them is to be needed."""
    if not grant.conditions:
        yield grant
    for at, (key, values) in enumerate(grant.conditions):
        others = grant.conditions[:at] + grant.conditions[at + 1 :]
        yield from (grant._replace(conditions=(*others, (key, (value,)))) for value in values)


def needed_by_lambda(policies: Policies, function: str) -> Iterator[Need]:
    """What Lambda itself does under the function's role: its logs, and the queues and streams it reads for it."""
    for action in BY_LAMBDA_ITSELF["logs"]:
        yield Need(action, policies.log_group(function))
    for source, mapping in policies.sources(function):
        kind = "queue" if ":sqs:" in source else "stream"
        for action in BY_LAMBDA_ITSELF[kind]:
            yield Need(action, source)
        if kind == "stream":
            yield Need("dynamodb:ListStreams", "*")
        failures = mapping.get("DestinationConfig", {}).get("OnFailure")
        if failures is not None:
            bucket = policies.named(failures["Destination"])
            put, listed = BY_LAMBDA_ITSELF["given up"]
            yield Need(put, f"{bucket}/aws/lambda/mapping/shard/2026/01/02/record")
            yield Need(listed, bucket)
