"""Makes the zip files the functions are deployed from, without Docker, the same bytes at every build.

A bundle holds its function's locked packages (wheels only, for the platform it runs on), ``shared``, its own folder
and those of functions whose code it runs; where it sends samples, what of the command line makes them. Lambda unpacks
files with a fixed date, so ordinary bytecode would be stale and every cold start would compile again: all modules are
compiled here, by the runtime's own minor version, to bytecode that is never checked against its source. Of packages the
bytecode alone is shipped.
"""

import gzip
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.functions import FUNCTION_NAMES, FUNCTIONS, FunctionName, FunctionSpec
from infra.one_at_a_time import one_at_a_time
from infra.stages import Architecture

PYTHON = (3, 13)
_PYTHON_VERSION = ".".join(map(str, PYTHON))
PROJECT = Path(__file__).resolve().parents[2]

_DROPPED_FOLDERS = {"tests", "test", "__pycache__"}
_DROPPED_SUFFIXES = {".pyi", ".pyc", ".pyx", ".pxd", ".c", ".h"}
_BOTOCORE_COMMON = {"_retry.json", "endpoints.json", "partitions.json", "sdk-default-configuration.json"}
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_PACKED = {"arm64": 6, "native": 1}
"""How hard a zip is pressed: what stays on this machine is unpacked at once, and pressing was a third of the work."""
_KEPT_BUNDLES = 4
_NEVER_RUN = ("cffi", "pycparser", "dateutil/zoneinfo", "botocore/docs/[!_du]*")
"""What cryptography names to be built with; its extension needs the module ``_cffi_backend`` alone. A database of time
zones by name: botocore asks dateutil for UTC, offsets and the machine's own. And what writes the SDK's help."""
_OF_THE_ROUTER = (
    *("aws_lambda_powertools/__init__.*", "aws_lambda_powertools/event_handler"),
    *("aws_lambda_powertools/tracing", "aws_lambda_powertools/utilities/[!_j]*"),
)
"""Of Powertools, what only a function that routes requests loads: others log and count with it, and its front loads all
of it."""
_MAKE_SAMPLES = ("__init__.py", "unfit.py", "samples.py", "proofs.py")
"""Modules of the package ``checkback``."""
_OTHER_EVENTS = (
    r"(?ms)^from \.(?!alb_event|api_gateway_proxy|bedrock_agent_event|event_source|lambda_function_url|vpc_lattice)"
    r"\w+ import (?:\([^)]*\)|[^\n]*)\n"
)
_OTHER_RESOLVERS = (
    r"(?ms)^from aws_lambda_powertools\.event_handler\.(?:\w*appsync\w*|bedrock|http_resolver|lambda_func|vpc)[\w.]* "
    r"import (?:\([^)]*\)|[^\n]*)\n"
)
_VERSION = r"from importlib\.metadata import version"
_NEVER_ASKED = {
    "aws-lambda-powertools": {
        "aws_lambda_powertools/event_handler/__init__.py": _OTHER_RESOLVERS,
        "aws_lambda_powertools/utilities/data_classes/__init__.py": _OTHER_EVENTS,
    },
    "botocore": {
        "botocore/docs/__init__.py": r"(?m)^from botocore\.docs\.service import .*\n",
        "botocore/docs/docstring.py": r"(?m)^from botocore\.docs\..* import .*\n",
    },
    "phonenumberslite": {
        "phonenumbers/__init__.py": r"(?m)^from \.(?:asyou|short|phonenumberm)\w+ import (?:\([^)]*\)|.*)\n",
        "phonenumbers/data/__init__.py": r"(?m)^(?:from \.alt_format_|_ALT_NUMBER_FORMATS = ).*\n",
    },
    "python-ulid": {"ulid/__init__.py": rf"(?m)^(?:{_VERSION}|__version__ = ).*\n"},
    "urllib3": {"urllib3/http2/__init__.py": rf"(?m)^{_VERSION}.*\n"},
}
"""By package and file, the statements that load what nothing here asks: numbers as one types them, short ones, and
those in running text are 50 modules of 59, loaded wherever one number is read; AppSync's resolver brings asyncio; the
SDK's help is 14 modules and a parser of HTML; who asks for a package's version reads zip files and mail headers."""


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
        self._packed = _PACKED[architecture]
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
        with self._one_at_a_time(f"{name}.zip"):
            if not path.is_file():
                self._make(spec, path)
                self._drop_older(f"{name}-{'?' * 16}.zip")
        return Bundle(path=path, digest=hashlib.sha256(path.read_bytes()).hexdigest())

    def build_all(self) -> None:
        """Builds what is missing, two at a time: most of it is waiting for files and other processes."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(self.build, FUNCTION_NAMES))

    def _make(self, spec: FunctionSpec, path: Path) -> None:
        if sys.version_info[:2] != PYTHON:
            msg = f"bytecode must be made by Python {_PYTHON_VERSION}, this is {platform.python_version()}"
            raise BundlingError(msg)
        lock = self._project / "requirements" / f"{spec.name}.txt"
        parts = [self._package(lock.name, pinned) for pinned in _pinned(lock.read_text())]
        parts += [self._code("shared", self._shared()), self._code(spec.name, self._own(spec))]
        with tempfile.TemporaryDirectory(dir=self._cache, prefix=f"{spec.name}-") as folder:
            root = Path(folder) / "root"
            for part in parts:
                shutil.copytree(
                    part, root, copy_function=os.link, dirs_exist_ok=True, ignore=_other_models(spec.services)
                )
            _lighten(root, spec)
            zipped = Path(folder) / "bundle.zip"
            _zip(root, zipped, self._packed)
            zipped.replace(path)

    def _package(self, lock: str, pinned: "_Pinned") -> Path:
        """One installed, pruned and compiled package, whichever functions lock it."""

        def install(root: Path) -> None:
            self._install(lock, pinned, root)
            prune(root)
            for file, statements in _NEVER_ASKED.get(pinned.name, {}).items():
                _take_out(statements, root / file)
            compile_hashed(root, beside=True)
            for source in root.rglob("*.py"):
                source.unlink()

        return self._part(pinned.name, [pinned.text, self._platform], install)

    def _code(self, name: str, sources: Iterable[tuple[Path, Path]]) -> Path:
        """Compiled code of the project itself: each file, and where it stands in the bundle."""
        found = [(target, source.read_bytes()) for source, target in sources]

        def write(root: Path) -> None:
            for file, content in found:
                target = root / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            compile_hashed(root)

        named = (part for file, content in found for part in (file.as_posix(), content))
        return self._part(f"own-{name}", named, write)

    def _part(self, name: str, made_from: Iterable[bytes | str], make: Callable[[Path], None]) -> Path:
        """A folder that several bundles are put together of, made once; what is missing comes from ``make``."""
        key = _digest([*made_from, _own_source()])[:16]
        part = self._cache / f"part-{key}-{name}"
        with self._one_at_a_time(name):
            if not part.is_dir():
                with tempfile.TemporaryDirectory(dir=self._cache, prefix="part-") as folder:
                    root = Path(folder) / "root"
                    root.mkdir()
                    make(root)
                    root.replace(part)
                self._drop_older(f"part-{'?' * 16}-{name}")
        return part

    def _install(self, lock: str, pinned: "_Pinned", target: Path) -> None:
        uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        if uv is None:
            msg = "uv is missing: run infra/local/bootstrap.sh"
            raise BundlingError(msg)
        requirements = target.parent / "requirements.txt"
        requirements.write_text(pinned.text)
        run = subprocess.run(
            [
                uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:",
                "--no-compile-bytecode", "--link-mode", "copy", "--python", sys.executable,
                "--python-version", _PYTHON_VERSION, "--python-platform", self._platform,
                "--target", str(target), "-r", str(requirements),
            ],
            check=False,
            capture_output=True,
            text=True,
            env={key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"},
        )  # fmt: skip
        if run.returncode != 0:
            msg = f"installing {lock} for {self._platform} failed:\n{run.stderr.strip()}"
            raise BundlingError(msg)

    def _key(self, spec: FunctionSpec) -> str:
        lock = self._project / "requirements" / f"{spec.name}.txt"
        parts: list[bytes | str] = [lock.read_bytes(), self._platform, *spec.services, str(spec.routes), _own_source()]
        for source, target in (*self._own(spec), *self._shared()):
            parts.extend((target.as_posix(), source.read_bytes()))
        return _digest(parts)[:16]

    def _own(self, spec: FunctionSpec) -> list[tuple[Path, Path]]:
        functions = self._project / "functions"
        files = [
            functions / "__init__.py",
            *(own for name in (spec.name, *spec.calls) for own in _sources(functions / name)),
            *(self._project / own for own in spec.carries),
        ]
        return [*self._as_it_lies(files), *(self._samples() if spec.samples else ())]

    def _shared(self) -> list[tuple[Path, Path]]:
        return self._as_it_lies(_sources(self._project / "shared"))

    def _as_it_lies(self, files: Iterable[Path]) -> list[tuple[Path, Path]]:
        return [(own, own.relative_to(self._project)) for own in files]

    def _samples(self) -> Iterator[tuple[Path, Path]]:
        """What makes providers' webhooks, as the wheel has it; of each provider the usual one alone."""
        package = Path("checkback")
        for name in _MAKE_SAMPLES:
            yield self._project / "infra" / "cli" / package / name, package / name
        for recipe in sorted((self._project / "events").glob("*/sending.toml")):
            usual = recipe.with_name(f"{tomllib.loads(recipe.read_text())['default']}.json")
            for own in (recipe, usual):
                yield own, package / "samples" / recipe.parent.name / own.name

    def _one_at_a_time(self, name: str) -> AbstractContextManager[None]:
        """Bundles are made at the same time, by threads and by processes: the second waits for the first."""
        return one_at_a_time(self._cache / f"{name}.lock")

    def _drop_older(self, pattern: str) -> None:
        kept = sorted(self._cache.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[_KEPT_BUNDLES:]:
            _remove(path)


@dataclass(frozen=True, slots=True)
class _Pinned:
    """A package as a lock pins it: ``text`` is its requirement with every hash."""

    name: str
    text: str


def _pinned(lock: str) -> Iterator[_Pinned]:
    """The packages of a lock file, in its order."""
    for found in re.finditer(r"^([a-z0-9][a-z0-9._-]*)==(?:.*\\\n)*.*$", lock, flags=re.MULTILINE):
        yield _Pinned(found[1], found[0])


def _sources(folder: Path) -> list[Path]:
    """The files of ``folder`` that are shipped, in the order of their names."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not _DROPPED_FOLDERS & set(path.relative_to(folder).parts)
        and path.suffix not in _DROPPED_SUFFIXES
    ]


_KEPT_LANGUAGES = frozenset(
    (
        *("root", "en", "hi", "bn", "ta", "te", "mr", "gu", "kn", "ml", "pa", "ur", "ne", "si", "de", "fr", "es"),
        *("it", "pt", "nl", "pl", "cs", "da", "sv", "nb", "fi", "el", "ro", "hu", "tr", "ar", "he", "fa", "ru"),
        *("uk", "id", "ms", "fil", "th", "vi", "ja", "ko", "zh"),
    )
)
"""Whose way of writing an amount is shipped."""


def prune(root: Path) -> None:
    """Leaves in installed packages what running them needs: no tests, no tools."""
    _remove(root / "bin")
    for info in root.glob("*.dist-info"):
        _remove(info)
    # A thousand locales are ten megabytes; a shopper of any other reads amounts in the default one's form.
    for entry in (root / "babel" / "locale-data").glob("*.dat"):
        if entry.stem.partition("_")[0] not in _KEPT_LANGUAGES:
            _remove(entry)
    # Deepest first, so that nothing is visited after its folder went.
    for path in sorted(root.rglob("*"), key=lambda path: len(path.parts), reverse=True):
        if path.name in _DROPPED_FOLDERS if path.is_dir() else _is_dead_weight(path):
            _remove(path)


def _other_models(services: Iterable[str]) -> Callable[[str, list[str]], set[str]]:
    """What to leave out of a copy: models of services that the function does not call are most of the SDK."""
    kept = {*services, *_BOTOCORE_COMMON}

    def left_out(folder: str, names: list[str]) -> set[str]:
        return set(names) - kept if folder.endswith(("/botocore/data", "/boto3/data")) else set()

    return left_out


def _lighten(root: Path, spec: FunctionSpec) -> None:
    """Takes out of a bundle what its function never loads, and of botocore's list of endpoints other services'.

    Reading that list whole is a seventh of the first call; of services' models, four fifths are their description.
    """
    for pattern in (*_NEVER_RUN, *(() if spec.routes else _OF_THE_ROUTER)):
        for path in root.glob(pattern):
            _remove(path)
    listed = root / "botocore" / "data" / "endpoints.json"
    if not listed.is_file():
        return
    endpoints = json.loads(listed.read_bytes())
    for partition in endpoints["partitions"]:
        partition["services"] = {
            name: own for name, own in partition["services"].items() if name in {*spec.services, "sts"}
        }
    listed.unlink()  # a link: the file is every bundle's
    listed.write_text(json.dumps(endpoints, separators=(",", ":")))
    for packed in (root / "botocore" / "data").rglob("*.json.gz"):
        model = json.loads(gzip.decompress(packed.read_bytes()), object_hook=_undescribed)
        for parameter in model.get("clientContextParams", {}).values():
            parameter["documentation"] = ""  # the one text that botocore asks for: before S3's first call
        packed.unlink()
        packed.with_suffix("").write_text(json.dumps(model, separators=(",", ":")))


def _undescribed(part: dict[str, Any]) -> dict[str, Any]:
    """A part of a model without the text for people; a shape's member of that name is no text."""
    return {name: own for name, own in part.items() if name != "documentation" or not isinstance(own, str)}


def _take_out(statements: str, file: Path) -> None:
    """Raises BundlingError where there are none: the package has changed, and loads what it likes."""
    text, found = re.subn(statements, "", file.read_text())
    if not found:
        msg = f"{file.name} of {file.parent.name} no longer has what is taken out of it: see _NEVER_ASKED"
        raise BundlingError(msg)
    file.write_text(text)


def _is_dead_weight(file: Path) -> bool:
    return file.suffix in _DROPPED_SUFFIXES or file.name in {"py.typed", ".lock"} or file.match("examples-*.json*")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def compile_hashed(root: Path, *, beside: bool = False) -> None:
    """Compiles the modules under ``root`` to unchecked, hash-based bytecode, ``beside`` each where no source will stay.

    In a process of its own with a fixed hash seed: the order of constants in bytecode follows it.
    """
    run = subprocess.run(
        [
            sys.executable, "-m", "compileall", "-q", "-f", *(["-b"] if beside else []),
            "--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/var/task", str(root),
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


def _zip(root: Path, target: Path, packed: int) -> None:
    """Zips in the order of names, with one date and one mode: equal files give equal bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in root.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(root).as_posix(), _ZIP_DATE)
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            archive.writestr(entry, file.read_bytes(), compresslevel=packed)


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
