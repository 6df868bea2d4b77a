"""Field types of the API: each says what it takes, and gives the normal form."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
    TypeAdapter,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import CoreSchema, core_schema

from shared.domain.ids import IdKind, id_pattern

_DURATION = re.compile(
    r"P(?=[0-9T])(?:[0-9]{1,4}W|(?:[0-9]{1,5}D)?(?:T(?=[0-9])(?:[0-9]{1,6}H)?(?:[0-9]{1,8}M)?(?:[0-9]{1,9}(?:\.[0-9]{1,3})?S)?)?)"
)
_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_CONTROL = r"\x00-\x1f\x7f\u2028\u2029"
_PRINTED = rf"[^{_CONTROL}]"
_SEEN = rf"[^\s\x85{_CONTROL}]"
"""A character that is neither blank nor a control character: blanks around a text are taken off."""
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_DEEPEST = 18
"""Criteria nest eight levels, each an object and a list; DynamoDB takes 32."""
_LARGEST_NUMBER = 10**15
_SMALLEST_NUMBER = 1e-15
_timedelta: TypeAdapter[timedelta] = TypeAdapter(timedelta)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a text must look like: the pattern that is checked is the one that is described.

    ``pattern`` is of the whole text and means the same to Python and ECMA 262; ``told`` says what fits, to whom it is
    refused. The rest only describes: ``format`` names what a pattern cannot say.
    """

    pattern: str
    told: str
    examples: tuple[str, ...] = ()
    format: str | None = None
    description: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Checked behind what stands before it in the annotation."""
        return core_schema.no_info_after_validator_function(self.checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Described beside what stands before it."""
        more = {"format": self.format, "description": self.description, "examples": list(self.examples) or None}
        given = {name: own for name, own in more.items() if own is not None}
        return {**handler(schema), "pattern": f"^{self.pattern}$", **given}

    def checked(self, text: str) -> str:
        """The text. Raises ValueError where it does not fit."""
        if re.fullmatch(self.pattern, text) is None:
            raise ValueError(self.told)
        return text


def described(**schema: Any) -> Any:
    """What only the description says, since the check stands elsewhere: keywords of JSON Schema."""
    return Field(json_schema_extra=schema)


SAID: Any = described(pattern=r"\S")
"""Describes a text that must hold more than blanks, which are taken off."""


STORABLE: Any = described(
    description=f"Any JSON: at most {_DEEPEST} levels, no empty names, no number beyond {_LARGEST_NUMBER:.0e}",
    propertyNames={"minLength": 1},
)
CRITERIA: Any = described(
    description="Conditions on checkouts: `all`, `any` and `not` nest, at the bottom `field`, `op` and `value`",
    examples=[{"all": [{"field": "total", "op": "gte", "value": "500.00"}]}],
)


def id_of(kind: IdKind, *, example: str | None = None) -> Any:
    """Describes an id: whether it exists, and is the merchant's own, only the store knows."""
    more = {} if example is None else {"examples": [example]}
    return described(pattern=f"^{id_pattern(kind)}$", **more)


def lasting(least: timedelta, greatest: timedelta, example: str | None = None) -> Any:
    """Describes the range of a duration, which no keyword of JSON Schema can say."""
    range_ = f"{duration_text(least)} to {duration_text(greatest)}"
    return described(description=range_, examples=[example or duration_text(greatest)])


def without_default(schema: dict[str, Any]) -> None:
    """Leave the default to the description: a generator of clients cannot write one that is an object."""
    schema.pop("default", None)


def exactly_one(*names: str) -> Callable[[dict[str, Any]], None]:
    """The JSON Schema of a body that names exactly one of these fields; null counts as not named.

    Within ``allOf``, where generators of clients still see one object and not a choice of several.
    """

    def added(schema: dict[str, Any]) -> None:
        choices = [{"required": [own], "properties": {name: _named(name == own) for name in names}} for own in names]
        schema["allOf"] = [{"oneOf": choices}]

    return added


def by_type(
    choosable: Collection[str], **types: tuple[Collection[str], Collection[str]]
) -> Callable[[dict[str, Any]], None]:
    """The JSON Schema of a body whose ``type`` says which of its fields it needs, and which it may have beside."""

    def added(schema: dict[str, Any]) -> None:
        choices = []
        for type_, (needed, allowed) in types.items():
            foreign = [name for name in choosable if name not in needed and name not in allowed]
            properties: dict[str, Any] = {"type": {"const": type_}}
            properties |= {name: {"type": "string"} for name in needed} | {name: {"type": "null"} for name in foreign}
            choices.append({"required": ["type", *needed], "properties": properties})
        schema["allOf"] = [{"oneOf": choices}]

    return added


def _named(given: bool) -> Mapping[str, Any]:
    return {"type": "string"} if given else {"type": "null"}


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


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: 5.0 is the whole number 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _time_of_day(value: Any) -> Any:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError("a time of day, HH:MM")
    return time.fromisoformat(value)


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
    WithJsonSchema(
        {"type": "string", "format": "duration", "pattern": rf"^\s*{_DURATION.pattern}\s*$", "examples": ["PT30M"]}
    ),
]
TimeOfDay = Annotated[
    time,
    BeforeValidator(_time_of_day),
    PlainSerializer(lambda value: value.strftime("%H:%M")),
    WithJsonSchema({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}),
]
_NO_CONTROL = "must not hold control characters"
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), Shape(rf"\s*{_SEEN}{_PRINTED}*", _NO_CONTROL)]
Currency = Annotated[
    str,
    StringConstraints(min_length=3, max_length=3),
    AfterValidator(_currency),
    described(format="iso-4217", description="ISO 4217", examples=["INR"]),
]
Country = Annotated[
    str,
    StringConstraints(min_length=2, max_length=2),
    AfterValidator(_country),
    described(format="iso-3166-1-alpha-2", description="ISO 3166-1 alpha-2", examples=["IN"]),
]
Timezone = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    AfterValidator(_timezone),
    described(format="iana-time-zone", description="A name of the IANA time zone database", examples=["Asia/Kolkata"]),
]
Host = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    AfterValidator(_host),
    described(
        format="idn-hostname",
        description="A host name alone, of two labels or more: no scheme, port or path",
        examples=["shop.example.com"],
    ),
]
Url = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2048),
    described(
        format="uri",
        description="https, on port 443, with a public host's name, which is not one of ours",
        examples=["https://bsp.example.com/hooks"],
    ),
]
Secret = Annotated[
    str,
    StringConstraints(min_length=8, max_length=1024),
    Shape(rf"{_SEEN}{_PRINTED}{{6,}}{_SEEN}", _NO_CONTROL),
]
ProviderValue = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1024),
    Shape(rf"{_SEEN}(?:{_PRINTED}*{_SEEN})?", _NO_CONTROL),
]
"""What a provider's API wants of its callers: not all of it is secret, nor long (a BigCommerce ``store_hash``)."""
WHOLE: Any = BeforeValidator(_whole)
"""Behind the bounds of a whole number in a body; before them it would hide them from the description."""
WebhooksPerMinute = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]
"""How many webhooks are taken in within a minute; above that, 429."""
