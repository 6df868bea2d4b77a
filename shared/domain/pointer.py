"""Where in a request something is wrong, as RFC 6901 writes it."""


def pointer(*parts: str | int) -> str:
    """The pointer of a path of names and positions; of none, the whole document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
