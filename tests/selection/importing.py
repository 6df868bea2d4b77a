"""Which test files a change concerns: those that import what changed, however long the way, or read it as a file.

Nothing is imported for it, all is read from the source: imports wherever they stand in a module, modules named in texts
(``"functions.ingest.handler"``, ``f"shared.providers.{name}"`` for all of them, the code of a child process), the
packages and the ``conftest.py`` above a file, and files and folders named in texts (``PROJECT / "events"``). What
cannot be attributed runs everything.

``test_selected.py`` plants changes and sees who is selected; ``make unit`` writes down whose code ran in which test
file and what was opened there, and ``make attribution`` finds all of it among what would have been selected.
"""

import ast
import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath

PROJECT = Path(__file__).parents[2]
FOLDERS = ("shared", "functions", "infra", "tests")
COMMAND_LINE = "infra/cli/"
"""A root of imports of its own: what is installed from there is the package ``checkback``."""
ROOTS = (*FOLDERS, "checkback")
EVERYTHING = frozenset(("pyproject.toml", "requirements/dev.txt", "tests/conftest.py"))
"""What every test stands on: pytest's settings, the packages, the fixtures for all."""
UNREAD = frozenset((".md", ".svg", ".in", ""))
"""What nobody has to read: pages, pictures, what locks are made of, ``Makefile`` and ``LICENSE``."""
NOT_FOLLOWED = {
    "tests.conftest": ("tests.integration.conftest",),
    "tests.permissions.recording": ("functions.", "infra.functions"),
    "tests.unit.infra.conftest": ("functions.",),
    "infra.constructs.python_function": ("functions.",),
    "tests.selection.importing": ("tests.", "functions.", "infra."),
}
"""What is imported or named, by whom, without a test depending on it, or not without importing it as well.

The account is opened for who asks for it, in ``tests/integration`` or by importing its conftest; handlers are wrapped
where their calls are written down, which is no part of any test; in a template a handler is a name, and so are modules
here.
"""
NOT_READ_BY = {
    "infra/constructs/bundling.py",
    "tests/permissions/recording.py",
    "tests/selection/importing.py",
}
"""Who names the folders of code without reading them in a test: bundles are made in ``test_bundling.py`` alone, which
names them itself; the recording knows by them whose frame it sees.
"""
_NAMED = re.compile(rf"(?<![\w.])(?:{'|'.join(ROOTS)})(?:\.\w+)*\.?")
_IMPORT = re.compile(r"^(?:\s*from\s+([\w.]+)\s+import\s+\(?([\w, ]+)|\s*import\s+([\w.]+))", re.MULTILINE)


@dataclass
class Module:
    """What one file says of others: dotted names that it imports (``a.b.*``: all below), parts of paths it names."""

    imports: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)

    def looks_for(self, name: str) -> bool:
        """Whether one of the words is a pattern that the file's name fits."""
        return any("*" in own and fnmatchcase(name, own) for own in self.words)


def read(source: str) -> Module:
    """Of a module's source. Imports for annotations alone are left out: no test runs them, and types are checked."""
    found = Module()
    _visit(ast.parse(source), found)
    return found


def _visit(node: ast.AST, found: Module) -> None:
    match node:
        case ast.If(test=test, orelse=orelse) if "TYPE_CHECKING" in ast.unparse(test):
            for own in orelse:
                _visit(own, found)
            return
        case ast.Expr(value=ast.Constant()):
            return  # a docstring names what it likes
        case ast.Import(names=names):
            found.imports.update(own.name for own in names)
        case ast.ImportFrom(module=str(module), names=names):
            found.imports.update((module, *(f"{module}.{own.name}" for own in names)))
        case ast.Constant(value=str(text)):
            _of_text(text, found)
        case ast.JoinedStr(values=values):
            # What is put in there is not known: any module that there is, any file of the kind.
            _of_text("".join(_text(part) or "*" for part in values), found)
            for part in values:
                if _text(part) is None:
                    _visit(part, found)
            return
        case _:
            pass
    for child in ast.iter_child_nodes(node):
        _visit(child, found)


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _of_text(text: str, found: Module) -> None:
    for named in _NAMED.findall(text):
        found.imports.add(f"{named}*" if named.endswith(".") else named)
    for line in _IMPORT.finditer(text):
        module, names, alone = line.groups()
        found.imports.add(module or alone)
        found.imports.update(f"{module}.{own.strip()}" for own in (names or "").split(","))
    if len(text) < 200:
        found.words.update(own for own in text.split("/") if own)


class Project:
    """The files of a tree, and who imports and reads whom."""

    def __init__(self, modules: Mapping[str, Module]) -> None:
        """``modules``: every Python file below ``FOLDERS``, by its path in the tree."""
        self._modules = modules

    @classmethod
    def at(cls, folder: Path) -> "Project":
        """As the working tree has it; what was read before is not read again."""
        paths = (own for root in FOLDERS for own in sorted((folder / root).rglob("*.py")))
        with _kept(folder / ".pytest_cache" / "selection") as known:
            return cls({own.relative_to(folder).as_posix(): known(own.read_text()) for own in paths})

    @cached_property
    def tests(self) -> tuple[str, ...]:
        """Every file of tests."""
        return tuple(own for own in self._modules if own.startswith("tests/") and _name(own).startswith("test_"))

    @cached_property
    def _wanted(self) -> Mapping[str, set[str]]:
        """By file, the dotted names it would import, whether there are such modules or not."""
        known = [dotted(own) for own in self._modules]
        wanted: dict[str, set[str]] = {}
        for path, module in self._modules.items():
            named = wanted[path] = set(self._followed(path, module.imports))
            for all_below in [own for own in named if own.endswith(".*")]:
                named.update(own for own in known if own.startswith(all_below[:-1]))
        return wanted

    @cached_property
    def _importers(self) -> Mapping[str, set[str]]:
        """By dotted name, whether there is such a module or not, the files that would import it."""
        importers: dict[str, set[str]] = defaultdict(set)
        for path, names in self._wanted.items():
            for name in names:
                importers[name].add(path)
        return importers

    def made_of(self, path: str) -> set[str]:
        """The file and all that it imports, however long the way."""
        by_name = {dotted(own): own for own in self._modules}
        reached: set[str] = set()
        ahead = {path}
        while ahead:
            reached |= ahead
            ahead = {by_name[own] for found in ahead for own in self._wanted[found] if own in by_name} - reached
        return reached

    def _followed(self, path: str, imports: Iterable[str]) -> Iterator[str]:
        own = dotted(path)
        for wanted in imports:
            if wanted.partition(".")[0] in ROOTS and not wanted.startswith(NOT_FOLLOWED.get(own, ())):
                yield wanted
                # What is imported brings the packages above it.
                yield from _above(wanted)
        yield from _above(own)
        if own.partition(".")[0] == "tests":
            yield from (f"{parent}.conftest" for parent in _above(own))

    @cached_property
    def _readers(self) -> Mapping[str, set[str]]:
        """By a word of a path, the files that say it."""
        readers: dict[str, set[str]] = defaultdict(set)
        for path, module in self._modules.items():
            for word in module.words:
                readers[word].add(path)
        return readers

    def concerned(self, changed: str) -> set[str] | None:
        """The test files that a changed, new or deleted file concerns; None for everything."""
        if changed in EVERYTHING:
            return None
        parts = PurePosixPath(changed).parts
        reached = self._who_reads(parts)
        if changed.endswith(".py") and parts[0] in FOLDERS:
            reached |= {changed} | self._who_imports(dotted(changed), new=changed not in self._modules)
        elif not reached and PurePosixPath(changed).suffix not in UNREAD:
            return None
        return self._transitively(reached)

    def _who_reads(self, parts: tuple[str, ...]) -> set[str]:
        """Who names the file, or the folder at the top: of a page or a source only with a pattern for what is in it."""
        readers = self._readers.get(parts[-1], set())
        of_the_folder = set() if parts[0] == "tests" else self._readers.get(parts[0], set())
        if PurePosixPath(parts[-1]).suffix in UNREAD | {".py"}:
            of_the_folder = {own for own in of_the_folder if self._modules[own].looks_for(parts[-1])}
        return (readers | of_the_folder) - NOT_READ_BY

    def _who_imports(self, name: str, *, new: bool) -> set[str]:
        found = set(self._importers.get(name, ()))
        if new:  # whatever takes all of a package would take it too
            found |= {own for parent in _above(name) for own in self._importers.get(f"{parent}.*", ())}
        return found

    def _transitively(self, start: Iterable[str]) -> set[str]:
        reached: set[str] = set()
        ahead = set(start)
        while ahead:
            path = ahead.pop()
            if path not in reached:
                reached.add(path)
                ahead |= self._importers.get(dotted(path), set()) - reached
        return reached & set(self.tests)


@contextmanager
def _kept(path: Path) -> Iterator[Callable[[str], Module]]:
    """Reads sources, by what their bytes were when they were read first, with the code that stands here."""
    own = hashlib.sha256(Path(__file__).read_bytes()).digest()
    kept: dict[str, list[list[str]]] = {}
    with suppress(OSError, ValueError):
        kept = json.loads(path.read_text())
    before = set(kept)
    asked: dict[str, list[list[str]]] = {}

    def known(source: str) -> Module:
        digest = hashlib.sha256(own + source.encode()).hexdigest()
        if digest not in kept:
            found = read(source)
            kept[digest] = [sorted(found.imports), sorted(found.words)]
        asked[digest] = kept[digest]
        imports, words = asked[digest]
        return Module(set(imports), set(words))

    yield known
    if asked.keys() != before:
        path.parent.mkdir(exist_ok=True)
        whole = path.with_suffix(f".{os.getpid()}")  # several processes of a run read it
        whole.write_text(json.dumps(asked))
        whole.replace(path)


def dotted(path: str) -> str:
    """A module's name; a package's is its folder's."""
    return path.removeprefix(COMMAND_LINE).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _above(name: str) -> Iterator[str]:
    """The packages a module stands in, nearest first."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def selected(project: Project, changed: Iterable[str]) -> tuple[set[str] | None, str]:
    """The test files of all changes, None for everything, and a line that says why."""
    found: set[str] = set()
    changes = list(changed)
    for own in changes:
        concerned = project.concerned(own)
        if concerned is None:
            return None, f"everything: {own} concerns all"
        found |= concerned
    return found, f"{len(found)} of {len(project.tests)} test files, for {len(changes)} changed"
