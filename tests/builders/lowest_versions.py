"""The lower ends of pyproject.toml as pip's constraints: python -m builders.lowest_versions.

torch alone is that of envs/requirements.txt: its older releases bring gigabytes of CUDA.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from builders.project import PROJECT

EXTRAS = ("demo", "test")  # which `make test-lowest` installs
OTHERWISE = ("torch",)


def constraints() -> Iterator[str]:
    """A line `name==version` for each package. Raises ValueError for a range that names no lower end."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    pins = (PROJECT / "envs/requirements.txt").read_text()
    for line in [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]:
        found = re.fullmatch(r"([\w-]+)>=([\w.]+)", line)
        if found is None:
            raise ValueError(f"pyproject.toml: {line!r} is not of the form name>=version.")
        name, version = found.groups()
        if name in OTHERWISE:
            version = re.search(rf"^{name}==(.+)$", pins, re.MULTILINE)[1]
        yield f"{name}=={version}"


if __name__ == "__main__":
    print("\n".join(constraints()))
