"""The functions' bundles, unpacked once for all workers of a run.

The engine unpacks a bundle for each worker that it starts, thousands of files at a time, while everything else that
asks it for something waits: where workers are killed all the time it comes to nothing else, and answers too late.
"""

import io
import shutil
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

_UNPACKED_ALREADY = "what is here lies on the path already"


class Unpacked:
    """A context manager: while it is entered, the deployed bundles are nearly empty and lie in ``path_of`` instead."""

    def __init__(self, client: Any, functions: Mapping[str, str], folder: Path) -> None:
        """``client`` of Lambda; ``functions``: full names by short ones; ``folder`` for what is unpacked and kept."""
        self._client = client
        self._functions = functions
        self._folder = folder

    def path_of(self, function: str) -> Path:
        """Where a function's modules lie."""
        return self._folder / function

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        thin = _thin()
        for function, name in self._functions.items():
            kept = self._kept(function)
            if not kept.exists():  # else a run that was killed has left its thin one in the function
                kept.write_bytes(self._deployed(name))
            with zipfile.ZipFile(kept) as bundle:
                bundle.extractall(self.path_of(function))
            self._client.update_function_code(FunctionName=name, ZipFile=thin)
        return self

    def __exit__(self, *_: object) -> None:
        for function, name in self._functions.items():
            self._client.update_function_code(FunctionName=name, ZipFile=self._kept(function).read_bytes())
        shutil.rmtree(self._folder, ignore_errors=True)

    def _kept(self, function: str) -> Path:
        return self._folder / f"{function}.zip"

    def _deployed(self, name: str) -> bytes:
        place = self._client.get_function(FunctionName=name)["Code"]["Location"]
        with urllib.request.urlopen(place, timeout=30) as answer:  # noqa: S310 - the engine's own
            bundle: bytes = answer.read()
        return bundle


def _thin() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as bundle:
        bundle.writestr("README", _UNPACKED_ALREADY)
    return made.getvalue()
