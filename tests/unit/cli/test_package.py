"""What `pip install checkback` and `uvx --from . checkback` install: the command line and its samples, nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra.local.engine import PROJECT
from tests.patience import PATIENCE


@pytest.mark.long
def test_the_wheel_holds_the_command_line_and_its_samples_and_runs_by_itself(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True, timeout=PATIENCE)
    [wheel] = tmp_path.glob("checkback-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        tops = {own.split("/")[0] for own in names}
        assert {own for own in tops if not own.endswith(".dist-info")} == {"checkback"}
        assert "checkback/samples/wix/sending.toml" in names
        described = packed.read(next(own for own in names if own.endswith("/METADATA"))).decode()
        assert "Provides-Extra: mcp" in described
        packed.extractall(tmp_path / "site")
    shown = "from checkback.main import cli; cli(['trigger', 'stripe', '--print'])"
    told = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); {shown}"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,  # type: ignore[call-overload]
    )
    assert "checkout.session.expired" in told.stdout


@pytest.mark.long
def test_a_command_loads_nothing_that_it_does_not_need() -> None:
    """Completion asks at every key."""
    code = (
        "import sys; sys.path.insert(0, 'infra/cli'); from checkback.main import cli; "
        "cli.get_command(None, 'endpoints'); "
        "print([own for own in ('mcp', 'keyring', 'cryptography', 'jwt', 'pydantic') if own in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "[]"
