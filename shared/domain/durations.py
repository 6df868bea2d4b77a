"""Durations as ISO 8601 texts: weeks, or days, hours, minutes and seconds. Months and years have no fixed length."""

import re
from datetime import timedelta

_DURATION = re.compile(
    r"P(?=[0-9T])(?:(?P<weeks>[0-9]{1,4})W|(?:(?P<days>[0-9]{1,5})D)?"
    r"(?:T(?=[0-9])(?:(?P<hours>[0-9]{1,6})H)?(?:(?P<minutes>[0-9]{1,8})M)?(?:(?P<seconds>[0-9]{1,9})S)?)?)"
)


def parse_duration(text: object) -> timedelta | None:
    """``PT30M``, ``P3D``, ``P1DT12H``, ``P2W`` as a timedelta, or None when it is not one."""
    found = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        return None
    return timedelta(**{unit: int(amount) for unit, amount in found.groupdict().items() if amount is not None})


def duration_text(duration: timedelta) -> str:
    """The ISO 8601 text of whole seconds: ``P1DT12H``, ``PT0S``."""
    minutes, seconds = divmod(duration // timedelta(seconds=1), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = "".join(f"{amount}{unit}" for amount, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if amount)
    text = (f"{days}D" if days else "") + (f"T{clock}" if clock else "")
    return f"P{text or 'T0S'}"
