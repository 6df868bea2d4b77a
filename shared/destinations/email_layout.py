"""The mail a shopper gets: Checkback's own layout, the merchant's words in it, or the merchant's own HTML.

Tables and inline styles, because mail programs know little else; one column of 600 pixels that also fits a phone;
usable without pictures and in dark mode. Everything of the checkout is escaped by the renderer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from shared.delivery.outcome import Outcome
from shared.destinations.destination import Unsendable
from shared.destinations.liquid import gave_up, render_html, template_problems
from shared.destinations.message import filled, filled_by
from shared.destinations.one_line import clean
from shared.domain.pointer import pointer

MAX_SUBJECT: Final = 150
MAX_SOURCE: Final = 32_000
DEFAULT_COLOUR: Final = "#1f6feb"

WORDS: Final[Mapping[str, str]] = {
    "subject": "You left something in your cart at {{ shop }}",
    "preheader": "{{ items_line | default: 'Your cart' }} is still waiting for you.",
    "heading": "{% if first_name %}{{ first_name }}, your cart is waiting{% else %}Your cart is waiting{% endif %}",
    "intro": "You did not finish your order. Everything you chose is still here, and one click brings you back to it.",
    "button": "Return to your cart",
    "footer": "You get this message because you began an order at {{ shop }}.",
}
"""The words that a merchant may replace one by one, each a Liquid template of plain text."""

_RIGHT_TO_LEFT: Final = frozenset({"ar", "fa", "he", "ur"})

_HTML: Final = """\
<!DOCTYPE html>
<html lang="{{ language }}" dir="{{ direction }}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{{ subject }}</title>
</head>
<body style="margin:0;padding:0;background-color:#f4f5f7;">
<div style="display:none;max-height:0;overflow:hidden;opacity:0;">{{ words.preheader }}</div>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="background-color:#f4f5f7;">
<tr><td align="center" style="padding:24px 12px;">
<table role="presentation" width="600" cellpadding="0" cellspacing="0" border="0"
 style="width:100%;max-width:600px;background-color:#ffffff;border-radius:8px;\
font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;color:#1f2328;">
<tr><td style="padding:24px 32px 0;font-size:18px;font-weight:bold;">
{% if look.logo_url %}<img src="{{ look.logo_url }}" alt="{{ shop }}" height="40" style="border:0;display:block;">\
{% else %}{{ shop }}{% endif %}</td></tr>
<tr><td style="padding:24px 32px 0;">
<h1 style="margin:0;font-size:24px;line-height:32px;">{{ words.heading }}</h1>
<p style="margin:12px 0 0;font-size:16px;line-height:24px;">{{ words.intro | newline_to_br }}</p></td></tr>
{% if items.size > 0 %}<tr><td style="padding:24px 32px 0;">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="font-size:15px;">
{% for item in items limit: 10 %}<tr>
<td width="72" style="padding:8px 0;border-bottom:1px solid #eaeef2;">
{% assign start = item.image_url | default: '' | slice: 0, 8 %}{% if start == 'https://' %}\
<img src="{{ item.image_url }}" alt="" width="64" style="width:64px;height:auto;border:0;border-radius:4px;\
display:block;">\
{% endif %}</td>
<td style="padding:8px 12px;border-bottom:1px solid #eaeef2;line-height:20px;">{{ item.title | default: 'Item' }}\
{% if item.variant_title %}<br><span style="color:#656d76;">{{ item.variant_title }}</span>{% endif %}\
{% if item.quantity %}<br><span style="color:#656d76;">× {{ item.quantity }}</span>{% endif %}</td>
<td align="right" style="padding:8px 0;border-bottom:1px solid #eaeef2;white-space:nowrap;">\
{% if item.total.amount %}{{ item.total | money }}{% endif %}</td>
</tr>
{% endfor %}{% if items.size > 10 %}<tr><td></td>\
<td colspan="2" style="padding:8px 12px;color:#656d76;">+ {{ items.size | minus: 10 }} more</td></tr>
{% endif %}{% if total %}<tr><td colspan="2" style="padding:12px 0;font-weight:bold;">Total</td>
<td align="right" style="padding:12px 0;font-weight:bold;white-space:nowrap;">{{ total }}</td></tr>
{% endif %}</table></td></tr>
{% endif %}{% if coupon_code %}<tr><td style="padding:16px 32px 0;" align="center">
<div style="border:1px dashed #8c959f;border-radius:6px;padding:12px;font-size:16px;">\
Your code: <strong style="letter-spacing:1px;">{{ coupon_code }}</strong></div></td></tr>
{% endif %}<tr><td align="center" style="padding:24px 32px;">
<table role="presentation" cellpadding="0" cellspacing="0" border="0"><tr>
<td bgcolor="{{ look.brand_color }}" style="border-radius:6px;">
<a href="{{ recovery_url }}" style="display:inline-block;padding:14px 28px;font-size:16px;font-weight:bold;\
color:{{ look.on_brand }};text-decoration:none;border-radius:6px;background-color:{{ look.brand_color }};">\
{{ words.button }}</a></td>
</tr></table></td></tr>
</table>
<table role="presentation" width="600" cellpadding="0" cellspacing="0" border="0" style="width:100%;max-width:600px;">
<tr><td align="center" style="padding:16px 32px;font-family:Helvetica,Arial,sans-serif;font-size:12px;\
line-height:18px;color:#656d76;">{{ words.footer | newline_to_br }}\
{% if look.postal_address %}<br>{{ look.postal_address | newline_to_br }}{% endif %}<br>
<a href="{{ unsubscribe_url }}" style="color:#656d76;">Unsubscribe</a></td></tr>
</table>
</td></tr>
</table>
</body>
</html>
"""

_TEXT: Final = """\
{{ words.heading }}

{{ words.intro }}
{% if items.size > 0 %}
{% for item in items limit: 10 %}- {{ item.title | default: 'Item' | strip_newlines }}\
{% if item.variant_title %} ({{ item.variant_title | strip_newlines }}){% endif %}\
{% if item.quantity %} x {{ item.quantity }}{% endif %}\
{% if item.total.amount %}: {{ item.total | money }}{% endif %}
{% endfor %}{% if items.size > 10 %}+ {{ items.size | minus: 10 }} more
{% endif %}{% endif %}{% if total %}
Total: {{ total }}
{% endif %}{% if coupon_code %}
Your code: {{ coupon_code }}
{% endif %}
{{ words.button }}:
{{ recovery_url }}

--
{{ words.footer }}
{% if look.postal_address %}{{ look.postal_address }}
{% endif %}Unsubscribe: {{ unsubscribe_url }}
"""


@dataclass(frozen=True, slots=True)
class Mail:
    """A filled mail: the subject is one line; both bodies hold the unsubscribe link."""

    subject: str
    html: str
    text: str


def schema() -> dict[str, Any]:
    """The JSON Schema of ``settings.template``."""
    words = {
        name: {"type": "string", "minLength": 1, "maxLength": 2000, "default": default}
        for name, default in WORDS.items()
    }
    whole = {"type": "string", "minLength": 1, "maxLength": MAX_SOURCE}
    return {
        "type": "object",
        "description": "The mail's words, or the whole mail, each a Liquid template. By default Checkback's own.",
        "properties": {
            **words,
            "html": {**whole, "description": "The whole HTML in place of Checkback's layout."},
            "text": {**whole, "description": "The whole plain text in place of Checkback's layout."},
            "language": {"type": "string", "pattern": "^[A-Za-z]{2,3}([_-][A-Za-z]{2,4})?$", "default": "en"},
        },
        "additionalProperties": False,
    }


def problems(template: object) -> list[tuple[str, str]]:
    """What is wrong with ``settings.template``: (RFC 6901 pointer into the request, detail). Total."""
    where = "/settings/template"
    if template is None:
        return []
    if not isinstance(template, Mapping):
        return [(where, "an object with subject, html and the like")]
    found: list[tuple[str, str]] = []
    for name, source in template.items():
        at = where + pointer(str(name))
        if name not in {*WORDS, "html", "text", "language"}:
            found.append((at, "unknown field for this kind"))
        elif not gave_up(found):
            found += template_problems([(at, source)], "html" if name == "html" else "text")
    return found


def mail_of(template: Mapping[str, Any], names: Mapping[str, Any], look: Mapping[str, Any], locale: str) -> Mail:
    """The mail filled from ``names`` (the variables of messages, ``shop`` and ``unsubscribe_url`` among them).

    A merchant's own HTML or text without the unsubscribe link gets it at its end.

    Raises:
        Unsendable: a part cannot be filled, or would be empty.
    """
    words = {name: filled(str(template.get(name) or default), names, name, locale) for name, default in WORDS.items()}
    subject = clean(words["subject"], MAX_SUBJECT)
    if not subject:
        raise Unsendable(Outcome.FAIL_MESSAGE, "the subject is empty")
    language = str(template.get("language") or "en").replace("_", "-")
    colour = str(look.get("brand_color") or DEFAULT_COLOUR)
    given = {
        **names,
        "words": words,
        "subject": subject,
        "language": language,
        "direction": "rtl" if language.partition("-")[0].lower() in _RIGHT_TO_LEFT else "ltr",
        "look": {**look, "brand_color": colour, "on_brand": "#ffffff" if _is_dark(colour) else "#1f2328"},
    }
    html = filled_by(render_html, str(template.get("html") or _HTML), given, "html", locale)
    text = filled(str(template.get("text") or _TEXT), given, "text", locale)
    if not html.strip() or not text.strip():
        raise Unsendable(Outcome.FAIL_MESSAGE, "the mail is empty")
    link = str(names["unsubscribe_url"])
    return Mail(subject, _with_link(html, link), text if link in text else f"{text}\n\nUnsubscribe: {link}\n")


def _is_dark(colour: str) -> bool:
    """Whether white reads better on a colour like ``#1f6feb`` than black does (weights of ITU-R BT.601)."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return (299 * red + 587 * green + 114 * blue) / 1000 < 150


def _with_link(html: str, link: str) -> str:
    shown = escape(link)
    if shown in html or link in html:
        return html
    footer = f'<p style="text-align:center;font-size:12px;"><a href="{shown}">Unsubscribe</a></p>'
    before, end, after = html.rpartition("</body>")
    return f"{before}{footer}{end}{after}" if end else html + footer
