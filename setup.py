"""What pyproject.toml cannot say: a wheel carries the workflow of the top level beside the library, as `idsweep/project`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS = ("config", "envs", "profiles", "report", "rules")


class WithWorkflow(build_py):
    """The library, and what `idsweep.files.project` finds beside it; an editable installation finds the checkout."""

    def run(self):
        if self.editable_mode:
            super().run()
            return
        shutil.rmtree(self.build_lib, ignore_errors=True)  # what an earlier build left would travel too
        super().run()
        carried = Path(self.build_lib, "idsweep/project")
        for file in workflow_files():
            target = carried / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)


def workflow_files():
    """The workflow's files, as paths from the folder of this one."""
    below = (path for folder in FOLDERS for path in Path(folder).rglob("*"))
    found = [Path("Snakefile"), *Path("workflow_scripts").glob("*.py"), *below]
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


setup(cmdclass={"build_py": WithWorkflow})
