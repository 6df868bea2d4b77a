"""What a working tree changes."""

import subprocess
from pathlib import Path


def changed_files(folder: Path, against: str | None = None) -> list[str] | None:
    """Files that differ from where this branch left ``against``, committed or not; None where that cannot be told.

    Without ``against``: ``origin/main``, else ``main``. Of a file that moved, the old place and the new one.
    """
    for base in (against,) if against else ("origin/main", "main"):
        left = _git(folder, "merge-base", "HEAD", base)
        if left is not None:
            differing = _git(folder, "diff", "--no-renames", "--name-only", "-z", left.strip())
            unknown = _git(folder, "ls-files", "--others", "--exclude-standard", "-z")
            if differing is not None and unknown is not None:
                return sorted({own for own in (differing + unknown).split("\0") if own})
    return None


def _git(folder: Path, *arguments: str) -> str | None:
    run = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S607
    return run.stdout if run.returncode == 0 else None
