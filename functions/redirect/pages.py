"""What a shopper's browser gets: a redirect, or a short page. Nothing is cached or indexed, no referrer leaks."""

from html import escape
from typing import Any

_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex, nofollow",
    "x-content-type-options": "nosniff",
}


def redirect(location: str) -> dict[str, Any]:
    """302 to the shop."""
    return {"statusCode": 302, "headers": {**_HEADERS, "location": location}, "body": ""}


def not_found() -> dict[str, Any]:
    """404 for a code that is none of ours."""
    return page(404, "This link is not valid", "Please open the shop directly to find your cart.")


def unavailable() -> dict[str, Any]:
    """503, to be tried again."""
    return page(503, "Please try again", "The link could not be followed just now. Please try again in a moment.")


def too_many() -> dict[str, Any]:
    """429 for a link that is used like no shopper uses one."""
    answer = page(429, "Please wait a moment", "This link was used very often just now. Please try again in a minute.")
    answer["headers"] |= {"retry-after": "60"}
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
