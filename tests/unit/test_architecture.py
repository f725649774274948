"""Packages import as docs/architecture.md says, and no modules import each other in a circle."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
LIBRARY = PROJECT / "workflow_scripts/idsweep"
FACES = ("idsweep", "idsweep.estimators", "idsweep.live", "idsweep.neighbors")
MODULES = {
    ".".join(("idsweep", *path.relative_to(LIBRARY).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(LIBRARY.rglob("*.py"))
}


def imported(path: Path) -> set[str]:
    """Modules of the library that a file imports at any depth, or loads by name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            for alias in node.names if (node.module or "").split(".")[0] == "idsweep" else ():
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in MODULES}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in (
            "import_module",
            "uncounted",
        ):
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant) and arg.value in MODULES}
    return found


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def allowed() -> dict[str, set[str]]:
    """Package -> those that it may import from, as the table in docs/architecture.md says."""
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \|(.*)\|$", (PROJECT / "docs/architecture.md").read_text(), re.MULTILINE)
    return {package: set(re.findall(r"`(\w+)`", others)) for package, others in rows}


IMPORTS = {module: imported(path) - {module} for module, path in MODULES.items()}


def test_the_table_names_every_package() -> None:
    assert allowed().keys() == {package_of(module) for module in MODULES if module != "idsweep"}


@pytest.mark.parametrize("module", [module for module in MODULES if module not in FACES])
def test_packages_import_from_those_below_them(module: str) -> None:
    package = package_of(module)
    others = {other for other in IMPORTS[module] if package_of(other) != package}
    wrong = {other for other in others if package_of(other) not in allowed()[package]}
    assert not wrong, f"{module} imports {', '.join(sorted(wrong))}; see the table in docs/architecture.md"


def test_the_table_has_no_circle_and_nothing_that_is_not_used() -> None:
    list(TopologicalSorter(allowed()).static_order())
    used = {(package_of(a), package_of(b)) for a, others in IMPORTS.items() for b in others if a not in FACES}
    said = {(package, other) for package, others in allowed().items() for other in others}
    assert not said - used, f"not used: {sorted(said - used)}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        list(TopologicalSorter(IMPORTS).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_inits_import_nothing_but_lazily() -> None:
    for module, path in MODULES.items():
        if path.name == "__init__.py":
            expected = {"idsweep.machine.faces"} if module in FACES else set()
            assert IMPORTS[module] == expected, module


def test_the_library_imports_from_modules_and_not_through_faces() -> None:
    """Signatures follow imports; what a face offers lazily they would not see."""
    scripts = {path: imported(path) for path in sorted(LIBRARY.parent.glob("*.py"))}
    packages = {module for module, path in MODULES.items() if path.name == "__init__.py"}
    for name, others in {**IMPORTS, **scripts}.items():
        assert not others & packages, f"{name} imports through {others & packages}"


def test_estimation_imports_no_torch_and_reading_a_workflow_nothing_heavy() -> None:
    for modules, heavy in (
        (("idsweep.estimators.layer", "idsweep.neighbors.clouds", "idsweep.workflow.script"), {"torch", "pandas"}),
        (
            ("idsweep.workflow.job_graph", "idsweep.sweep.expand", "idsweep.workflow.preflight"),
            {"torch", "transformers", "pandas", "matplotlib", "datasets", "gensim"},
        ),
    ):
        code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": str(LIBRARY.parent)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert not heavy & set(done.stdout.split()), modules


NO_NOUNS = {"asked", "held", "made", "of", "told", "wanted"}


def variables(tree: ast.AST) -> set[str]:
    """Names of the variables and arguments of a file."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return names | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def test_variables_are_nouns_that_say_what_they_hold() -> None:
    for path in sorted(LIBRARY.parent.rglob("*.py")):
        names = variables(ast.parse(path.read_text(encoding="utf-8")))
        assert not names & NO_NOUNS, f"{path.relative_to(PROJECT)} has variables named {sorted(names & NO_NOUNS)}"
