"""What decides whether a result is stale: one signature for each job.

A signature is the sha256 of canonical JSON of
- the job's named settings (what shapes the numbers, and only that),
- the source of the library modules that its script reaches, without comments and docstrings, wherever they lie,
- the versions of the computing packages that those modules import,
- the signatures of the jobs whose results it reads.

The last point makes staleness independent of which intermediate files still exist: a change far
upstream changes every signature below it, also when vectors were deleted or a re-run failed.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from idsweep.files.atomic import whole_or_nothing
from idsweep.files.project import LIBRARY, PROJECT

SCRIPTS = PROJECT / "workflow_scripts"
MEMORY = Path(".snakemake/idsweep/digests.jsonl")  # of digests, below the folder in which the workflow runs

SPARE_LINES = 1000  # of digests that are no longer true, beside as many as there are files
TICK = 2.0  # seconds within which a file can change twice and keep its times: file systems of some servers count whole ones

# Modules that cannot change a number: whole files, waiting for room, logging, progress, provenance, the version, the choice of a device.
NEUTRAL = {
    "idsweep",
    "idsweep.files.atomic",
    "idsweep.models.checkpoint_disk",
    "idsweep.machine.devices",
    "idsweep.machine.faces",
    "idsweep.workflow.script",
    "idsweep.machine.progress",
    "idsweep.machine.uncounted",
    "idsweep.models.quiet",
    "idsweep.version",
}

# Dictionaries in which a module tells registries of itself (see `training.kinds`). Code does not read them.
TOLD_TO_REGISTRIES = ("TRAINING", "KEYS")

# Packages whose releases may change numbers: import name -> the distributions behind it that compute.
# numpy and pyarrow are left out by decision: every module uses them, so that each of their releases
# would repeat every forward pass; provenance names them.
COMPUTING = {
    "datasets": ("datasets",),
    "gensim": ("gensim",),
    "gguf": ("gguf",),
    "numba": ("numba",),
    "peft": ("peft", "accelerate"),  # transformers' Trainer, which imports accelerate itself, is used beside peft alone
    "sklearn": ("scikit-learn",),
    "skdim": ("scikit-dimension", "scikit-learn", "scipy"),
    "scipy": ("scipy",),
    "tokenizers": ("tokenizers",),
    "torch": ("torch",),
    "transformers": ("transformers", "tokenizers"),
}


def signature(settings: Mapping[str, Any], code: Mapping[str, Any], upstream: Iterable[str]) -> str:
    """sha256 (hexadecimal) of the canonical JSON of a job's settings, code and upstream signatures."""
    return digest({"settings": settings, "code": code, "upstream": sorted(set(upstream))})


def digest(value: Any) -> str:
    """sha256 (hexadecimal) of the canonical JSON of `value`: keys sorted, names kept."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code_of(script: Path, modules: tuple[str, ...] = ()) -> dict[str, Any]:
    """Source hash and package versions of a script and of what it reaches in the library.

    modules: library modules that the script loads by name at run time (registries), to be added.
    """
    names, packages = _closure(script, modules)
    sources = sorted(_source_hash(_module_file(name)) for name in names)
    return {
        "source": digest({"script": _source_hash(script), "reached": sources}),
        "versions": {name: _version(name) for package in packages & COMPUTING.keys() for name in COMPUTING[package]},
    }


def _closure(script: Path, modules: tuple[str, ...]) -> tuple[list[str], set[str]]:
    found: set[str] = set()
    packages: set[str] = set()
    queue = [*modules, *_imports(script)]
    while queue:
        name = queue.pop()
        if name.split(".")[0] != LIBRARY.name:
            packages.add(name.split(".")[0])
        elif name not in found and name not in NEUTRAL:
            found.add(name)
            queue.extend(_imports(_module_file(name)))
    return sorted(found), packages


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """Everything a file imports, at any depth of its syntax tree; library modules by their full names."""
    return _read(path).imports


def _module_path(name: str) -> Path:
    return LIBRARY.joinpath(*name.split(".")[1:])


def _is_module(name: str) -> bool:
    path = _module_path(name)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _module_file(name: str) -> Path:
    path = _module_path(name)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


class _Source(NamedTuple):
    """A file of code, read once.

    text: without comments, docstrings and imports of the library; names that those bind are numbered `bound_0_`,
    `bound_1_` … bound: module of the library, and what is imported of it; None for the module itself. imports: as
    `_imports` says.
    """

    text: str
    bound: list[tuple[str, str | None]]
    imports: tuple[str, ...]


BOUND = re.compile(r"\bbound_(\d+)_\b")


@cache
def _read(path: Path) -> _Source:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    nodes = list(ast.walk(tree))
    bound = {local: (module, name) for local, module, name in _library_imports(nodes)}
    numbers = {local: f"bound_{number}_" for number, local in enumerate(bound)}
    imports = _names_of_imports(nodes)
    for node in nodes:
        for part in ("body", "orelse", "finalbody"):
            if isinstance(statements := getattr(node, part, None), list):
                kept = [one for one in statements if not any(idle(one) for idle in IDLE)]
                setattr(node, part, kept or ([ast.Pass()] if statements else []))
        if isinstance(node, ast.Name):
            node.id = numbers.get(node.id, node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _names_module(node.value):
            node.value = "module"  # loaded by name: the job that loads it names it, see `code_of`
    return _Source(ast.unparse(tree), list(bound.values()), imports)


@cache
def _source_hash(path: Path) -> str:
    """sha256 of what a file says, of its imports what they mean; not of where modules lie or how they are called."""
    return hashlib.sha256(_placeless(path, _content).encode()).hexdigest()


@cache
def _content(module: str) -> str:
    """What stands for a module of the library where another one uses it."""
    if module in NEUTRAL:
        return "neutral"
    own = _placeless(_module_file(module), lambda name: "module")
    return "module_" + hashlib.sha256(own.encode()).hexdigest()


def _placeless(path: Path, stands_for: Callable[[str], str]) -> str:
    """Source without comments, docstrings, what registries are told, and imports of the library; names that those bind say
    what they bind.

    stands_for: full name of a module of the library -> what is written for it.
    """
    source = _read(path)
    said = [stands_for(module) if name is None else f"{stands_for(module)}.{name}" for module, name in source.bound]
    return BOUND.sub(lambda number: said[int(number[1])], source.text)


def _names_of_imports(nodes: Iterable[ast.AST]) -> tuple[str, ...]:
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            submodules = [name for name in names if node.module.startswith(LIBRARY.name) and _is_module(name)]
            found += submodules
            if len(submodules) < len(names):
                found.append(node.module)
    return tuple(found)


def _library_imports(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str, str | None]]:
    """Local name, module of the library, and what is imported of it; None for the module itself."""
    for node in filter(_is_library_import, nodes):
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            local = alias.asname or alias.name
            yield (local, whole, None) if _is_module(whole) else (local, node.module, alias.name)


def _is_library_import(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and not node.level and node.module.split(".")[0] == LIBRARY.name


def _names_module(text: str) -> bool:
    return text.split(".")[0] == LIBRARY.name and all(map(str.isidentifier, text.split("."))) and _is_module(text)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_told_to_registries(node: ast.AST) -> bool:
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Dict):
        return False
    return [getattr(target, "id", "") in TOLD_TO_REGISTRIES for target in node.targets] == [True]


# Statements that are no part of what a file does.
IDLE = (_is_docstring, _is_library_import, _is_told_to_registries)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


class Digests:
    """sha256 of input files, remembered in a file of lines as long as the system's record of a file stays the same.

    Contents decide, not times: a touched file or a fresh installation of the same data changes nothing. The record is
    size, modification time, inode and change time. A program can set the first two at will; the change time only the
    system sets. Of a file that changed a moment ago nothing is written down, since clocks of file systems tick slowly.
    """

    def __init__(self, memory: Path = MEMORY) -> None:
        self._memory = memory
        self._known, lines = _remembered(memory)
        if lines > 2 * len(self._known) + SPARE_LINES:
            self._write_anew()

    def of(self, files: Iterable[Path]) -> dict[str, str]:
        """File name -> sha256 of its contents, for files of different names."""
        return {path.name: self.one(path) for path in sorted(files)}

    def one(self, path: Path) -> str:
        """sha256 of one file's contents."""
        name = os.path.realpath(path)
        known = self._known.get(name)
        if known is not None and known[0] == _record(Path(name).stat()):
            return known[1]
        now = time.time()
        with Path(name).open("rb") as file:
            before = os.fstat(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            after = os.fstat(file.fileno())
        if _record(before) == _record(after):
            self._known[name] = (_record(after), digest)
            if after.st_ctime < now - TICK:
                self._remember(name)
        return digest

    def _remember(self, name: str) -> None:
        """Add a line: writing all of them for each file would take the square of their number."""
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        with self._memory.open("a", encoding="utf-8") as file:
            file.write(_line(name, *self._known[name]))

    def _write_anew(self) -> None:
        with whole_or_nothing(self._memory) as unfinished:
            unfinished.write_text("".join(_line(name, *known) for name, known in self._known.items()), encoding="utf-8")


def _record(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns]


def _line(name: str, record: list[int], digest: str) -> str:
    return json.dumps([name, record, digest]) + "\n"


def _remembered(memory: Path) -> tuple[dict[str, tuple[list[int], str]], int]:
    """File -> its record and digest, and how many lines tell them; a line that a killed process left half is passed over."""
    known: dict[str, tuple[list[int], str]] = {}
    try:
        lines = memory.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return known, 0
    for line in lines:
        try:
            name, record, digest = json.loads(line)
        except (ValueError, TypeError):
            continue
        if isinstance(name, str):
            known[name] = (record, digest)
    return known, len(lines)
