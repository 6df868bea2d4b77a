"""Paths by the letter: one spelling for each address, and whatever is spelled oddly leads nowhere.

API Gateway hands a path over decoded once, the local engine as it was sent; both are read the same way here.
"""

import re
import unicodedata
from urllib.parse import unquote

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})
"""Unicode's categories of what nobody sees: control and format characters, surrogates, what has no meaning."""
_LONGEST = 2_048
CUSTOMER_PATTERN = r"[^/]{1,200}"
_CUSTOMER = re.compile(CUSTOMER_PATTERN)


def is_plain(path: str) -> bool:
    """Whether the path has no empty or dotted segment, no hidden slash, no backslash and no character unseen."""
    if len(path) > _LONGEST or not path.startswith("/"):
        return False
    return all(_is_segment(own) for own in path[1:].split("/"))


def is_customer(segment: str) -> bool:
    """Whether a segment may be a customer's id as a provider gives it (percent-encoded): 1 to 200 characters."""
    return _CUSTOMER.fullmatch(unquote(segment)) is not None


def _is_segment(segment: str) -> bool:
    try:
        text = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return False
    if text in {"", ".", ".."} or "/" in text or "\\" in text:
        return False
    return not any(unicodedata.category(character) in _UNSEEN for character in text)
