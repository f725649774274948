"""YAML files, read so that nothing in them is lost: a key that stands twice is refused, where YAML's readers take the last."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

# libyaml's, where PyYAML has it, reads the catalog ten times as fast
SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MERGE = "tag:yaml.org,2002:merge"
TEMPLATE = "__use_yte__"  # key of a file that Snakemake takes for a template of YAML


def read_yaml(path: Path) -> Any:
    """What a YAML file holds. Raises ValueError if it cannot be read, or holds a key twice; the message names file and lines."""
    content, twice = _read(path)
    if twice:
        raise ValueError("; ".join(twice))
    return content


def repeated_keys(path: Path) -> list[str]:
    """What to say of each key that a YAML or JSON file holds twice in one mapping.

    Of a template nothing, since its keys are not those of what is made of it, and of what cannot be read again, as a pipe.
    Raises ValueError if the file cannot be read.
    """
    if not path.is_file():
        return []
    content, twice = _read(path)
    return [] if isinstance(content, dict) and content.get(TEMPLATE) else twice


def _read(path: Path) -> tuple[Any, list[str]]:
    """The content, and what to say of keys that stand twice."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path} is not UTF-8 (byte {error.object[error.start]:#x} in line {line}); save it so"
        ) from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if _is_json(text):
        text = text.replace("\t", " ")  # which YAML does not take for space; JSON has none within texts
    loader = None
    try:
        loader = SafeLoader(text)
        node = loader.get_single_node()
        twice = [f"{path}, {complaint}" for complaint in _repeated(node, loader)]
        return (None if node is None else loader.construct_document(node)), twice
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: of a date that there is not
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _repeated(root: yaml.Node | None, loader: Any) -> Iterator[str]:
    """Lines and key of everything that stands twice in one mapping, wherever it is."""
    waiting: deque[tuple[str, yaml.Node | None]] = deque([("", root)])
    seen: set[int] = set()  # aliases lead to the same node again
    while waiting:
        at, node = waiting.popleft()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(f"{at}[{i}]", item) for i, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            lines: dict[Hashable, int] = {}
            for key, value in node.value:
                name = f"{at}.{key.value}".lstrip(".") if isinstance(key, yaml.ScalarNode) else at
                waiting.append((name, value))
                if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                    continue
                same, line = loader.construct_object(key), key.start_mark.line + 1
                if same in lines:
                    where = f"line {line}" if lines[same] == line else f"lines {lines[same]} and {line}"
                    yield f"{where}: {name} stands there twice, and only the last would count; remove one of them"
                lines[same] = line
