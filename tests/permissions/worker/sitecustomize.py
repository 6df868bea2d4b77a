"""A worker of the local engine that writes down what its calls to AWS need: a Python that finds this on its path.

Python imports it before anything else, when the bundle is not on the path yet: botocore is met when it is imported.
"""

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, override

_PROJECT = Path(__file__).parents[3]
_LAST = "botocore.client"
"""Whoever imports it has imported ``botocore.auth`` too."""


class _Met(importlib.abc.MetaPathFinder):
    """Finds what it waits for as all others do, and is told when that has been loaded."""

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _LAST:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            load = loader.exec_module

            def loaded(module: ModuleType) -> None:
                load(module)
                _listen(module)

            loader.exec_module = loaded
        return spec


def _listen(client: Any) -> None:
    import botocore.auth

    sys.path.append(str(_PROJECT))
    try:
        from tests.permissions.recording import FOLDER, Recording
    finally:
        sys.path.remove(str(_PROJECT))
    recording = Recording(Path(os.environ[FOLDER]), os.environ["POWERTOOLS_SERVICE_NAME"])
    recording.listen(client.BaseClient, botocore.auth.SigV4Auth)


if "RECORD_AWS_CALLS" in os.environ and "POWERTOOLS_SERVICE_NAME" in os.environ:
    sys.meta_path.insert(0, _Met())
