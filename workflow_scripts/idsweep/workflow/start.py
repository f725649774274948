"""`idsweep run`: the call of Snakemake that runs a sweep with the Snakefile of this library."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from idsweep.files.project import PROJECT, in_project, snakefile, sweep_file

# Options that say what this command says itself.
OWN = {
    "--configfile": "name the sweep's file alone",
    "--configfiles": "name the sweep's file alone",
    "--snakefile": "call snakemake itself for another Snakefile",
    "-s": "call snakemake itself for another Snakefile",
}
PROFILE = "profiles/local"


def start(sweep: str, arguments: Sequence[str]) -> None:
    """Become the process of Snakemake that runs a sweep. sweep, arguments: as for `command`."""
    words = command(sweep, arguments)
    # For the page about the sweep, which says what started it.
    os.environ.setdefault("IDSWEEP_COMMAND", shlex.join(["idsweep", "run", sweep, *arguments]))
    sys.stdout.flush()
    os.execv(words[0], words)


def command(sweep: str, arguments: Sequence[str] = ()) -> list[str]:
    """The words of that call.

    Parameters
    ----------
    sweep
        A file, or a name in config/experiments.
    arguments
        Further arguments for Snakemake. `--config tokens.number=50` is written as Snakemake understands it. Without a profile
        (--profile, SNAKEMAKE_PROFILE), profiles/local is taken: that of the working folder, or of the package.

    Raises
    ------
    ValueError
        If there is no such sweep, or an argument names another config file or Snakefile.
    FileNotFoundError
        If the library was copied somewhere without its workflow.

    Examples
    --------
    >>> from idsweep.workflow.start import command
    >>> command("pythia_70m", ["--cores", "4"])[1:4]
    ['-m', 'snakemake', '--snakefile']
    """
    for argument in arguments:
        if reason := OWN.get(argument.split("=")[0]):
            raise ValueError(f"{argument}: idsweep run sets this itself; {reason}.")
    file = sweep_file(sweep)
    words = list(_nested(_with_profile(arguments)))
    # The config file last: after it, Snakemake would take targets for further ones.
    return [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile()), *words, "--configfile", str(file)]


def nested(assignment: str) -> str:
    """`tokens.number=50` as Snakemake wants it, `tokens={number: 50}`; anything else as it is.

    Examples
    --------
    >>> from idsweep.workflow.start import nested
    >>> nested("tokens.number=50")
    'tokens={number: 50}'
    """
    keys, equals, value = assignment.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w-]*(\.[\w-]+)+", keys):
        return assignment
    top, *below = keys.split(".")
    for key in reversed(below):
        value = f"{{{key}: {_as_yaml(value)}}}"
    return f"{top}={value}"


def _as_yaml(text: str) -> str:
    """A value as it may stand in braces: text that would end there, or mean something else, in quotes."""
    try:
        value = yaml.safe_load(text)
        if yaml.safe_load(f"{{key: {text}}}") == {"key": value}:
            return text
    except yaml.YAMLError:
        value = text
    return json.dumps(value if isinstance(value, str) else text, ensure_ascii=False)


def _nested(arguments: Sequence[str]) -> Iterator[str]:
    option = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if argument.startswith("-"):
            option = argument
            yield f"{name}={nested(value)}" if name == "--config" and equals else argument
        else:
            yield nested(argument) if option in ("--config", "-C") else argument


def _with_profile(arguments: Sequence[str]) -> list[str]:
    """The arguments, with a profile; one that is named and is not here may be that of the package."""
    words = list(arguments)
    given = [i for i, word in enumerate(words) if word.split("=")[0] == "--profile"]
    if not given:
        return words if "SNAKEMAKE_PROFILE" in os.environ else [*words, "--profile", str(in_project(Path(PROFILE)))]
    for i in given:
        if words[i].startswith("--profile="):
            words[i] = f"--profile={_profile(words[i].partition('=')[2])}"
        elif i + 1 < len(words):
            words[i + 1] = _profile(words[i + 1])
    return words


def _profile(name: str) -> str:
    """A profile as Snakemake finds it: by its own rules first, then in the package."""
    from snakemake.common import get_appdirs  # half a second

    folders = get_appdirs()
    known = (Path(), Path(folders.user_config_dir), Path(folders.site_config_dir))
    if any((folder / name).exists() for folder in known):
        return name
    places = (Path(f"profiles/{name}"), PROJECT / name, PROJECT / f"profiles/{name}")
    return next((str(place) for place in places if (place / "config.yaml").is_file()), name)
