"""``python -m infra.local up|down|status``: the stack of stage ``local`` on an engine of this machine.

``LOCAL_DIR`` (default ``.local``) holds everything of one engine, so that several run side by side; ``PORT`` fixes its
port (default: a free one), ``AWS_REGION`` its region.
"""

import argparse
import json
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

from infra.local import engine as engines
from infra.local.engine import PROJECT, EngineError

_MADE_HERE = (
    "cdk.out", "stack.json", "outputs.json", "engine.log", "cdk-deploy.log",
)  # fmt: skip


def main() -> int:
    """Runs one command; 0 when it worked."""
    parser = argparse.ArgumentParser(prog="infra.local")
    parser.add_argument("command", choices=["up", "down", "status"])
    command = parser.parse_args().command
    folder = (PROJECT / os.environ.get("LOCAL_DIR", ".local")).resolve()
    if command == "up":
        return up(folder)
    return down(folder) if command == "down" else status(folder)


def up(folder: Path) -> int:
    """Starts the engine unless it runs, deploys to it, and says where it is."""
    from infra.constructs.bundling import BundlingError
    from infra.local.deployment import DeploymentError, deploy

    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = int(os.environ["PORT"]) if os.environ.get("PORT") else None
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "ap-south-1"
    try:
        engine = engines.find(folder)
        if engine is None:
            engine = engines.start(folder, port=wanted, region=region)
            print(f"engine: {engine.url}, log in {folder / 'engine.log'}", flush=True)
        elif wanted not in {None, engine.port}:
            print(f"the engine of {folder} runs on port {engine.port}: stop it first", file=sys.stderr)
            return 1
        stack = deploy(engine, folder, lambda line: print(line, flush=True))
    except (EngineError, BundlingError, DeploymentError) as error:
        print(f"checkback: {error}", file=sys.stderr)
        return 1
    print(f"ready after {time.monotonic() - started:.1f} s: {stack['api_url']}")
    print(f"the console, by a merchant's token: {stack['api_url']}/console")
    print(f"everything about it: {folder / 'stack.json'}")
    return 0


def down(folder: Path) -> int:
    """Ends the engine and removes what was made for it."""
    print("engine stopped" if engines.stop(folder) else "no engine was running")
    for name in _MADE_HERE:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with suppress(OSError):  # someone else's file is in it
        folder.rmdir()
    return 0


def status(folder: Path) -> int:
    """Says whether the engine runs; 1 when it does not."""
    engine = engines.find(folder)
    if engine is None:
        print("not running")
        return 1
    print(f"engine: {engine.url} (process {engine.pid})")
    with suppress(FileNotFoundError):
        print(f"api: {json.loads((folder / 'stack.json').read_text())['api_url']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
