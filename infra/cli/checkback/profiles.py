"""Profiles: which API a name stands for, and which is meant when none is named. No secret stands here.

They stand in ``profiles.json`` of the folder ``CHECKBACK_HOME``, else ``$XDG_CONFIG_HOME/checkback``, else
``~/.config/checkback``.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def home() -> Path:
    """The folder of profiles, and of secrets where there is no keyring."""
    own = os.environ.get("CHECKBACK_HOME")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "checkback"


@dataclass(frozen=True, slots=True)
class Profiles:
    """The known profiles, by name the URL of their API, and the one in use."""

    urls: dict[str, str]
    current: str | None

    @classmethod
    def read(cls) -> "Profiles":
        """As kept; none where nothing was kept yet."""
        try:
            kept = json.loads((home() / "profiles.json").read_text())
        except FileNotFoundError:
            return cls({}, None)
        return cls(dict(kept["profiles"]), kept.get("current"))

    def keep(self) -> None:
        """Write them down, for the owner's eyes."""
        write_privately(home() / "profiles.json", {"profiles": self.urls, "current": self.current})


def write_privately(path: Path, document: Any) -> None:
    """Replace a JSON file by one that only its owner may read (0600), whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, made = tempfile.mkstemp(dir=path.parent)  # is made 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file, indent=2, sort_keys=True)
        Path(made).replace(path)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise
