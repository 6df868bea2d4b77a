"""What a shopper's browser gets: a redirect, or a short page. Nothing is cached or indexed, no referrer leaks.

A program that asks for no page (a check, a bot) is refused with a problem document, as everywhere.
"""

from html import escape
from typing import Any

from shared.aws.http_api import problem

_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex, nofollow",
    "x-content-type-options": "nosniff",
}
_REFUSALS = {
    404: ("This link is not valid", "Please open the shop directly to find your cart."),
    429: ("Please wait a moment", "This link was used very often just now. Please try again in a minute."),
    503: ("Please try again", "The link could not be followed just now. Please try again in a moment."),
}
"""404: a code that is none of ours; 429: a link that is used like no shopper uses one."""


def redirect(location: str) -> dict[str, Any]:
    """302 to the shop."""
    return {"statusCode": 302, "headers": {**_HEADERS, "location": location}, "body": ""}


def refused(status: int, *, person: bool) -> dict[str, Any]:
    """404, 429 or 503: a page for whoever reads pages, else a problem document."""
    title, text = _REFUSALS[status]
    answer = page(status, title, text) if person else problem(status, title, text)
    answer["headers"] |= _HEADERS | ({"retry-after": "60"} if status == 429 else {})
    return answer


def unsubscribe(shop: str | None) -> dict[str, Any]:
    """The question, with one button; nothing happens before it is pressed."""
    sender = escape(shop) if shop else "this shop"
    form = (
        '<form method="post"><p><label><input type="radio" name="channels" value="all" checked> '
        "all messages</label></p>"
        '<p><label><input type="radio" name="channels" value="email"> e-mails only</label></p>'
        '<p><button type="submit">Unsubscribe</button></p></form>'
    )
    return page(200, "Unsubscribe", f"Stop reminders from {sender} about your cart:", form)


def unsubscribed(shop: str | None) -> dict[str, Any]:
    """Done; the same at every repeat."""
    sender = f" from {escape(shop)}" if shop else ""
    return page(200, "You are unsubscribed", f"No more reminders{sender} will be sent to you this way.")


def page(status: int, title: str, text: str, form: str = "") -> dict[str, Any]:
    """A small page; ``title``, ``text`` and ``form`` are our own words, anything else in them is escaped."""
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"></head>'
        f"<body><h1>{title}</h1><p>{text}</p>{form}</body></html>"
    )
    policy = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    headers = {**_HEADERS, "content-security-policy": policy, "content-type": "text/html; charset=utf-8"}
    return {"statusCode": status, "headers": headers, "body": html}
