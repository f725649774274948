"""Which families of models the installed transformers knows, read off its files: to import it takes seconds."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from idsweep.files.packages import path_in_package
from idsweep.machine.names import nearest_name

# Modules of transformers 5 that list `model_type` -> class of its config.
OWN = frozenset({"equation_decoder"})  # families of this package, each in a module of its name
# No norm stands behind their last block: each block ends in one, or the family has none. Others are tried where they are measured.
WITHOUT_FINAL_NORM = frozenset(
    {
        *(
            "albert",
            "bart",
            "bert",
            "big_bird",
            "camembert",
            "convbert",
            "data2vec-text",
            "deberta",
            "deberta-v2",
            "distilbert",
        ),
        *(
            "electra",
            "equation_decoder",
            "ernie",
            "flaubert",
            "fnet",
            "layoutlm",
            "longformer",
            "marian",
            "mobilebert",
            "mpnet",
        ),
        *(
            "nystromformer",
            "openai-gpt",
            "prophetnet",
            "rembert",
            "roberta",
            "roformer",
            "squeezebert",
            "xlm",
            "xlm-roberta",
        ),
        "xlnet",
    }
)
LISTED_IN = ("auto_mappings.py", "configuration_auto.py")
ENTRY = re.compile(r"""["']([\w.-]+)["']\s*[,:]\s*["']\w+Config["']""")


@cache
def model_types() -> frozenset[str]:
    """Every `model_type` that transformers has a config for; empty if its files are laid out otherwise."""
    try:
        folder = path_in_package("transformers", "models/auto")
        texts = [path.read_text(encoding="utf-8") for name in LISTED_IN if (path := folder / name).is_file()]
    except (ValueError, OSError):
        return frozenset()
    return OWN.union(name for text in texts for name in ENTRY.findall(text))


def wrong_model_type(given: Any) -> str | None:
    """What is wrong about a `model_type`, as the end of a complaint; None if transformers knows it, or cannot be asked."""
    known = model_types()
    if not known or (isinstance(given, str) and given in known):
        return None
    near = nearest_name(given, known)
    meant = f"did you mean {near!r}? " if near else ""
    return f"{given!r} is no model_type that the installed transformers knows; {meant}a later version may know it"
