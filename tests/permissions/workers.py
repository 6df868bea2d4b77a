"""Lets the functions of a deployed local stack write down what they need of AWS, until it is deployed again.

``python -m tests.permissions.workers FOLDER``, with ``LOCAL_DIR`` as for everything local.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import boto3

from infra.local.shop import engine_arguments
from tests.permissions.recording import FOLDER

_WORKER = Path(__file__).parent / "worker"


def record(stack: dict[str, object], folder: Path) -> None:
    """Empty the folder, and have every function's workers record into it from their next start."""
    shutil.rmtree(folder, ignore_errors=True)
    client = boto3.client("lambda", **engine_arguments(stack))
    functions = stack["functions"]
    assert isinstance(functions, dict)
    for name in functions.values():
        told = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        added = {FOLDER: str(folder.resolve()), "PYTHONPATH": str(_WORKER)}
        client.update_function_configuration(FunctionName=name, Environment={"Variables": told | added})


if __name__ == "__main__":
    described = json.loads((Path(os.environ.get("LOCAL_DIR", ".local")) / "stack.json").read_text())
    record(described, Path(sys.argv[1]))
