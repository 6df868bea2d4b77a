"""The providers that can be connected, as pages name and describe them."""

from typing import Any

from functions.console.visit import Visit


def providers(visit: Visit) -> dict[str, dict[str, Any]]:
    """What the API says of each, by its name."""
    return {own["provider"]: own for own in visit.get("/v1/providers")["data"]}


def titles_of(visit: Visit) -> dict[str, str]:
    """What each is called."""
    return {name: own["title"] for name, own in providers(visit).items()}
