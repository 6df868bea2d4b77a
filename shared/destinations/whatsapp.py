"""WhatsApp templates: their description by the merchant, and the rules their parameters must keep.

Limits: Meta's template component and error code pages (132018: a value with a newline, a tab or more than four
spaces in a row), Gupshup's and Infobip's template pages (1,024 characters of body, 15 of a copy code).
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal
from urllib.parse import quote

from shared.delivery.outcome import Outcome
from shared.destinations.destination import Delivery, Endpoint, Unsendable
from shared.destinations.liquid import is_template, syntax_problem
from shared.destinations.message import TEMPLATE_LIMIT, filled, locale_of, template_of, usable_image, variables

MAX_BODY: Final = 1024
MAX_VALUE: Final = 300
MAX_HEADER_TEXT: Final = 60
MAX_COPY_CODE: Final = 15
MAX_SUFFIX: Final = 2000
MAX_PAYLOAD: Final = 128
DEFAULT_LANGUAGE: Final = "en"

type HeaderType = Literal["text", "image", "video", "document"]
type ButtonType = Literal["url", "copy_code", "quick_reply"]

_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_INVISIBLE: Final = frozenset("\u00ad\u200b\u2060\ufeff")
_URL_SAFE: Final = "-._~:/?#[]@!$&'()*+,;=%"
_COPY_CODE: Final = re.compile(r"[!-~]+")
_LINK: Final = re.compile(r"https?://\S+")
_LANGUAGE: Final = "^[A-Za-z]{2,3}([_-][A-Za-z]{2,4})?$"
_LIQUID: Final = {"type": "string", "minLength": 1, "maxLength": 4000}
_HTTPS: Final = {"type": "string", "pattern": "^https://", "maxLength": 2000}
_ORDERED: Final = {"type": "array", "items": _LIQUID, "maxItems": 50, "description": "Variables in order, as Liquid."}
_NAMED: Final = {
    "type": "object",
    "additionalProperties": _LIQUID,
    "maxProperties": 50,
    "description": "Variables by name, as Liquid.",
}


@dataclass(frozen=True, slots=True)
class Header:
    """The filled header: ``value`` is the text or the media's https address."""

    type: HeaderType
    value: str
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class Button:
    """A button with a variable part: the suffix of a URL, the code to copy, or the payload of a quick reply."""

    type: ButtonType
    index: int
    value: str


@dataclass(frozen=True, slots=True)
class Message:
    """A template with every parameter filled and clean. Body parameters have a name where the template's have."""

    name: str
    language: str
    header: Header | None
    body: tuple[tuple[str | None, str], ...]
    buttons: tuple[Button, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a vendor's API can fill in a template, and what it calls things.

    Args:
        name: the field that names the template.
        body: variables by position, by name, or either.
        headers: the types of header with a variable part.
        buttons: the types of button with a variable part.
        language: whether the call names the language (else it belongs to the template's id).
    """

    name: str = "name"
    body: Literal["ordered", "named", "either"] = "ordered"
    headers: tuple[HeaderType, ...] = ("text", "image", "video", "document")
    buttons: tuple[ButtonType, ...] = ("url", "copy_code", "quick_reply")
    language: bool = True

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of ``settings.template``."""
        properties: dict[str, Any] = {
            self.name: {"type": "string", "minLength": 1, "maxLength": 512},
            "body": {"ordered": _ORDERED, "named": _NAMED, "either": {"oneOf": [_ORDERED, _NAMED]}}[self.body],
        }
        if self.language:
            properties["language"] = {"type": "string", "pattern": _LANGUAGE, "default": DEFAULT_LANGUAGE}
        if self.headers:
            properties["header"] = {
                "type": "object",
                "properties": {
                    "type": {"enum": list(self.headers)},
                    "value": {**_LIQUID, "description": "The text, or the https address; by default {{ image_url }}."},
                    "fallback": {**_HTTPS, "description": "Taken where the checkout has no usable picture."},
                    "filename": {"type": "string", "maxLength": 240},
                },
                "required": ["type"],
                "additionalProperties": False,
            }
        if self.buttons:
            button = {
                "type": {"enum": list(self.buttons)},
                "index": {"type": "integer", "minimum": 0, "maximum": 9, "description": "By default its place here."},
                "value": {**_LIQUID, "description": "By default {{ recovery_url }} or {{ coupon_code }}."},
                "prefix": {**_HTTPS, "description": "The approved address up to {{1}}; not needed for our own links."},
            }
            properties["buttons"] = {
                "type": "array",
                "maxItems": 10,
                "items": {
                    "type": "object",
                    "properties": button,
                    "required": ["type"],
                    "additionalProperties": False,
                },
            }
        return {
            "description": "The approved template and what fills it; a bare name is one without variables.",
            "oneOf": [
                {"type": "string", "minLength": 1, "maxLength": 512},
                {
                    "type": "object",
                    "properties": properties,
                    "required": [self.name],
                    "additionalProperties": False,
                },
            ],
        }

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """What is wrong with ``settings.template``: (RFC 6901 pointer into the request, detail). Total."""
        template = endpoint.settings.get("template")
        if template is None or (isinstance(template, str) and template.strip()):
            return []
        where = "/settings/template"
        if not isinstance(template, Mapping):
            return [(where, "an object, or the template's name")]
        known = {self.name, "body", *(("language",) if self.language else ())}
        known |= {"header"} if self.headers else set()
        known |= {"buttons"} if self.buttons else set()
        found = [
            (f"{where}/{_escaped(str(field))}", "unknown field for this kind")
            for field in template
            if field not in known
        ]
        name = template.get(self.name)
        if not isinstance(name, str) or not name.strip():
            found.append((f"{where}/{self.name}", "required"))
        language = template.get("language")
        if language is not None and not (isinstance(language, str) and re.fullmatch(_LANGUAGE, language)):
            found.append((f"{where}/language", "a language code as of the template, like en or en_US"))
        found += self._body_problems(f"{where}/body", template.get("body"))
        found += self._header_problems(f"{where}/header", template.get("header"))
        return found + self._button_problems(f"{where}/buttons", template.get("buttons"))

    def _body_problems(self, where: str, body: object) -> list[tuple[str, str]]:
        if body is None:
            return []
        allowed = {"ordered": (list, tuple), "named": (Mapping,), "either": (list, tuple, Mapping)}[self.body]
        if not isinstance(body, allowed):
            wanted = {"ordered": "a list", "named": "an object", "either": "a list or an object"}[self.body]
            return [(where, f"{wanted} of Liquid templates")]
        return [
            problem
            for place, source in _entries(body)
            for problem in _source_problems(f"{where}/{_escaped(str(place))}", source)
        ]

    def _header_problems(self, where: str, header: object) -> list[tuple[str, str]]:
        if header is None:
            return []
        if not isinstance(header, Mapping) or header.get("type") not in self.headers:
            return [(f"{where}/type", f"one of {', '.join(self.headers)}")] if self.headers else []
        fallback = header.get("fallback")
        if fallback is not None and not (isinstance(fallback, str) and fallback.startswith("https://")):
            return [(f"{where}/fallback", "an https address")]
        return _value_problems(where, header, optional=header["type"] == "image")

    def _button_problems(self, where: str, buttons: object) -> list[tuple[str, str]]:
        if buttons is None or not self.buttons:
            return []
        if not isinstance(buttons, list | tuple):
            return [(where, "a list")]
        found: list[tuple[str, str]] = []
        seen: set[int] = set()
        for position, button in enumerate(buttons):
            if not isinstance(button, Mapping) or button.get("type") not in self.buttons:
                found.append((f"{where}/{position}/type", f"one of {', '.join(self.buttons)}"))
                continue
            index = _index(button, position)
            if index is None or index in seen:
                found.append((f"{where}/{position}/index", "0 to 9, another one for each button"))
            seen.add(position if index is None else index)
            prefix = button.get("prefix")
            if prefix is not None and not (isinstance(prefix, str) and prefix.startswith("https://")):
                found.append((f"{where}/{position}/prefix", "an https address"))
            found += _value_problems(f"{where}/{position}", button, optional=button["type"] != "quick_reply")
        return found


def message_of(delivery: Delivery, endpoint: Endpoint, shape: Shape) -> Message:
    """The step's template with every parameter filled from the checkout, clean and within its limit.

    Raises:
        Unsendable: a parameter would be empty or breaks a rule that cannot be kept by shortening it.
    """
    template = template_of(delivery, endpoint)
    name = template.get(shape.name) or template.get("name")
    if not isinstance(name, str) or not name.strip():
        raise Unsendable(Outcome.FAIL_CONFIG, f"the template has no {shape.name}")
    language = str(template.get("language") or DEFAULT_LANGUAGE)
    filler = _Filler(variables(delivery), locale_of(delivery, language))
    body = tuple(
        (place if isinstance(place, str) else None, filler.body_value(place, source))
        for place, source in _entries(template.get("body") or ())
    )
    if shape.body != "named" and sum(len(value) for _, value in body) > MAX_BODY:
        raise Unsendable(Outcome.FAIL_MESSAGE, f"the body's values exceed {MAX_BODY} characters together")
    header = template.get("header") if shape.headers else None
    buttons = template.get("buttons") if shape.buttons else None
    return Message(
        name=name.strip(),
        language=language,
        header=filler.header(header) if isinstance(header, Mapping) else None,
        body=body,
        buttons=tuple(
            filler.button(position, button) for position, button in _entries(buttons) if isinstance(button, Mapping)
        ),
    )


def clean(text: str, limit: int) -> str:
    """``text`` as a parameter may hold it: NFC, one line, single spaces, nothing invisible that reorders or hides.

    Longer than ``limit`` characters, it is cut between graphemes and ends in ``…``.
    """
    kept = []
    for character in unicodedata.normalize("NFC", text):
        if character.isspace():
            kept.append(" ")
        elif unicodedata.category(character) not in {"Cc", "Cs"} and character not in _BIDI | _INVISIBLE:
            kept.append(character)
    line = " ".join("".join(kept).split())
    return line if len(line) <= limit else _cut(line, limit)


def url_suffix(value: str, prefix: str | None, recovery_url: str | None) -> str:
    """The part of a link that goes behind a URL button's approved prefix.

    Args:
        value: a whole link, or the suffix itself.
        prefix: the approved address up to its variable.
        recovery_url: Checkback's own link, whose last part is its code: it needs no prefix.

    Raises:
        Unsendable: a link that does not begin with the prefix, an empty suffix, or one that is too long.
    """
    text = value.strip()
    if prefix is not None:
        approved = prefix.removesuffix("{{1}}")
        if text.startswith(approved):
            text = text.removeprefix(approved)
    elif text == recovery_url:
        text = text.rsplit("/", 1)[-1]
    if "://" in text.partition("?")[0]:
        raise Unsendable(Outcome.FAIL_CONFIG, "the link does not begin with the URL button's approved prefix")
    text = quote(clean(text, MAX_SUFFIX * 2), safe=_URL_SAFE)
    if not text:
        raise Unsendable(Outcome.FAIL_MESSAGE, "the URL button's variable part is empty")
    if len(text) > MAX_SUFFIX:
        raise Unsendable(Outcome.FAIL_MESSAGE, f"the URL button's variable part exceeds {MAX_SUFFIX} characters")
    return text


def copy_code(value: str) -> str:
    """A coupon code for a copy-code button.

    Raises:
        Unsendable: empty, longer than 15 characters, or not plain ASCII; a code is never altered.
    """
    code = value.strip()
    if not code:
        raise Unsendable(Outcome.FAIL_MESSAGE, "there is no coupon code for the copy-code button")
    if len(code) > MAX_COPY_CODE or not _COPY_CODE.fullmatch(code):
        raise Unsendable(
            Outcome.FAIL_MESSAGE, f"a copy-code button takes a code of at most {MAX_COPY_CODE} ASCII characters"
        )
    return code


class _Filler:
    """Fills the parts of one template from one checkout."""

    def __init__(self, names: Mapping[str, Any], locale: str) -> None:
        self._names = names
        self._locale = locale

    def body_value(self, place: int | str, source: object) -> str:
        what = f"body parameter {place + 1 if isinstance(place, int) else place}"
        value = self._text(source, what, MAX_BODY)
        if _LINK.fullmatch(value):
            # Half a link is worse than none.
            return value
        return clean(value, MAX_VALUE)

    def header(self, header: Mapping[str, Any]) -> Header:
        kind: HeaderType = header.get("type") or "text"
        if kind == "text":
            return Header("text", self._text(header.get("value"), "header", MAX_HEADER_TEXT))
        link = self._link(header, kind)
        filename = header.get("filename")
        return Header(kind, link, clean(filename, 240) if isinstance(filename, str) else None)

    def button(self, position: int | str, button: Mapping[str, Any]) -> Button:
        kind: ButtonType = button.get("type") or "url"
        index = _index(button, position)
        if index is None:
            raise Unsendable(Outcome.FAIL_CONFIG, "a button's index is 0 to 9")
        what = f"button {index}"
        if kind == "copy_code":
            source = button.get("value") or "{{ coupon_code | default: '' }}"
            return Button(kind, index, copy_code(self._filled(source, what)))
        if kind == "quick_reply":
            return Button(kind, index, self._text(button.get("value"), what, MAX_PAYLOAD))
        prefix = button.get("prefix")
        value = self._filled(button.get("value") or "{{ recovery_url | default: '' }}", what)
        recovery_url = self._names.get("recovery_url")
        return Button(kind, index, url_suffix(value, str(prefix) if prefix else None, recovery_url))

    def _link(self, header: Mapping[str, Any], kind: HeaderType) -> str:
        """The media's address: the template's, else its fallback, so that a bad picture costs no message."""
        source = header.get("value") or ("{{ image_url }}" if kind == "image" else "")
        fallback = header.get("fallback")
        try:
            link = self._filled(source, "header").strip()
        except Unsendable as unfilled:
            if not fallback or unfilled.reason == TEMPLATE_LIMIT or unfilled.outcome is Outcome.RETRY:
                raise
            link = ""
        usable = usable_image(link) if kind == "image" else link.startswith("https://") and len(link) <= 2048
        if usable and not any(character.isspace() for character in link):
            return link
        if isinstance(fallback, str) and fallback.startswith("https://"):
            return fallback
        raise Unsendable(Outcome.FAIL_MESSAGE, f"header: no https address of a usable {kind}, and no fallback")

    def _text(self, source: object, what: str, limit: int) -> str:
        filled_in = self._filled(source, what)
        if len(filled_in) > limit and _LINK.fullmatch(filled_in.strip()):
            raise Unsendable(Outcome.FAIL_MESSAGE, f"{what} is a link of more than {limit} characters")
        value = clean(filled_in, limit)
        if not value:
            raise Unsendable(Outcome.FAIL_MESSAGE, f"{what} is empty")
        return value

    def _filled(self, source: object, what: str) -> str:
        if not isinstance(source, str):
            raise Unsendable(Outcome.FAIL_CONFIG, f"{what} is not a text")
        return filled(source, self._names, what, self._locale)


def _cut(line: str, limit: int) -> str:
    """At most ``limit`` characters of ``line``, the last of them ``…``; no grapheme is torn."""
    from wcwidth import iter_graphemes

    kept = ""
    for grapheme in iter_graphemes(line):
        if len(kept) + len(grapheme) > limit - 1:
            break
        kept += grapheme
    return kept.rstrip() + "…"


def _entries(body: object) -> list[tuple[int | str, object]]:
    if isinstance(body, Mapping):
        return [(str(name), source) for name, source in body.items()]
    return list(enumerate(body)) if isinstance(body, list | tuple) else []


def _index(button: Mapping[str, Any], position: int | str) -> int | None:
    """A button's place in the template: given, else its place in the list."""
    index = button.get("index", position)
    # A stored number comes back as a Decimal.
    if isinstance(index, bool) or not isinstance(index, int | Decimal) or index not in range(10):
        return None
    return int(index)


def _value_problems(where: str, part: Mapping[str, Any], *, optional: bool) -> list[tuple[str, str]]:
    if part.get("value") is not None:
        return _source_problems(f"{where}/value", part["value"])
    return [] if optional else [(f"{where}/value", "required for this type")]


def _source_problems(pointer: str, source: object) -> list[tuple[str, str]]:
    if not isinstance(source, str) or not source.strip():
        return [(pointer, "a text")]
    problem = syntax_problem(source) if is_template(source) else None
    return [] if problem is None else [(pointer, problem)]


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
