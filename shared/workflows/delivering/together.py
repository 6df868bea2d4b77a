"""Attempts at one endpoint that its kind takes in one request, each with a result of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from shared.delivery.exchange import OutboundRequest, SendResult
from shared.destinations.destination import Endpoint as Target
from shared.destinations.destination import Joining


@dataclass(frozen=True, slots=True)
class Joint:
    """That an attempt may go out with others to the same endpoint, and how."""

    kind: Joining
    target: Target


class SendAll(Protocol):
    """Sends every request at once; results in order. ``answered`` is called with each position that has ended."""

    def __call__(
        self, requests: Sequence[OutboundRequest], answered: Callable[[int], None] | None = None
    ) -> list[SendResult]: ...


def sent_together(
    requests: Sequence[OutboundRequest],
    joints: Sequence[Joint | None],
    send_all: SendAll,
    answered: Callable[[int], None] | None = None,
    left: Callable[[], timedelta] | None = None,
) -> list[SendResult]:
    """Send every request, those of one endpoint in as few as its kind takes; a result for each, in order.

    What was refused together is sent once more, each by itself: one delivery costs no other anything. ``left`` bounds
    the time of that.
    """
    groups = _groups(requests, joints)
    if len(groups) == len(requests):
        return send_all(requests, answered)
    order = [place for group in groups for place in group]

    def ended(at: int) -> None:
        for place in groups[at]:
            if answered is not None:
                answered(place)

    results = send_all([_of_group(group, requests, joints) for group in groups], ended)
    found: dict[int, SendResult] = {}
    for group, result in zip(groups, results, strict=True):
        joint = joints[group[0]]
        alone = joint is None or len(group) == 1
        parts = [result] if alone or joint is None else joint.kind.parted(result, len(group))
        found |= dict(zip(group, parts, strict=True)) if parts is not None else {}
    again = [place for place in order if place not in found]
    if again:
        bound = timedelta.max if left is None else max(left(), timedelta(0))
        repeated = [replace(own, timeout=min(own.timeout, bound)) for own in (requests[place] for place in again)]
        found |= dict(zip(again, send_all(repeated), strict=True))
    return [found[place] for place in range(len(requests))]


def _groups(requests: Sequence[OutboundRequest], joints: Sequence[Joint | None]) -> list[list[int]]:
    """The places of what goes out in one request each."""
    groups: list[list[int]] = []
    by_endpoint: dict[str, list[int]] = {}
    for place, joint in enumerate(joints):
        if joint is None:
            groups.append([place])
        else:
            by_endpoint.setdefault(joint.target.id, []).append(place)
    for places in by_endpoint.values():
        joint = joints[places[0]]
        if joint is not None:
            together = joint.kind.together([requests[place] for place in places])
            groups += [[places[at] for at in own] for own in together]
    return groups


def _of_group(
    group: Sequence[int], requests: Sequence[OutboundRequest], joints: Sequence[Joint | None]
) -> OutboundRequest:
    joint = joints[group[0]]
    if joint is None or len(group) == 1:
        return requests[group[0]]
    return joint.kind.joined([requests[place] for place in group], joint.target)
