"""`idsweep check-checkpoints`: whether checkpoints are what their names say, without downloading weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from idsweep.measuring import checkpoints
from idsweep.measuring.source import catalogued, is_hub_id, read_catalog
from idsweep.models import hub
from idsweep.models.folders import ADAPTER_CONFIG, adapter_files, weight_files
from idsweep.models.same_weights import describe_alike, find_alike
from idsweep.sweep.models import offered_checkpoints

GB = 1e9


class State(NamedTuple):
    """One checkpoint: its step, the commit on the hub, files with weights by content, their bytes; why it cannot be read."""

    step: int | None
    commit: str
    files: Mapping[str, str]
    size: int
    error: str = ""


def check_checkpoints(given: str, chosen: str | None) -> str:
    """A table of the checkpoints of a model, and which of them hold weights of another.

    Parameters
    ----------
    given
        A folder of checkpoints, a model of the catalog, or an id on the hub.
    chosen
        Names or a pattern; all if None, which an id on the hub does not know.

    Raises
    ------
    ValueError
        If there is no such model, it has no such checkpoint, or the hub cannot be reached.
    """
    states = _states(given, chosen)
    alike = find_alike({name: state.files for name, state in states.items() if state.files})
    same = {one.name: f"{'same as' if one.whole else 'shares files with'} {one.other}" for one in alike}
    width = max(map(len, [*states, "checkpoint"]))
    lines = [f"{'checkpoint':<{width}}  {'step':>9}  {'commit':<8}  {'GB':>7}  {'weights':<12}"]
    for name, state in states.items():
        step = "" if state.step is None else f"{state.step:,}"
        content = hashlib.sha256("".join(sorted(state.files.values())).encode()).hexdigest()[:12] if state.files else ""
        line = f"{name:<{width}}  {step:>9}  {state.commit[:8]:<8}  {state.size / GB:>7.3f}  {content:<12}"
        lines.append(f"{line}  {state.error or same.get(name, '')}".rstrip())
    said = describe_alike(given, alike, most=len(alike))
    failed = sum(bool(state.error) for state in states.values())
    lines += ["", said or "Each of them has weights of its own."]
    return "\n".join(lines + ([f"{failed} could not be looked at."] if failed else []))


def _states(given: str, chosen: str | None) -> dict[str, State]:
    folder = Path(given).expanduser()
    if folder.is_dir():
        pattern = chosen if chosen and "*" in chosen else None
        if (series := checkpoints.find_checkpoints(folder, pattern)) is None:
            raise ValueError(f"{given} holds no folders of checkpoints.")
        names = checkpoints.choose(series.steps, chosen if chosen and not pattern else "all", given)
        return {name: _in_folder(folder / name, series.steps[name]) for name in names}
    if name := catalogued(given):
        entry = {"revision": "main", **read_catalog()[name]}
        if "hub" not in entry or "checkpoints" not in entry or "{seed}" in entry["hub"]:
            raise ValueError(
                f"{name} of the catalog has no checkpoints on the hub. Name another model, or its id on the hub."
            )
        steps = {one.name: one.step for one in offered_checkpoints(entry).values()}
        names = checkpoints.choose(steps, chosen or "all", given)
        several = "{checkpoint}" in entry["hub"]
        places = {
            one: (entry["hub"].replace("{checkpoint}", one), entry["revision"]) if several else (entry["hub"], one)
            for one in names
        }
        return _ask(places, steps)
    if is_hub_id(given):
        if not chosen or chosen == "all":
            raise ValueError(
                f"Which revisions of {given} are checkpoints is not known. Name them: --checkpoints step0,step1000."
            )
        steps = {one: checkpoints.step_in(one) for one in checkpoints.names(chosen)}
        return _ask({one: (given, one) for one in steps}, steps)
    raise ValueError(f"There is no folder {given!r}, no model of that name in the catalog, and it is no id on the hub.")


def _in_folder(folder: Path, step: int | None) -> State:
    try:
        adapter = (folder / ADAPTER_CONFIG).is_file()
        files = adapter_files(folder)[1:] if adapter else weight_files(folder)
        digests = {}
        for file in files:
            with file.open("rb") as opened:
                digests[file.name] = hashlib.file_digest(opened, "sha256").hexdigest()
        return State(step, "", digests, sum(file.stat().st_size for file in files))
    except (ValueError, OSError) as error:
        return State(step, "", {}, 0, str(error))


def _ask(places: Mapping[str, tuple[str, str]], steps: Mapping[str, int | None]) -> dict[str, State]:
    """What the hub says of each checkpoint. places: name -> id and revision."""
    if reason := hub.unreachable():
        raise ValueError(reason)
    return {
        name: State(steps[name], "", {}, 0, str(answer))
        if isinstance(answer, ValueError)
        else State(steps[name], answer.commit, answer.files, answer.size)
        for name, answer in hub.weights_of_each(places).items()
    }
