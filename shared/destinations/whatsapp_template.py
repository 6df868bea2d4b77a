"""How a merchant describes the WhatsApp template to send: its schema, and what is wrong with it.

What a vendor's API can fill is its ``Shape``; the parameters are filled by ``whatsapp``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from shared.destinations.destination import Endpoint
from shared.destinations.liquid import gave_up, template_problems
from shared.domain.pointer import pointer

DEFAULT_LANGUAGE: Final = "en"

type HeaderType = Literal["text", "image", "video", "document"]
type ButtonType = Literal["url", "copy_code", "quick_reply"]

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


_BODIES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "ordered": ((list, tuple), "a list"),
    "named": ((Mapping,), "an object"),
    "either": ((list, tuple, Mapping), "a list or an object"),
}


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
            (where + pointer(str(field)), "unknown field for this kind") for field in template if field not in known
        ]
        name = template.get(self.name)
        if not isinstance(name, str) or not name.strip():
            found.append((f"{where}/{self.name}", "required"))
        language = template.get("language")
        if language is not None and not (isinstance(language, str) and re.fullmatch(_LANGUAGE, language)):
            found.append((f"{where}/language", "a language code as of the template, like en or en_US"))
        found += self._body_problems(f"{where}/body", template.get("body"))
        if not gave_up(found):
            found += self._header_problems(f"{where}/header", template.get("header"))
        if not gave_up(found):
            found += self._button_problems(f"{where}/buttons", template.get("buttons"))
        return found

    def _body_problems(self, where: str, body: object) -> list[tuple[str, str]]:
        if body is None:
            return []
        allowed, wanted = _BODIES[self.body]
        if not isinstance(body, allowed):
            return [(where, f"{wanted} of Liquid templates")]
        return template_problems((where + pointer(place), source) for place, source in entries(body))

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
            if gave_up(found):
                break
            if not isinstance(button, Mapping) or button.get("type") not in self.buttons:
                found.append((f"{where}/{position}/type", f"one of {', '.join(self.buttons)}"))
                continue
            index = index_of(button, position)
            if index is None or index in seen:
                found.append((f"{where}/{position}/index", "0 to 9, another one for each button"))
            seen.add(position if index is None else index)
            prefix = button.get("prefix")
            if prefix is not None and not (isinstance(prefix, str) and prefix.startswith("https://")):
                found.append((f"{where}/{position}/prefix", "an https address"))
            found += _value_problems(f"{where}/{position}", button, optional=button["type"] != "quick_reply")
        return found


def entries(body: object) -> list[tuple[int | str, object]]:
    """The parts of a list or an object, each with its place or name; none of anything else."""
    if isinstance(body, Mapping):
        return [(str(name), source) for name, source in body.items()]
    return list(enumerate(body)) if isinstance(body, list | tuple) else []


def index_of(button: Mapping[str, Any], position: int | str) -> int | None:
    """A button's place in the template, 0 to 9: given, else its place in the list. None for any other."""
    index = button.get("index", position)
    # A stored number comes back as a Decimal.
    if isinstance(index, bool) or not isinstance(index, int | Decimal) or index not in range(10):
        return None
    return int(index)


def _value_problems(where: str, part: Mapping[str, Any], *, optional: bool) -> list[tuple[str, str]]:
    if part.get("value") is not None:
        return template_problems([(f"{where}/value", part["value"])])
    return [] if optional else [(f"{where}/value", "required for this type")]
