"""Runs the engine, which unpacks a bundle for each worker that it starts: here once, for all workers of its life.

Started as ``.engine/bin/python -P infra/local/unpacked_once.py .engine/bin/ministack``. Unpacking is thousands of files
and up to half a second of a processor, while everything else that asks the engine for something waits. A worker's
folder holds links to what is unpacked instead; as in Lambda, nobody writes there.
"""

import hashlib
import runpy
import shutil
import sys
import tempfile
import threading
import zipfile
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, override

_one_at_a_time = threading.Lock()


class UnpackedOnce(zipfile.ZipFile):
    """A zip file on the disk whose content is unpacked where the first one was that has the same bytes."""

    @override
    def extractall(self, path: Any = None, members: Any = None, pwd: Any = None) -> None:
        """Link what is in it into the folder ``path``: all of it, whatever ``members`` says."""
        with _one_at_a_time:
            kept = self._kept()
        for own in kept.iterdir():
            Path(path, own.name).symlink_to(own)

    def _kept(self) -> Path:
        """Where its content lies, unpacked when it is missing."""
        bundles = Path(tempfile.gettempdir(), "bundles")
        bundles.mkdir(exist_ok=True)
        digest = hashlib.sha256(Path(str(self.filename)).read_bytes()).hexdigest()
        kept = bundles / digest
        if not kept.exists():
            unpacking = Path(tempfile.mkdtemp(dir=bundles))
            try:
                super().extractall(unpacking)
                unpacking.rename(kept)
            except BaseException:
                shutil.rmtree(unpacking, ignore_errors=True)
                raise
        return kept


def main(binary: str) -> None:
    """Put it in the place of the engine's own, and run the engine."""
    runtime: Any = import_module("ministack.core.lambda_runtime")
    runtime.zipfile = SimpleNamespace(
        ZipFile=UnpackedOnce, BadZipFile=zipfile.BadZipFile, LargeFileError=zipfile.LargeZipFile
    )
    sys.argv = [binary]
    runpy.run_path(binary, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1])
