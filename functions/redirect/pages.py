"""What a shopper's browser gets: a redirect, or a short page. Nothing is cached or indexed, no referrer leaks."""

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


def page(status: int, title: str, text: str) -> dict[str, Any]:
    """A small page; ``title`` and ``text`` are our own words."""
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"></head>'
        f"<body><h1>{title}</h1><p>{text}</p></body></html>"
    )
    security = {"content-security-policy": "default-src 'none'"}
    headers = {**_HEADERS, **security, "content-type": "text/html; charset=utf-8"}
    return {"statusCode": status, "headers": headers, "body": html}
