"""Text as vendors take it in a parameter or a subject: one clean line."""

import unicodedata
from typing import Final

_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_INVISIBLE: Final = frozenset("\u00ad\u200b\u2060\ufeff")


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


def _cut(line: str, limit: int) -> str:
    """At most ``limit`` characters of ``line``, the last of them ``…``; no grapheme is torn."""
    from wcwidth import iter_graphemes

    kept = ""
    for grapheme in iter_graphemes(line):
        if len(kept) + len(grapheme) > limit - 1:
            break
        kept += grapheme
    return kept.rstrip() + "…"
