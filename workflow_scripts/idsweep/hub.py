"""Model folders from the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from idsweep.tokenizers import TOKENIZER_FILES

SAFETENSORS = re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")
PICKLES = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?")
COMMIT_FILE = "commit.txt"


def fetch(hub_id: str, revision: str, folder: str | Path, *, weights: bool = True) -> str:
    """Download what a model folder needs from the hub, and return the commit that `revision` names.

    Only config, tokenizer and, if asked, weights are fetched: safetensors, or pytorch_model*.bin where the
    repository has no safetensors. The commit is also kept in the folder, as commit.txt.

    Raises ValueError if the model or revision is not there, may not be read, or holds no weights.
    """
    from huggingface_hub import HfApi, snapshot_download

    where = f"{hub_id} at revision {revision}"
    try:
        info = HfApi().model_info(hub_id, revision=revision)
    except Exception as error:
        raise ValueError(f"{where} cannot be found on the hub: {error}") from error
    wanted = ["config.json", *TOKENIZER_FILES]
    if weights:
        offered = [file.rfilename for file in info.siblings]
        safetensors, pickles = (list(filter(pattern.fullmatch, offered)) for pattern in (SAFETENSORS, PICKLES))
        if not safetensors and not pickles:
            raise ValueError(f"{where} offers no weights: neither model*.safetensors nor pytorch_model*.bin.")
        wanted += safetensors or pickles
    try:
        snapshot_download(hub_id, revision=info.sha, local_dir=folder, allow_patterns=wanted)
    except Exception as error:
        raise ValueError(f"{where} cannot be fetched: {error}") from error
    (Path(folder) / COMMIT_FILE).write_text(f"{info.sha}\n", encoding="utf-8")
    return info.sha
