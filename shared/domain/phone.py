"""Phone numbers: E.164 or nothing."""


def to_e164(raw: object, country: str | None = None, dial_code: object = None) -> str | None:
    """``raw`` as E.164, or None when it is no possible and valid number.

    ``dial_code`` (``91`` or ``+91``) goes before a national number where the provider sends it apart; ``country``
    (ISO 3166 alpha-2) is assumed for a number without any country code. Nothing is guessed beyond that.
    """
    number = _text(raw)
    if not any(character.isdigit() for character in number):
        return None
    import phonenumbers

    prefix = _text(dial_code).lstrip("+").lstrip("0")
    candidates = [number]
    if not number.startswith("+"):
        candidates = [f"+{prefix}{number}"] if prefix.isdigit() else [number]
        if prefix.isdigit() and number.startswith(prefix):
            candidates.append(f"+{number}")
    for candidate in candidates:
        try:
            parsed = phonenumbers.parse(candidate, (country or "").upper() or None)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return None


def _text(value: object) -> str:
    """A phone or dial code as text: JSON numbers are accepted, nothing else."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""
