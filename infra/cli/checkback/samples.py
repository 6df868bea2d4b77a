"""Webhooks as providers send them: the samples of ``events/``, fresh and with what one wants in them.

Beside the samples of a provider stands ``sending.toml``, which says how they are sent: which of them is meant when none
is named, where the event's own time and its ids stand, which fields hold phone, e-mail, total and currency, which
host is the shop's, where the vendor's event name goes, how it marks a test, and how it is all proved
(``checkback.proofs``).

The command line sends them, and so does the service for ``POST /v1/sources/{id}/sample``: it carries this module,
``proofs`` and ``unfit`` along, so nothing else of the command line is imported here.
"""

import json
import re
import string
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, cast

from checkback.unfit import Unfit

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?")
_EPOCH = re.compile(r"(?<![\w.-])1\d{9}(\d{3})?(?![\w.])")
_NEAR = timedelta(days=400)
"""Epoch numbers further from the event's own time are something else: a phone, an id."""
_MARK = "\ue000"
_NO_BODY = (".expected", ".mapping")


def folder() -> Path:
    """Where the samples lie: in the package as it is installed, in ``events`` of a working tree."""
    packaged = Path(__file__).parent / "samples"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "events"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a sample is to say: each None where its own word stays. ``external_id`` names the checkout.

    ``nobody``: it names no phone and no e-mail but those. ``test``: marked as its provider marks what is no real sale.
    ``host``: the shop's own, where a link back into the cart leads.
    """

    phone: str | None = None
    email: str | None = None
    total: str | None = None
    currency: str | None = None
    external_id: str | None = None
    nobody: bool = False
    test: bool = False
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A body ready to be proved and sent. ``external_id``: by which id the provider names the checkout.

    ``headers`` mark it as a test, where its provider does that in a header.
    """

    body: bytes
    topic: str | None
    external_id: str | None
    headers: Mapping[str, str] = field(default_factory=dict)


def providers() -> tuple[str, ...]:
    """Whose samples there are."""
    return tuple(sorted(own.parent.name for own in folder().glob("*/sending.toml")))


class ProviderSamples:
    """The samples of one provider."""

    def __init__(self, provider: str) -> None:
        """Raises Unfit for a provider without samples."""
        if provider not in providers():
            raise Unfit(f"no samples of {provider}; there are: {', '.join(providers())}")
        self.provider = provider
        self._folder = folder() / provider
        self._sending = tomllib.loads((self._folder / "sending.toml").read_text())

    @property
    def default(self) -> str:
        """The event meant where none is named."""
        return str(self._sending["default"])

    @property
    def proof(self) -> Mapping[str, Any]:
        """How the provider proves who sends."""
        return cast("Mapping[str, Any]", self._sending["proof"])

    @property
    def test_keys(self) -> Mapping[str, str]:
        """Which keys the provider makes itself, so that a trial has to make them in its place."""
        return cast("Mapping[str, str]", self._sending.get("test_keys", {}))

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings without which a source of this provider cannot be registered, as the samples want them."""
        return cast("Mapping[str, Any]", self._sending.get("settings", {}))

    @cached_property
    def events(self) -> tuple[str, ...]:
        """Names of the samples that are webhooks."""
        answers = set(self._sending.get("answers", ()))
        names = (own.stem for own in sorted(self._folder.glob("*.json")))
        return tuple(own for own in names if not own.endswith(_NO_BODY) and own not in answers)

    def topic_place(self) -> tuple[str | None, bool]:
        """In which header the vendor's event name goes, or whether it goes into the path."""
        place = self._sending.get("topic", {})
        return place.get("header"), bool(place.get("path"))

    def sample(self, event: str, wanted: Wanted, now: datetime, chance: Random | None = None) -> Sample:
        """The sample at ``now``, with ids of its own, drawn by ``chance``.

        Raises Unfit where it has no place for what is wanted.
        """
        if event not in self.events:
            raise Unfit(f"{self.provider} has no sample {event}; there are: {', '.join(self.events)}")
        text = (self._folder / f"{event}.json").read_text()
        within = tuple(self._sending.get("within", ()))
        outer = json.loads(text)
        inner = _opened(outer, within)
        mark = self._sending.get("test", {}) if wanted.test else {}
        said = self._saying({**inner, **mark.get("body", {})} if mark else inner, wanted)
        if wanted.host is not None and (own := self._sending.get("host")) is not None:
            said = said.replace(own, wanted.host)
        shifted = _shifted(said, self._clock(inner), now)
        fresh, external_id = self._named(shifted, inner, wanted.external_id, chance or SystemRandom())
        topic = self._sending.get("topics", {}).get(event)
        return Sample(_closed(outer, within, fresh).encode(), topic, external_id, mark.get("headers", {}))

    def _clock(self, document: Any) -> object:
        return next(
            (own for place in self._sending.get("clock", ()) if (own := _at(document, place)) is not None), None
        )

    def _saying(self, document: Any, wanted: Wanted) -> str:
        """The document with what is wanted in it, as text."""
        numbers: list[str] = []
        currency = wanted.currency
        if wanted.currency is not None:
            cased = wanted.currency.lower() if self._sending.get("currency_case") == "lower" else wanted.currency
            self._put("currency", document, lambda _old: cased)
        else:
            currency = next((str(own) for own in _values(document, self._sending.get("currency", ())) if own), None)
        for name in ("phone", "email"):
            own = getattr(wanted, name)
            if own is not None:
                self._put(name, document, lambda _old, own=own: own)
            elif wanted.nobody:
                _forget(document, self._sending.get(name, ()))
        if wanted.total is not None:
            total = _amount(wanted.total)
            shown = {"total": total, "total_minor": total * 10 ** _digits(currency)}
            found = False
            for name, amount in shown.items():
                if self._sending.get(name):
                    found |= _put(document, self._sending[name], _written(amount, numbers))
            if not found:
                raise self._no_place("total")
        text = json.dumps(document, ensure_ascii=False, indent=2)
        for place, number in enumerate(numbers):
            text = text.replace(f'"{_MARK}{place}{_MARK}"', number)
        return text

    def _put(self, name: str, document: Any, value: Callable[[Any], Any]) -> None:
        if _put(document, self._sending.get(name, ()), value):
            return
        place = self._sending.get("absent", {}).get(name)
        if place is None:
            raise self._no_place(name)
        above, _, last = place.rpartition("/")
        _at_parent(document, above)[last] = value(None)

    def _no_place(self, name: str) -> Unfit:
        return Unfit(f"this sample of {self.provider} has no place for --{name}")

    def _named(self, text: str, document: Any, external_id: str | None, chance: Random) -> tuple[str, str | None]:
        """The text with other ids wherever the sample's stand, and the first of them: the checkout's."""
        olds = [str(own) for place in self._sending.get("ids", ()) if (own := _at(document, place)) not in {None, ""}]
        first: str | None = None
        for old in dict.fromkeys(olds):
            new = external_id if first is None and external_id is not None else _like(old, chance)
            first = first or new
            text = re.sub(rf"(?<![0-9A-Za-z]){re.escape(old)}(?![0-9A-Za-z])", lambda _: new, text)  # noqa: B023
        return text, first


def _opened(document: Any, within: Iterable[str]) -> Any:
    """The JSON inside texts inside the document."""
    for name in within:
        document = json.loads(document[name])
    return document


def _closed(outer: Any, within: tuple[str, ...], text: str) -> str:
    """The inverse: the text put back where the inner document stood."""
    if not within:
        return text
    name, *rest = within
    inside = _closed(json.loads(outer[name]) if rest else None, tuple(rest), text)
    return json.dumps({**outer, name: inside}, ensure_ascii=False)


def _at(document: Any, place: str) -> Any:
    """The value at ``/a/b``; with ``?name``, that parameter of the URL there. None where there is none."""
    path, _, parameter = place.partition("?")
    for part in path.split("/")[1:]:
        document = document.get(part) if isinstance(document, Mapping) else None
    if isinstance(document, Mapping | list):
        return None
    if parameter and document is not None:
        found = re.search(rf"[?&]{re.escape(parameter)}=([^&#]+)", str(document))
        return found.group(1) if found else None
    return document


def _at_parent(document: Any, place: str) -> dict[str, Any]:
    for part in place.split("/")[1:]:
        document = document.setdefault(part, {})
    found: dict[str, Any] = document
    return found


def _places(document: Any, wanted: Iterable[str]) -> Iterator[tuple[dict[str, Any], str]]:
    """Where fields stand: ``/a/b`` at that place, a bare name wherever it is; what holds more fields is none."""
    wanted = tuple(wanted)
    exact = {own for own in wanted if own.startswith("/")}
    names = set(wanted) - exact

    def walk(node: Any, path: str) -> Iterator[tuple[dict[str, Any], str]]:
        if isinstance(node, dict):
            for name, value in node.items():
                own = f"{path}/{name}"
                if isinstance(value, dict | list):
                    yield from walk(value, own)
                elif name in names or own in exact:
                    yield node, name
        elif isinstance(node, list):
            for value in node:
                yield from walk(value, f"{path}/-")

    yield from walk(document, "")


def _values(document: Any, wanted: Iterable[str]) -> Iterator[Any]:
    return (holder[name] for holder, name in _places(document, wanted))


def _put(document: Any, wanted: Iterable[str], value: Callable[[Any], Any]) -> bool:
    places = list(_places(document, wanted))
    for holder, name in places:
        holder[name] = value(holder[name])
    return bool(places)


def _forget(document: Any, wanted: Iterable[str]) -> None:
    """No such field names anybody any more, nor one in the JSON of a text inside the document."""
    wanted = tuple(wanted)
    _put(document, wanted, lambda _old: None)
    for holder, place in _texts(document):
        if holder[place].startswith("{"):
            inside = json.loads(holder[place])
            _forget(inside, wanted)
            holder[place] = json.dumps(inside, ensure_ascii=False)


def _texts(document: Any) -> Iterator[tuple[Any, Any]]:
    """Where texts stand."""
    for place, value in list(document.items() if isinstance(document, dict) else enumerate(document)):
        if isinstance(value, dict | list):
            yield from _texts(value)
        elif isinstance(value, str):
            yield document, place


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise Unfit(f"--total {text}: not an amount")
    return amount


def _digits(currency: str | None) -> int:
    """After the point, by ISO 4217; 2 where the currency is not known."""
    from iso4217 import Currency

    try:
        return int(Currency((currency or "").upper()).exponent or 0)
    except ValueError:
        return 2


def _written(amount: Decimal, numbers: list[str]) -> Callable[[Any], str]:
    """The amount in the form that stood there, text or number; a number stays exact, as it never is a float."""
    text = f"{amount.normalize():f}"

    def put(old: Any) -> str:
        if isinstance(old, str):
            return f"{amount:.2f}" if "." in old and amount == amount.quantize(Decimal("0.01")) else text
        numbers.append(text)
        return f"{_MARK}{len(numbers) - 1}{_MARK}"

    return put


def _shifted(text: str, clock: object, now: datetime) -> str:
    """Every time in the text moved as far as the event's own time lies from now; untouched where it has none."""
    if isinstance(clock, int):
        at = datetime.fromtimestamp(clock / (1000 if clock > 10**12 else 1), UTC)
    elif isinstance(clock, str) and _INSTANT.fullmatch(clock):
        at = _instant(clock)
    else:
        return text
    moved = timedelta(seconds=int((now - at).total_seconds()))

    def iso(found: re.Match[str]) -> str:
        old = found.group()
        head, rest = old[:19], old[19:]
        return (datetime.fromisoformat(head) + moved).isoformat() + rest

    def epoch(found: re.Match[str]) -> str:
        value = int(found.group())
        unit = 1000 if len(found.group()) > 10 else 1
        if abs(datetime.fromtimestamp(value / unit, UTC) - at) > _NEAR:
            return found.group()
        return str(value + int(moved.total_seconds()) * unit)

    return _EPOCH.sub(epoch, _INSTANT.sub(iso, text))


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _like(old: str, chance: Random) -> str:
    """Another id of the same form: the words before the last ``_`` stay, the rest is drawn anew."""
    head, mark, rest = old.rpartition("_")
    hexadecimal = all(own in string.hexdigits + "-" for own in rest) and not rest.isdigit()
    if rest.isdigit():
        return head + mark + str(chance.randrange(1, 10)) + "".join(chance.choices(string.digits, k=11))
    while len(rest) < 8:
        rest += "0"  # a short one would soon be drawn again
    return head + mark + "".join(_drawn(own, chance, hexadecimal=hexadecimal) for own in rest)


def _drawn(own: str, chance: Random, *, hexadecimal: bool) -> str:
    if own.isdigit():
        return chance.choice(string.digits)
    if not own.isascii() or not own.isalpha():
        return own
    letters = "abcdef" if hexadecimal else string.ascii_lowercase
    return chance.choice(letters if own.islower() else letters.upper())
