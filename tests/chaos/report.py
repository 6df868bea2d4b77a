"""A run in words: what was played, what became of everything, and every finding with the faults around it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from tests.chaos.books import Finding, Ledger
from tests.chaos.faults import FAULTS
from tests.chaos.run import Outcome
from tests.chaos.vendors import MOODS, Mood

_AROUND = 8
_MARGIN = 2.0


def told(outcome: Outcome) -> str:
    """The whole report."""
    return "\n".join(_lines(outcome))


def met(outcome: Outcome) -> dict[str, int]:
    """How often each kind of fault was met: those of the storm, the vendors' moods, the wrong clocks of shops."""
    moods = Counter((own.role, own.mood) for own in outcome.books.received)
    skews = [own.skew for own in outcome.books.cases]
    return {
        **{own.name: outcome.met[own.name] for own in FAULTS},
        **{
            f"{'an endpoint' if role == 'feed' else 'a BSP'}: {mood}": moods[role, mood]
            for role, own in MOODS.items()
            for mood in own
            if mood is not Mood.WELL
        },
        "a shop's clock is behind": sum(own < 0 for own in skews),
        "a shop's clock is ahead": sum(own > 0 for own in skews),
    }


def unmet(outcome: Outcome) -> list[str]:
    """The kinds of fault that nothing met: what a run proves it proves of the others only."""
    return [kind for kind, count in met(outcome).items() if not count]


def holds(play: Callable[[int], Outcome], seeds: list[int], spare: int) -> bool:
    """Whether the books balance for each seed and every kind of fault was met.

    By each seed; or, where ``spare`` further seeds may be played, by one of all that were.
    """
    outcomes = [play(seed) for seed in seeds]
    missed = [set(unmet(own)) for own in outcomes]
    for seed in range(max(seeds) + 1, max(seeds) + 1 + spare):
        if not any(missed) or any(own.findings for own in outcomes):
            break
        outcomes.append(play(seed))
        missed = [set.intersection(*missed, set(unmet(outcomes[-1])))]
    return not any(missed) and not any(own.findings for own in outcomes)


def _lines(outcome: Outcome) -> Iterator[str]:
    plan, books = outcome.plan, outcome.books
    yield f"seed {plan.seed}: {len(books.cases)} shoppers, {len(books.posted)} webhooks, {outcome.seconds:.0f} s"
    slow = sorted((own.answered_at - own.began_at for own in books.posted), reverse=True)
    yield f"  webhooks were taken {slow[len(slow) // 2]:.1f} s after their first post (median), {slow[0]:.1f} s at most"
    yield f"  settled {outcome.settled_after:.0f} s after the faults were over"
    yield f"  checkouts: {_counted(own.status for own in books.checkouts)}"
    yield f"  events: {_counted(own.type for own in books.events)}"
    yield f"  deliveries: {_counted(f'{own.status} {own.reason or str()}'.strip() for own in books.deliveries)}"
    yield f"  steps: {_counted(f'{own.state} {own.reason or str()}'.strip() for own in books.steps)}"
    yield f"  vendors: {_counted(own.mood for own in books.received)}"
    yield f"  faults played: {_counted(own.fault for own in outcome.fired)}"
    yield f"  deeds: {_counted(own.name for own in outcome.deeds)}"
    yield f"  dead letters: {len(books.dead)}"
    kinds = met(outcome)
    missed = unmet(outcome)
    yield f"  kinds of fault met: {len(kinds) - len(missed)} of {len(kinds)}"
    for kind in missed:
        yield f"  WRONG, seed {plan.seed}: nothing met the fault: {kind}"
    if not outcome.findings:
        yield "  the books balance"
    for finding in outcome.findings:
        yield f"  WRONG, seed {plan.seed}: {finding}"
        yield from _around(outcome, finding)


def _around(outcome: Outcome, finding: Finding) -> Iterator[str]:
    """The faults that were played while the shopper's story went on."""
    began, ended = _span(outcome.books, finding.case)
    fired = [own for own in outcome.fired if began - _MARGIN <= own.at <= ended + _MARGIN]
    for own in fired[:_AROUND]:
        yield f"      {own.at - began:+6.1f} s  {own}"
    if len(fired) > _AROUND:
        yield f"      and {len(fired) - _AROUND} more: {_counted(own.fault for own in fired[_AROUND:])}"


def _span(books: Ledger, case: int | None) -> tuple[float, float]:
    if case is None:
        return 0.0, 0.0
    posted = [own for own in books.posted if own.case == case]
    phone = next((own.phone for own in books.cases if own.number == case), None)
    times = [own.at for own in books.received if own.phone == phone]
    times += [at for own in posted for at in (own.began_at, own.answered_at)]
    return (min(times), max(times)) if times else (0.0, 0.0)


def _counted(words: Iterable[str]) -> str:
    return ", ".join(f"{word} {count}" for word, count in Counter(words).most_common()) or "none"
