"""From what each provider's module was written: the table of ``make providers``, and the chapter of each docs page."""

from shared.providers import registry


def written_from(name: str) -> str:
    """The chapter of a provider's page that says from what its module was written, as the code has it."""
    reading, versions = registry.provider(name).description.reading, registry.versions(name)
    told = "none is told" if versions is None else f"told in {versions.told_in}; known: {', '.join(versions.known)}"
    return "\n".join(
        (
            *("## What it was written from", ""),
            *(f"- {page}" for page in reading.pages),
            *(f"- **Read**: {reading.read}", f"- **Version**: {told}"),
            f"- **Order**: {', '.join(reading.order_fields)}",
            f"- **Contact**: {', '.join(reading.contact_fields)}",
        )
    )


def table() -> str:
    """Every provider: versions, pages and when they were read, events, and the fields of order and contact."""
    return "\n\n".join(_entry(name) for name in registry.names())


def _entry(name: str) -> str:
    description, versions = registry.provider(name).description, registry.versions(name)
    reading = description.reading
    rows = {
        "versions": ("none is told",) if versions is None else (*versions.known, f"(told in {versions.told_in})"),
        "pages": reading.pages,
        "read": (reading.read,),
        "events": description.events,
        "order": reading.order_fields,
        "contact": reading.contact_fields,
    }
    lines = (f"  {title:<9} {line}" for title, parts in rows.items() for line in _lines(parts))
    return "\n".join((f"{name} ({description.title})", *lines))


def _lines(parts: tuple[str, ...], width: int = 106) -> list[str]:
    """The parts, joined by commas as long as they fit."""
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) + 2 > width:
            lines.append("")
        lines[-1] += f", {part}" if lines[-1] else part
    return lines


if __name__ == "__main__":
    print(table())  # noqa: T201 - what it is for
