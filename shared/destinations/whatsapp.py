"""A WhatsApp template filled from a checkout: the rules its parameters must keep.

Limits: Meta's template component and error code pages (132018: a value with a newline, a tab or more than four
spaces in a row), Gupshup's and Infobip's template pages (1,024 characters of body, 15 of a copy code).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from shared.delivery.outcome import Outcome
from shared.destinations.destination import Delivery, Endpoint, Unsendable
from shared.destinations.message import TEMPLATE_LIMIT, filled, locale_of, template_of, usable_image, variables
from shared.destinations.one_line import clean
from shared.destinations.whatsapp_template import DEFAULT_LANGUAGE, ButtonType, HeaderType, Shape, entries, index_of

MAX_BODY: Final = 1024
MAX_VALUE: Final = 300
MAX_HEADER_TEXT: Final = 60
MAX_COPY_CODE: Final = 15
MAX_SUFFIX: Final = 2000
MAX_PAYLOAD: Final = 128
_URL_SAFE: Final = "-._~:/?#[]@!$&'()*+,;=%"
_COPY_CODE: Final = re.compile(r"[!-~]+")
_LINK: Final = re.compile(r"https?://\S+")


@dataclass(frozen=True, slots=True)
class Header:
    """The filled header: ``value`` is the text or the media's https address."""

    type: HeaderType
    value: str
    filename: str | None = None

    @property
    def media(self) -> dict[str, Any]:
        """A picture, video or document as WhatsApp's own format has it."""
        named = {"filename": self.filename} if self.filename else {}
        return {"type": self.type, self.type: {"link": self.value} | named}


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
        for place, source in entries(template.get("body") or ())
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
            filler.button(position, button) for position, button in entries(buttons) if isinstance(button, Mapping)
        ),
    )


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
        index = index_of(button, position)
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
