"""Makes the zip files the functions are deployed from, without Docker, the same bytes at every build.

A bundle holds its function's locked packages (wheels only, for the platform it runs on), ``shared`` and
its own folder. Lambda unpacks files with a fixed date, so ordinary bytecode would be stale and every cold
start would compile again: all modules are compiled here, by the runtime's own minor version, to bytecode
that is never checked against its source.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from infra.functions import FUNCTION_NAMES, FUNCTIONS, FunctionName, FunctionSpec
from infra.stages import Architecture

PYTHON = (3, 13)
_PYTHON_VERSION = ".".join(map(str, PYTHON))
PROJECT = Path(__file__).resolve().parents[2]

# Imported packages that ask for their own version at import; every other *.dist-info is dead weight.
_READ_THEIR_METADATA = ("python_ulid",)
_DROPPED_FOLDERS = {"tests", "test", "__pycache__"}
_DROPPED_SUFFIXES = {".pyi", ".pyc", ".pyx", ".pxd", ".c", ".h"}
_BOTOCORE_COMMON = {"_retry.json", "endpoints.json", "partitions.json", "sdk-default-configuration.json"}
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_KEPT_BUNDLES = 4


class BundlingError(RuntimeError):
    """A bundle cannot be made here; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """``path``: the zip file; ``digest``: SHA-256 of its bytes, hexadecimal."""

    path: Path
    digest: str


class Bundler:
    """Builds each function's bundle once and keeps it, named by everything it was made from.

    ``project`` has ``functions``, ``shared`` and ``requirements``; ``cache`` is where bundles are kept.
    """

    def __init__(self, architecture: Architecture, *, project: Path = PROJECT, cache: Path | None = None) -> None:
        self._platform = _uv_platform(architecture)
        self._project = project
        self._cache = cache or project / ".bundles"

    def build(self, name: FunctionName) -> Bundle:
        """The bundle of the function ``name``. Raises BundlingError."""
        spec = FUNCTIONS[name]
        handler = self._project / "functions" / name / "handler.py"
        if not handler.is_file():
            msg = f"functions/{name}/handler.py is missing: nothing to bundle"
            raise BundlingError(msg)
        path = self._cache / f"{name}-{self._key(spec)}.zip"
        if not path.is_file():
            self._make(spec, path)
            self._drop_older(name)
        return Bundle(path=path, digest=hashlib.sha256(path.read_bytes()).hexdigest())

    def build_all(self) -> None:
        """Builds what is missing, two at a time: most of it is waiting for files and other processes."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(self.build, FUNCTION_NAMES))

    def _make(self, spec: FunctionSpec, path: Path) -> None:
        if sys.version_info[:2] != PYTHON:
            msg = f"bytecode must be made by Python {_PYTHON_VERSION}, this is {platform.python_version()}"
            raise BundlingError(msg)
        self._cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._cache, prefix=f"{spec.name}-") as folder:
            root = Path(folder) / "root"
            shutil.copytree(self._packages(spec), root)
            for source in self._sources(spec):
                target = root / source.relative_to(self._project)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
            compile_hashed(root, "functions", "shared")
            zipped = Path(folder) / "bundle.zip"
            _zip(root, zipped)
            zipped.replace(path)

    def _packages(self, spec: FunctionSpec) -> Path:
        """The installed, pruned and compiled packages: the slow half, made once for a lock."""
        lock = self._project / "requirements" / f"{spec.name}.txt"
        key = _digest([lock.read_bytes(), self._platform, *spec.services, _own_source()])[:16]
        installed = self._cache / f"packages-{spec.name}-{key}"
        if not installed.is_dir():
            with tempfile.TemporaryDirectory(dir=self._cache, prefix="packages-") as folder:
                root = Path(folder) / "root"
                self._install(lock, root)
                prune(root, spec.services)
                compile_hashed(root)
                try:
                    root.replace(installed)
                except OSError:  # another build was quicker; its result is the same
                    if not installed.is_dir():
                        raise
        return installed

    def _install(self, lock: Path, target: Path) -> None:
        uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        if uv is None:
            msg = "uv is missing: run infra/local/bootstrap.sh"
            raise BundlingError(msg)
        run = subprocess.run(
            [
                uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:",
                "--no-compile-bytecode", "--link-mode", "copy", "--python", sys.executable,
                "--python-version", _PYTHON_VERSION, "--python-platform", self._platform,
                "--target", str(target), "-r", str(lock),
            ],
            check=False,
            capture_output=True,
            text=True,
            env={key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"},
        )  # fmt: skip
        if run.returncode != 0:
            msg = f"installing {lock.name} for {self._platform} failed:\n{run.stderr.strip()}"
            raise BundlingError(msg)

    def _sources(self, spec: FunctionSpec) -> Iterator[Path]:
        package = self._project / "functions" / "__init__.py"
        if package.is_file():
            yield package
        for folder in (self._project / "functions" / spec.name, self._project / "shared"):
            yield from (
                path
                for path in sorted(folder.rglob("*"))
                if path.is_file() and not _DROPPED_FOLDERS & set(path.relative_to(folder).parts)
                and path.suffix not in _DROPPED_SUFFIXES
            )  # fmt: skip

    def _key(self, spec: FunctionSpec) -> str:
        lock = self._project / "requirements" / f"{spec.name}.txt"
        parts: list[bytes | str] = [lock.read_bytes(), self._platform, *spec.services, _own_source()]
        for source in self._sources(spec):
            parts += [source.relative_to(self._project).as_posix(), source.read_bytes()]
        return _digest(parts)[:16]

    def _drop_older(self, name: FunctionName) -> None:
        for pattern in (f"{name}-*.zip", f"packages-{name}-*"):
            kept = sorted(self._cache.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
            for path in kept[_KEPT_BUNDLES:]:
                _remove(path)


_KEPT_LANGUAGES = frozenset(
    (
        *("root", "en", "hi", "bn", "ta", "te", "mr", "gu", "kn", "ml", "pa", "ur", "ne", "si", "de", "fr", "es"),
        *("it", "pt", "nl", "pl", "cs", "da", "sv", "nb", "fi", "el", "ro", "hu", "tr", "ar", "he", "fa", "ru"),
        *("uk", "id", "ms", "fil", "th", "vi", "ja", "ko", "zh"),
    )
)
"""Whose way of writing an amount is shipped."""


def prune(root: Path, services: Iterable[str]) -> None:
    """Leaves in installed packages what running them needs: no tests, no tools, no other service's model."""
    _remove(root / "bin")
    for info in root.glob("*.dist-info"):
        if not info.name.startswith(_READ_THEIR_METADATA):
            _remove(info)
            continue
        for file in info.iterdir():
            if file.name != "METADATA":
                _remove(file)
    for models in (root / "botocore" / "data", root / "boto3" / "data"):
        kept = {*services, *_BOTOCORE_COMMON}
        for entry in models.iterdir() if models.is_dir() else ():
            if entry.name not in kept:
                _remove(entry)
    # A thousand locales are ten megabytes; a shopper of any other reads amounts in the default one's form.
    for entry in (root / "babel" / "locale-data").glob("*.dat"):
        if entry.stem.partition("_")[0] not in _KEPT_LANGUAGES:
            _remove(entry)
    # Deepest first, so that nothing is visited after its folder went.
    for path in sorted(root.rglob("*"), key=lambda path: len(path.parts), reverse=True):
        if path.name in _DROPPED_FOLDERS if path.is_dir() else _is_dead_weight(path):
            _remove(path)


def _is_dead_weight(file: Path) -> bool:
    return file.suffix in _DROPPED_SUFFIXES or file.name in {"py.typed", ".lock"} or file.match("examples-*.json*")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def compile_hashed(root: Path, *folders: str) -> None:
    """Compiles the modules under ``root`` (or only its ``folders``) to unchecked, hash-based bytecode.

    In a process of its own with a fixed hash seed: the order of constants in bytecode follows it.
    """
    run = subprocess.run(
        [
            sys.executable, "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash",
            "-s", str(root), "-p", "/var/task", *(str(root / folder) for folder in folders or (".",)),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=root,
        env={"PYTHONHASHSEED": "0", "PATH": os.environ.get("PATH", "")},
    )  # fmt: skip
    if run.returncode != 0:
        msg = f"compiling failed:\n{run.stdout}{run.stderr}"
        raise BundlingError(msg)


def _zip(root: Path, target: Path) -> None:
    """Zips in the order of names, with one date and one mode: equal files give equal bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for file in sorted(path for path in root.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(root).as_posix(), _ZIP_DATE)
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            archive.writestr(entry, file.read_bytes())


def _uv_platform(architecture: Architecture) -> str:
    """The platform whose wheels a bundle needs, as uv names it."""
    if architecture == "arm64":
        return "aarch64-manylinux2014"
    machine = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}.get(
        platform.machine().lower()
    )
    if machine is None:
        msg = f"no bundles for this machine's architecture, {platform.machine()}"
        raise BundlingError(msg)
    return f"{machine}-apple-darwin" if sys.platform == "darwin" else f"{machine}-manylinux2014"


def _own_source() -> bytes:
    return Path(__file__).read_bytes()


def _digest(parts: Iterable[bytes | str]) -> str:
    digest = hashlib.sha256(platform.python_version().encode())
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()
