"""Checkpoints whose weights are those of another one: two names of one state, or files that two of them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Files = Mapping[str, str]  # name of a file with weights -> the sha256 of its content


class Alike(NamedTuple):
    """A checkpoint, an earlier one, and the files in which both hold the same; whole: whether these are all of them."""

    name: str
    other: str
    files: tuple[str, ...]
    whole: bool


def find_alike(weights: Mapping[str, Files]) -> list[Alike]:
    """The checkpoints that hold weights of an earlier one, each with the first such.

    weights: checkpoint -> its files, in order of training. Shards of one size may be cut elsewhere in another export, so files
    are compared by content alone, whatever their names.

    >>> find_alike({"step0": {"a": "1", "b": "2"}, "step1": {"a": "3", "b": "2"}, "step2": {"a": "1", "b": "2"}})
    [Alike(name='step1', other='step0', files=('b',), whole=False), Alike(name='step2', other='step0', files=('a', 'b'), whole=True)]
    """
    first: dict[str, str] = {}  # content -> the checkpoint that has it first
    whole: dict[frozenset[str], str] = {}
    found = []
    for name, files in weights.items():
        contents = frozenset(files.values())
        if (other := whole.setdefault(contents, name)) != name:
            found.append(Alike(name, other, tuple(files), True))
        elif shared := [file for file, content in files.items() if content in first]:
            found.append(Alike(name, first[files[shared[0]]], tuple(shared), False))
        for content in contents:
            first.setdefault(content, name)
    return found


def describe_alike(model: str, found: list[Alike], most: int = 8) -> str:
    """What to say of these checkpoints of a model; empty if there are none.

    >>> print(describe_alike("m", [Alike("step2", "step0", ("a", "b"), True), Alike("step1", "step0", ("b",), False)]))
    m @ step2 has the weights of step0, byte for byte
    m @ step1 shares b with step0
    """
    lines = [
        f"{model} @ {one.name} has the weights of {one.other}, byte for byte"
        if one.whole
        else f"{model} @ {one.name} shares {', '.join(one.files)} with {one.other}"
        for one in found
    ]
    return "\n".join([*lines[:most], *([f"… and {len(lines) - most} more"] if len(lines) > most else [])])
