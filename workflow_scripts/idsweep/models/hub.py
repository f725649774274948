"""Model folders from the Hugging Face hub.

Files come over plain HTTP through the session, tokens and settings of `huggingface_hub` (HF_TOKEN, HF_ENDPOINT,
HF_HOME, HF_HUB_OFFLINE, proxies …). Its own downloads begin a file anew in each process; here a file goes on
where a killed job left it, and is compared with the hash that the hub has for it before it counts as there.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from idsweep.machine.progress import Progress
from idsweep.models.folders import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    COMMIT_FILE,
    CONFIG,
    MODEL_WEIGHTS,
    PARTIAL,
    is_tokenizer_file,
    shards_named,
)

# Seconds before each further try after a failure that may pass; a wait that the hub asks for counts if it is longer.
WAITS = (1, 2, 4, 8, 16, 32)
LONGEST_WAIT = 900
AT_A_TIME = 8  # questions
PASSING = (408, 429, 500, 502, 503, 504)

# At INFO and DEBUG these log every address, and those that the hub redirects to are signed.
CLIENT_LOGGERS = ("huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2")

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


class HubFile(NamedTuple):
    """A file at one commit: its size, the hash of its content (sha256, or git's sha1; None if not known), and where
    the Hugging Face cache has it (None if it has not)."""

    name: str
    size: int
    digest: str | None
    cached: Path | None


def fetch(
    hub_id: str,
    revision: str,
    folder: str | Path,
    *,
    weights: bool = True,
    code: bool = False,
    adapter: bool = False,
) -> str:
    """Bring what a model folder needs from the hub, and return the commit that `revision` names.

    Config, tokenizer and, if asked, weights and Python code are fetched. Weights are the first of `MODEL_WEIGHTS` that
    is there; of split weights, the files that the index names. With `adapter`, config and weights are those of the
    repository's PEFT adapter, and nothing of the model is fetched that may lie beside it. The commit is also
    kept in the folder, as commit.txt.

    The folder appears when all of it is there. Until then files are in FOLDER.partial beside it, where the next call
    goes on. A file that the Hugging Face cache has is linked from there, not copied. Every file must have the size and
    the hash that the hub has for it. With HF_HUB_OFFLINE=1 the cache alone is asked.

    Raises ValueError if the folder is not empty, if the model or revision is not there or may not be read, if it lacks
    what is needed, if the hub cannot be reached, refuses or sends wrong bytes after several tries, and if the disk is
    full. No message holds a token.
    """
    from huggingface_hub import constants

    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: models are fetched into new folders.")
    with _quiet_clients(), _errors_told(hub_id, revision):
        find = _find_in_cache if constants.is_offline_mode() else _find_on_hub
        commit, offered = find(hub_id, revision)
        stem = _choose_weights(offered, adapter=adapter) if weights else None
        config = ADAPTER_CONFIG if adapter else CONFIG
        partial = _partial_folder(folder, commit)

        def bring(names: Iterable[str]) -> None:
            files = [offered[name] for name in names]
            _check_space(files, partial)
            for file in files:
                _bring(file, partial, f"{hub_id}/{file.name}", hub_id, commit)

        bring(name for name in offered if name == config or is_tokenizer_file(name) or (code and _is_code(name)))
        if stem is not None:
            if stem in offered:
                bring([stem])
            else:
                bring([f"{stem}.index.json"])
                bring(_shards(partial / f"{stem}.index.json", offered))
        partial.replace(folder)
    return commit


def fetch_file(hub_id: str, revision: str, name: str, folder: str | Path) -> str:
    """Bring one file of a repository into a new folder, and return the commit that `revision` names.

    As `fetch` it goes on where a killed call left it, and compares size and hash. Raises ValueError as `fetch` does, and if the
    repository has no such file.
    """
    from huggingface_hub import constants

    folder = Path(folder)
    with _quiet_clients(), _errors_told(hub_id, revision):
        find = _find_in_cache if constants.is_offline_mode() else _find_on_hub
        commit, offered = find(hub_id, revision)
        if name not in offered:
            alike = [other for other in offered if Path(other).suffix == Path(name).suffix]
            raise ValueError(f"has no file {name!r}; it has {', '.join(alike) or 'none of that kind'}.")
        partial = _partial_folder(folder, commit)
        _check_space([offered[name]], partial)
        _bring(offered[name], partial, f"{hub_id}/{name}", hub_id, commit)
        partial.replace(folder)
    return commit


class Weights(NamedTuple):
    """What a revision of a model holds: the commit, sha256 of each file with weights, and their bytes in all."""

    commit: str
    files: dict[str, str]
    size: int


def weights_of(hub_id: str, revision: str, *, adapter: bool = False) -> Weights:
    """What the hub says of the weights of one revision; nothing is downloaded.

    Raises ValueError as `fetch` does.
    """
    with _quiet_clients(), _errors_told(hub_id, revision):
        commit, offered = _find_on_hub(hub_id, revision)
        stem = _choose_weights(offered, adapter=adapter)
        shard = re.compile(rf"{re.escape(Path(stem).stem)}(-\d+-of-\d+)?{re.escape(Path(stem).suffix)}")
        files = [file for name, file in offered.items() if shard.fullmatch(name)]
        digests = {file.name: file.digest for file in files if file.digest is not None}
        return Weights(commit, digests, sum(file.size for file in files))


def weights_of_each(places: Mapping[str, tuple[str, str]], *, adapter: bool = False) -> dict[str, Weights | ValueError]:
    """Name -> what the hub says of the weights at its place (id, revision), or why it says nothing; several are asked at a time."""

    def ask(place: tuple[str, str]) -> Weights | ValueError:
        try:
            return weights_of(*place, adapter=adapter)
        except ValueError as error:
            return error

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return dict(zip(places, pool.map(ask, places.values()), strict=True))


def is_offline() -> bool:
    """Whether the environment (HF_HUB_OFFLINE) forbids to ask the hub."""
    from huggingface_hub import constants

    return constants.is_offline_mode()


def unreachable() -> str | None:
    """Why the hub, or the mirror that HF_ENDPOINT names, does not answer; None if it does, whatever the answer."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import get_session

    with _quiet_clients():
        for wait in (*WAITS[:2], None):
            try:
                get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
                return None
            except HTTPError as error:
                failure = error
            if wait is not None:
                time.sleep(wait)
    return _without_token(_no_connection(failure))


def not_cached(models: Iterable[tuple[str, str]], datasets: Iterable[str]) -> str | None:
    """Why none of `models` (hub id, revision) and `datasets` can be had from the cache; None if one of them may."""
    missing = None
    for hub_id, revision in models:
        try:
            _find_in_cache(hub_id, revision)
            return None
        except ValueError as error:
            missing = f"{hub_id} at revision {revision} {error}{_told_offline(f'{hub_id} --revision {revision}')}"
    for hub_id in () if has_cached_datasets() else datasets:
        missing = f"{hub_id} is not in the cache of datasets.{_told_offline(f'--repo-type dataset {hub_id}')}"
    return missing


def has_cached_datasets() -> bool:
    """Whether there is any dataset in the caches of `datasets` and `huggingface_hub`."""
    from huggingface_hub import constants

    prepared = Path(os.environ.get("HF_DATASETS_CACHE", Path(constants.HF_HOME) / "datasets"))
    return any(prepared.glob("*")) or any(Path(constants.HF_HUB_CACHE).glob("datasets--*"))


def _is_code(name: str) -> bool:
    return name.endswith(".py") and "/" not in name


def _choose_weights(offered: Mapping[str, HubFile], *, adapter: bool) -> str:
    """The first weights that are there, whole or split: the model's, or its adapter's."""
    of_model, of_adapter = _first_offered(MODEL_WEIGHTS, offered), _first_offered(ADAPTER_WEIGHTS, offered)
    stem = of_adapter if adapter else of_model
    if stem is None:
        raise ValueError(_without_weights(offered, adapter, of_model if adapter else of_adapter))
    config = ADAPTER_CONFIG if adapter else CONFIG
    if config not in offered:
        raise ValueError(f"has {stem} but no {config}.")
    elsewhere = _safetensors_elsewhere(offered)
    if stem.endswith(".bin") and elsewhere:
        logger.info("%s is taken; %s is not where models are loaded from", stem, elsewhere[0])
    return stem


def _first_offered(stems: Iterable[str], offered: Mapping[str, HubFile]) -> str | None:
    return next((stem for stem in stems if stem in offered or f"{stem}.index.json" in offered), None)


def _safetensors_elsewhere(offered: Mapping[str, HubFile]) -> list[str]:
    loaded = (*MODEL_WEIGHTS, *ADAPTER_WEIGHTS)
    return [name for name in offered if name.endswith(".safetensors") and name not in loaded]


def _without_weights(offered: Mapping[str, HubFile], adapter: bool, other: str | None) -> str:
    """What is said of a repository without the weights that are wanted; `other` are those of the other sort."""
    if other and adapter:
        return f"holds a model ({other}) and no adapter: an entry of the catalog that names it takes no `base`."
    if other:
        return (
            f"holds an adapter ({other}) and no model: its entry in the catalog needs `base: NAME`, where NAME is the "
            "entry of the model that it was trained on."
        )
    files = ADAPTER_WEIGHTS if adapter else MODEL_WEIGHTS
    elsewhere = _safetensors_elsewhere(offered)
    hint = f" It has {elsewhere[0]}, which is not where models are loaded from." if elsewhere else ""
    return f"offers no weights{' of an adapter' * adapter}: none of {', '.join(files)}, whole or with an index.{hint}"


def _shards(index: Path, offered: Mapping[str, HubFile]) -> list[str]:
    try:
        names = sorted(shards_named(index))
    except ValueError as error:
        raise ValueError(f"has an {index.name} that is not an index of weights: {error}.") from None
    if absent := [name for name in names if name not in offered or "/" in name]:
        raise ValueError(f"lacks {absent[0]}, one of the {len(names)} files that its {index.name} names.")
    return names


def _find_on_hub(hub_id: str, revision: str) -> tuple[str, dict[str, HubFile]]:
    """The commit and its files, as the hub tells."""
    from huggingface_hub import HfApi, constants, try_to_load_from_cache

    def ask() -> Any:
        return HfApi().model_info(
            hub_id, revision=revision, files_metadata=True, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
        )

    info = _patiently(ask)
    files = {}
    for entry in info.siblings:
        name, size = entry.rfilename, entry.lfs.size if entry.lfs else entry.size
        if size is None:
            raise ValueError(f"{constants.ENDPOINT} does not tell the size of {name}; is it a mirror of the hub?")
        cached = try_to_load_from_cache(hub_id, name, revision=info.sha)
        usable = isinstance(cached, str) and Path(cached).stat().st_size == size
        digest = entry.lfs.sha256 if entry.lfs else entry.blob_id
        files[name] = HubFile(name, size, digest, Path(cached) if usable else None)
    return info.sha, files


def _find_in_cache(hub_id: str, revision: str) -> tuple[str, dict[str, HubFile]]:
    """The commit and those of its files that the Hugging Face cache holds."""
    from huggingface_hub import constants, try_to_load_from_cache

    found = (try_to_load_from_cache(hub_id, name, revision=revision) for name in (CONFIG, ADAPTER_CONFIG))
    known = next((Path(path) for path in found if isinstance(path, str)), None)
    if known is None:
        raise ValueError(f"is not in the Hugging Face cache {constants.HF_HUB_CACHE}.")
    files = {
        path.name: HubFile(path.name, path.stat().st_size, _cached_digest(path), path)
        for path in sorted(known.parent.iterdir())
        if path.is_file()
    }
    return known.parent.name, files


def _cached_digest(path: Path) -> str | None:
    # The cache names a file by its hash, and links to it by the name that it has in the repository.
    name = path.readlink().name if path.is_symlink() else ""
    return name if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name) else None


def _partial_folder(folder: Path, commit: str) -> Path:
    """The folder beside `folder` in which it comes together: as it was left, unless that was another commit."""
    partial = folder.with_name(folder.name + PARTIAL)
    begun = partial / COMMIT_FILE
    if partial.is_dir() and not (begun.is_file() and begun.read_text(encoding="utf-8").strip() == commit):
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    begun.write_text(f"{commit}\n", encoding="utf-8")
    return partial


def _check_space(files: list[HubFile], partial: Path) -> None:
    """Raise ValueError if the disk cannot hold what is still to be downloaded."""
    needed = sum(
        max(0, file.size - _size(partial / file.name) - _size(_unfinished(partial / file.name)))
        for file in files
        if file.cached is None
    )
    free = shutil.disk_usage(partial).free
    if needed > free:
        raise ValueError(f"needs {_megabytes(needed)} below {partial}, but {_megabytes(free)} are free.")


def _bring(file: HubFile, partial: Path, what: str, hub_id: str, commit: str) -> None:
    """Link a file from the cache or download it; it has its name in `partial` once size and hash are right."""
    from huggingface_hub import constants, hf_hub_url

    target = partial / file.name
    unfinished = _unfinished(target)
    if target.is_file() and target.stat().st_size == file.size:
        return
    if file.cached is not None:
        if _is(file, file.cached):
            target.unlink(missing_ok=True)
            _link(file.cached.resolve(), target)
            unfinished.unlink(missing_ok=True)
            return
        logger.warning("%s is damaged in the Hugging Face cache: %s", what, file.cached)
        if constants.is_offline_mode():
            raise ValueError(f"has a damaged {file.name} in the Hugging Face cache: {file.cached}.")
    url = hf_hub_url(hub_id, file.name, revision=commit)
    for _ in range(2):
        _patiently(lambda: _download(url, unfinished, file.size, what), reached=lambda: _size(unfinished))
        if _is(file, unfinished):
            unfinished.replace(target)
            return
        received = _size(unfinished)
        unfinished.unlink()
        logger.warning("%s came with wrong bytes", what)
    raise ValueError(
        f"sends wrong bytes as {file.name}, twice: {received} bytes instead of {file.size}"
        f"{'' if received != file.size else ', with another hash'}. Try again later."
    )


def _download(url: str, unfinished: Path, size: int, what: str) -> None:
    """Download what a file still lacks."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    if _size(unfinished) > size:
        unfinished.unlink()
    done = _size(unfinished)
    if done == size:
        unfinished.touch()
        return
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    progress = Progress(f"fetching {what}", max(1, size // 10**6), "MB")
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
        hf_raise_for_status(response)
        goes_on = response.status_code == 206  # a server that knows no ranges answers 200 and sends it all
        done = done if goes_on else 0
        with unfinished.open("ab" if goes_on else "wb") as file:
            for chunk in response.iter_bytes():
                file.write(chunk)
                done += len(chunk)
                if size >= 10**7:
                    progress.report(done // 10**6)


def _patiently(attempt: Callable[[], Result], reached: Callable[[], int] = lambda: 0) -> Result:
    """What `attempt` returns; after a failure that may pass it is tried again, `WAITS` long.

    reached: how far attempts have come; the waits begin anew after one that came further.
    """
    from huggingface_hub.errors import HTTPError

    failures, best = 0, reached()
    while True:
        try:
            return attempt()
        except HTTPError as error:  # that of the HTTP client: broken connections as well as the hub's answers
            response = getattr(error, "response", None)
            if response is not None and response.status_code not in PASSING:
                raise
            if reached() > best:
                failures, best = 0, reached()
            if failures >= len(WAITS):
                raise
            wait = max(WAITS[failures], _wait_asked_for(response.headers) if response is not None else 0)
            if wait > LONGEST_WAIT:
                raise
            reason = f"HTTP status {response.status_code}" if response is not None else _without_token(repr(error))
            logger.warning("the hub fails (%s); trying again in %g s", reason, wait)
            time.sleep(wait)
            failures += 1


def _wait_asked_for(headers: Mapping[str, str]) -> int:
    """Seconds until the hub wants to be asked again: Retry-After, or the end of a used-up rate limit; 0 if not told."""
    from huggingface_hub.utils import parse_ratelimit_headers

    seconds = headers.get("Retry-After", "").strip()
    limit = parse_ratelimit_headers(headers)
    used_up = limit.reset_in_seconds if limit is not None and limit.remaining == 0 else 0
    return max(int(seconds) if seconds.isdigit() else 0, used_up)


def _unfinished(target: Path) -> Path:
    return target.with_name(f"{target.name}.partial")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk
        target.symlink_to(source)


def _is(file: HubFile, path: Path) -> bool:
    """Whether a path holds the file's content."""
    if path.stat().st_size != file.size:
        return False
    if file.digest is None:
        return True
    with path.open("rb") as stream:
        if len(file.digest) == 64:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.digest
        # Small files are named as git names them: sha1 of a header and the content.
        blob = hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
        return hashlib.file_digest(stream, lambda: blob).hexdigest() == file.digest


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


@contextmanager
def _quiet_clients() -> Iterator[None]:
    import huggingface_hub.utils.logging  # noqa: F401 - it sets its logger's level when it is imported

    loggers = [logging.getLogger(name) for name in CLIENT_LOGGERS]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


@contextmanager
def _errors_told(hub_id: str, revision: str) -> Iterator[None]:
    """Raise every error of the block as a ValueError that begins with the model and says what to do."""
    from huggingface_hub.errors import HTTPError

    try:
        _check_token()
        yield
    except (HTTPError, OSError, ValueError) as error:
        message = f"{hub_id} at revision {revision} {_told(error, hub_id, revision)}"
    else:
        return
    # Not `from error`: what the hub answered may quote the token, and its addresses are signed.
    raise ValueError(_without_token(message)) from None


def _told(error: Exception, hub_id: str, revision: str) -> str:
    from huggingface_hub import constants, errors

    answer = error if isinstance(error, errors.HfHubHTTPError) else None
    if answer is not None:
        return _told_by_hub(answer, hub_id, revision)
    if isinstance(error, errors.HTTPError):
        return f"cannot be fetched: {_no_connection(error)}"
    if isinstance(error, errors.HFValidationError):
        return f"cannot be fetched: {error}"
    if isinstance(error, json.JSONDecodeError):
        return f"cannot be fetched: what answers at {constants.ENDPOINT} is not the hub."
    if isinstance(error, OSError):
        return f"cannot be stored: {error}. What is there already is kept; the same call goes on from it."
    return f"{error}{_told_offline(f'{hub_id} --revision {revision}') if constants.is_offline_mode() else ''}"


def _no_connection(error: Exception) -> str:
    from huggingface_hub import constants

    return (
        f"{constants.ENDPOINT} cannot be reached ({type(error).__name__}: {error}). Is there a network, and is HF_ENDPOINT "
        "right? With HF_HUB_OFFLINE=1 models are taken from the Hugging Face cache."
    )


def _told_offline(what: str) -> str:
    return (
        " HF_HUB_OFFLINE is set, so nothing but the Hugging Face cache was asked: unset it, or run once where there is "
        f"a network: hf download {what}"
    )


def _told_by_hub(error: Any, hub_id: str, revision: str) -> str:
    """What an answer of the hub (an HfHubHTTPError) means, and what to do."""
    from huggingface_hub import constants, errors

    status, said = error.response.status_code, error.server_message or ""
    token = "HF_TOKEN (or `hf auth login`)"
    if isinstance(error, errors.GatedRepoError):
        return (
            f"is gated: accept its conditions at https://huggingface.co/{hub_id}, "
            f"and give a token of the account that did, by {token}."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"cannot be found: the model has no such revision.{_near_revisions(hub_id, revision)}"
    if isinstance(error, errors.EntryNotFoundError):
        return f"lacks a file that the hub lists: {error.response.url.path}."
    if status == 401 and "Invalid credentials" in said:
        return f"cannot be read: {constants.ENDPOINT} refuses the token. Set {token} anew, or unset it."
    if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
        return (
            f"cannot be found: there is no such model at {constants.ENDPOINT}, or it is private and needs a token "
            f"that may read it, by {token}."
        )
    if status == 429:
        return (
            f"cannot be fetched: the rate limit of {constants.ENDPOINT} is used up, and waiting did not help. Run it "
            f"again later; a token, by {token}, raises the limit. What is there already is kept."
        )
    return f"cannot be fetched: {constants.ENDPOINT} answered with HTTP status {status}{f' ({said})' if said else ''}."


def _near_revisions(hub_id: str, revision: str) -> str:
    """The revisions with names like the wanted one, as a sentence; nothing if the hub does not tell."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import build_hf_headers, get_session

    url = f"{constants.ENDPOINT}/api/models/{hub_id}/refs"
    try:
        refs = get_session().get(url, headers=build_hf_headers(), timeout=constants.HF_HUB_ETAG_TIMEOUT).json()
        names = [ref["name"] for kind in ("branches", "tags") for ref in refs[kind]]
    except (HTTPError, ValueError, KeyError, TypeError):
        return ""
    near = difflib.get_close_matches(revision, names, n=5, cutoff=0.5) or names[:5]
    return f" It has {len(names)} branches and tags, such as {', '.join(near)}." if near else ""


def _check_token() -> None:
    from huggingface_hub.utils import get_token

    # The HTTP client would quote such a token in its error.
    if re.search(r"[^!-~]", get_token() or ""):
        raise ValueError(
            "cannot be fetched: the token in HF_TOKEN (or stored by `hf auth login`) has characters that no "
            "token has. Set it anew."
        )


def _without_token(text: str) -> str:
    from huggingface_hub.utils import get_token

    token = get_token()
    return text.replace(token, "[token]") if token else text
