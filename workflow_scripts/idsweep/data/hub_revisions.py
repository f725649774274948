"""Datasets on the Hugging Face hub at one commit: which one a revision names, and the files that it holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

COMMIT = re.compile("[0-9a-f]{40}")
WILDCARDS = re.compile(r"[*?\[{]")
QUERY = re.compile(r"\?[^\s'\"]+")  # of an address
MAIN = "main"  # where an entry names no revision


def resolve(hub_id: str, revision: str | None) -> str:
    """The commit that a revision (a commit, branch or tag; None: main) of a dataset names, as the hub says.

    With HF_HUB_OFFLINE, as the Hugging Face cache says. Raises ValueError if there is no such dataset or revision, if the
    hub cannot be asked, or if the cache does not know.
    """
    from huggingface_hub import HfApi, constants, errors, hf_hub_download

    if COMMIT.fullmatch(revision or ""):
        return revision
    if constants.is_offline_mode():
        return _commit_in_cache(hub_id, revision)
    name = revision or MAIN
    with explained(hub_id, revision):
        commit = HfApi().dataset_info(hub_id, revision=name, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT).sha
        with suppress(errors.EntryNotFoundError):
            # The cache then knows what the name stands for, also offline.
            hf_hub_download(hub_id, "README.md", repo_type="dataset", revision=name)
    return commit


def names_of_files(hub_id: str, commit: str, pattern: str) -> list[str]:
    """The files of a dataset at a commit that match a pattern, as `data/*.csv`, sorted.

    Raises ValueError if there are none, or if the hub cannot be asked.
    """
    from huggingface_hub import HfFileSystem, constants

    if not WILDCARDS.search(pattern):
        return [pattern]
    if constants.is_offline_mode():
        raise ValueError(
            f"{hub_id}: which files match {pattern!r} is known to the hub alone, and HF_HUB_OFFLINE is set. Unset it, or fetch "
            "the files and give one as a local 'path'."
        )
    root = f"datasets/{hub_id}@{commit}/"
    with explained(hub_id, commit):
        found = HfFileSystem().glob(root + pattern, detail=True)
    names = sorted(path.removeprefix(root) for path, file in found.items() if file["type"] == "file")
    if not names:
        raise ValueError(f"{hub_id} at commit {commit} has no file {pattern!r}. Mend 'file' of the dataset.")
    return names


def files(
    hub_id: str, commit: str, names: Iterable[str], streaming: bool
) -> dict[str, Callable[[], AbstractContextManager[Path | BinaryIO]]]:
    """Name for messages -> what opens a file; it is fetched then, or, if `streaming`, while it is read."""
    open_file = _streamed if streaming else _fetched
    return {f"{hub_id}/{name}": partial(open_file, hub_id, commit, name) for name in names}


@contextmanager
def explained(hub_id: str, revision: str | None) -> Iterator[None]:
    """Raise what the hub or its client says as a ValueError that names dataset and revision."""
    from huggingface_hub import errors

    at = f"{hub_id} at revision {revision or MAIN}"
    try:
        yield
    except errors.RevisionNotFoundError:
        reason = "there is no such revision. Set 'revision' to a branch, a tag or a commit of the dataset"
    except errors.GatedRepoError:
        reason = f"it is gated: accept its conditions at https://huggingface.co/datasets/{hub_id}, and give a token by HF_TOKEN"
    except errors.RepositoryNotFoundError:
        reason = "there is no such dataset, or it is private and needs a token (HF_TOKEN)"
    except errors.LocalEntryNotFoundError as error:
        reason = f"it is not in the Hugging Face cache, and the hub was not reached: {error}"
    except errors.EntryNotFoundError:
        reason = "it lacks a file that is asked for. Mend 'file' of the dataset"
    except (errors.HTTPError, OSError) as error:
        reason = f"{type(error).__name__}: {QUERY.sub('', str(error))}"
    else:
        return
    # Not `from error`: what the hub answers may hold signed addresses, which QUERY takes the signature from.
    raise ValueError(f"{at} cannot be read: {reason}.") from None


def _fetched(hub_id: str, commit: str, name: str) -> AbstractContextManager[Path]:
    from huggingface_hub import hf_hub_download

    with explained(hub_id, commit):
        return nullcontext(Path(hf_hub_download(hub_id, name, repo_type="dataset", revision=commit)))


def _streamed(hub_id: str, commit: str, name: str) -> AbstractContextManager[BinaryIO]:
    from huggingface_hub import HfFileSystem

    with explained(hub_id, commit):
        return HfFileSystem().open(f"datasets/{hub_id}@{commit}/{name}", "rb")


def _commit_in_cache(hub_id: str, revision: str | None) -> str:
    from huggingface_hub import constants

    ref = Path(constants.HF_HUB_CACHE, f"datasets--{hub_id.replace('/', '--')}", "refs", revision or MAIN)
    if ref.is_file():
        return ref.read_text(encoding="utf-8").strip()
    raise ValueError(
        f"{hub_id}: the Hugging Face cache does not know which commit the revision {revision or MAIN!r} is, and HF_HUB_OFFLINE is "
        "set. Unset it, or set 'revision' to a commit."
    )
