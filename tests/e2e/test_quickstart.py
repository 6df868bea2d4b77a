"""The quickstart, as somebody new follows it: the page's own commands, in one shell, against the running stack."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.local.engine import PROJECT

pytestmark = pytest.mark.e2e

PAGE = PROJECT / "docs/quickstart.md"


def commands() -> str:
    """Every ``sh`` block; what ``shell`` blocks hold, deploying and taking down, the run has done and will do."""
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL))


def test_the_quickstart_does_what_it_says(stack: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    (folder / ".local").mkdir(parents=True)
    (folder / ".venv").symlink_to(PROJECT / ".venv")
    described = (PROJECT / os.environ.get("LOCAL_DIR", ".local")).resolve() / "stack.json"
    (folder / ".local/stack.json").symlink_to(described)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "checkback").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m checkback "$@"\n')
    (tools / "checkback").chmod(0o755)
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CHECKBACK_KEYRING": "off",
        "PYTHONPATH": str(PROJECT / "infra/cli"),
        "LANG": "C.UTF-8",
    }
    script = f"set -euo pipefail\ntrap 'kill $(jobs -p)' EXIT\n{commands()}"
    done = subprocess.run(
        ["/bin/bash", "-c", script],
        cwd=folder,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    transcript = done.stdout + done.stderr
    assert done.returncode == 0, transcript
    assert "checkout.abandoned 899.00 INR" in transcript
    assert re.search(r"warning\s+purchases of flexype", transcript)
    assert re.search(r"ok\s+purchases of flexype", transcript)
    assert "Traceback" not in transcript
    secrets = re.findall(r'"([^"]{20,})"', (tmp_path / ".config/checkback/secrets.json").read_text())
    assert secrets
    assert not [own for own in secrets if own in transcript and not own.startswith("http")]
