"""Field types of the API: each says what it takes, and gives the normal form."""

import re
from datetime import time, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    TypeAdapter,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

_DURATION = re.compile(
    r"P(?=[0-9T])(?:[0-9]{1,4}W|(?:[0-9]{1,5}D)?(?:T(?=[0-9])(?:[0-9]{1,6}H)?(?:[0-9]{1,8}M)?(?:[0-9]{1,9}(?:\.[0-9]{1,3})?S)?)?)"
)
_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_DEEPEST = 18
"""Criteria nest eight levels, each an object and a list; DynamoDB takes 32."""
_LARGEST_NUMBER = 10**15
_SMALLEST_NUMBER = 1e-15
_timedelta: TypeAdapter[timedelta] = TypeAdapter(timedelta)


class Strict(BaseModel):
    """A request body: unknown fields are refused, types are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True, hide_input_in_errors=True)


class Patch(Strict):
    """A partial change: what is absent stays; ``null`` only where the field may be empty."""

    @field_validator("*", mode="before")
    @classmethod
    def _null_only_where_allowed(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.field_name not in cls.nullable():
            raise ValueError("must not be null")
        return value

    @classmethod
    def nullable(cls) -> frozenset[str]:
        """The fields that ``null`` empties."""
        return frozenset()

    def given(self) -> dict[str, Any]:
        """The fields that the request names, by name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def duration_text(duration: timedelta) -> str:
    """ISO 8601, as the API writes every duration: ``PT30M``, ``P7D``."""
    return _timedelta.dump_json(duration).decode().strip('"')


def storable(value: dict[str, Any]) -> dict[str, Any]:
    """A free-form object that the table can hold: not too deep, no number beyond its precision."""
    _check_storable(value, 0)
    return value


def _check_storable(value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"nested more than {_DEEPEST} levels")
    if isinstance(value, dict):
        if "" in value:
            raise ValueError("a name must not be empty")
        for part in value.values():
            _check_storable(part, depth + 1)
    elif isinstance(value, list):
        for part in value:
            _check_storable(part, depth + 1)
    elif isinstance(value, int | float) and abs(value) > _LARGEST_NUMBER:
        raise ValueError("a number is too large")
    elif isinstance(value, float) and 0 < abs(value) < _SMALLEST_NUMBER:
        raise ValueError("a number is too close to zero")


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not _DURATION.fullmatch(value.strip()):
        raise ValueError("an ISO 8601 duration of weeks, or days, hours, minutes and seconds, like PT30M or P7D")
    return _timedelta.validate_python(value.strip())


def _time_of_day(value: Any) -> Any:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError("a time of day, HH:MM")
    return time.fromisoformat(value)


def _printable(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("must not hold control characters")
    return value


def _currency(value: str) -> str:
    from iso4217 import Currency

    try:
        return str(Currency(value.upper()).code)
    except ValueError:
        raise ValueError("not an ISO 4217 currency code") from None


def _country(value: str) -> str:
    from phonenumbers import SUPPORTED_REGIONS

    code = value.upper()
    if code not in SUPPORTED_REGIONS:
        raise ValueError("not an ISO 3166-1 alpha-2 country code")
    return code


def _timezone(value: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not an IANA time zone name") from None


def _host(value: str) -> str:
    host = value.strip().rstrip(".").lower()
    if not host.isascii():
        import idna

        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError:
            raise ValueError("not a valid internationalised host name") from None
    labels = host.split(".")
    if len(host) > 253 or len(labels) < 2 or labels[-1].isdigit() or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("a host name alone, like shop.example.com: no scheme, port or path")
    return host


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(duration_text),
    WithJsonSchema({"type": "string", "format": "duration", "examples": ["PT30M"]}),
]
TimeOfDay = Annotated[
    time,
    BeforeValidator(_time_of_day),
    PlainSerializer(lambda value: value.strftime("%H:%M")),
    WithJsonSchema({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}),
]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
Currency = Annotated[str, StringConstraints(min_length=3, max_length=3), AfterValidator(_currency)]
Country = Annotated[str, StringConstraints(min_length=2, max_length=2), AfterValidator(_country)]
Timezone = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_timezone)]
Host = Annotated[str, StringConstraints(min_length=1, max_length=253), AfterValidator(_host)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Secret = Annotated[str, StringConstraints(min_length=8, max_length=1024), AfterValidator(_printable)]
WebhooksPerMinute = Annotated[int, Field(ge=1, le=1_000_000)]
"""How many webhooks are taken in within a minute; above that, 429."""
