"""Secrets that the API shows once: the token of a profile, secrets of sources and endpoints.

They lie in the system's keyring; where there is none (a server, a container) in ``secrets.json`` of the profiles'
folder, which only its owner may read (0600). ``CHECKBACK_KEYRING=off`` asks for the file.
"""

import json
import os
import stat
from pathlib import Path
from typing import Protocol

from checkback.failures import Exit, Failed
from checkback.profiles import home, write_privately

_SERVICE = "checkback"


class Secrets(Protocol):
    """Where secrets are kept, by a name such as ``default/token`` or ``default/src_01...``."""

    def get(self, name: str) -> str | None:
        """The secret, or None."""
        ...

    def keep(self, name: str, secret: str) -> None:
        """Keep it; an older one of the name is gone."""
        ...

    def drop(self, name: str) -> None:
        """Forget it, if there is one."""
        ...


class Keyring:
    """The system's keyring."""

    def get(self, name: str) -> str | None:
        """The secret, or None."""
        import keyring

        return keyring.get_password(_SERVICE, name)

    def keep(self, name: str, secret: str) -> None:
        """Keep it."""
        import keyring

        keyring.set_password(_SERVICE, name, secret)

    def drop(self, name: str) -> None:
        """Forget it."""
        import keyring
        from keyring.errors import PasswordDeleteError

        try:
            keyring.delete_password(_SERVICE, name)
        except PasswordDeleteError:
            return


class PrivateFile:
    """A file of the owner's alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str) -> str | None:
        """The secret, or None. Raises Failed where others could read the file."""
        return self._read().get(name)

    def keep(self, name: str, secret: str) -> None:
        """Keep it."""
        write_privately(self._path, self._read() | {name: secret})

    def drop(self, name: str) -> None:
        """Forget it."""
        kept = self._read()
        if kept.pop(name, None) is not None:
            write_privately(self._path, kept)

    def _read(self) -> dict[str, str]:
        try:
            mode = stat.S_IMODE(self._path.stat().st_mode)
        except FileNotFoundError:
            return {}
        if mode & 0o077:
            told = f"{self._path} may be read by others (mode {mode:o}); its secrets are not used. chmod 600 mends it"
            raise Failed(told, Exit.CREDENTIALS)
        kept: dict[str, str] = json.loads(self._path.read_text())
        return kept


def secrets() -> Secrets:
    """The keyring where a working one is found, else the file."""
    if os.environ.get("CHECKBACK_KEYRING") != "off" and _has_keyring():
        return Keyring()
    return PrivateFile(home() / "secrets.json")


def _has_keyring() -> bool:
    try:
        import keyring
        from keyring.backends import fail, null
    except ImportError:
        return False
    return not isinstance(keyring.get_keyring(), fail.Keyring | null.Keyring)
