"""The decoder that reads equations "a o b =" and names the answer: the architecture of the published grokking experiments.

It is that of Snell's replication of Power et al. 2022 (arXiv:2201.02177), which arXiv:2506.01034 measures. Importing this module makes it
known to transformers, under the model_type of its config.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

NO_ANSWERS = 2  # the last tokens of the vocabulary, "o" and "="
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings")


@strict
class EquationDecoderConfig(PreTrainedConfig):
    """Sizes of an equation decoder. The last two tokens of its vocabulary are no answers, all others are."""

    model_type = "equation_decoder"

    vocab_size: int = 199
    hidden_size: int = 128
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    intermediate_size: int = 512
    max_position_embeddings: int = 5
    dropout: float | int = 0.1

    def validate_architecture(self) -> None:
        """Raises ValueError for sizes that make no model."""
        for key in SIZES:
            if not isinstance(size := getattr(self, key), int) or size < 1:
                raise ValueError(f"{key}: {size!r} is no whole number from 1 on")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size: {self.hidden_size} is no multiple of num_attention_heads = {self.num_attention_heads}"
            )
        if not (isinstance(self.dropout, int | float) and 0 <= self.dropout < 1):
            raise ValueError(f"dropout: {self.dropout!r} is no number from 0 to below 1")
        if not isinstance(self.vocab_size, int) or self.vocab_size <= NO_ANSWERS:
            raise ValueError(
                f"vocab_size: {self.vocab_size!r} leaves no answers beside {NO_ANSWERS} tokens that are none"
            )


class _Attention(nn.Module):
    """Causal attention, of the tokens `asking` to all `tokens`, with dropout of its matrix."""

    def __init__(self, config: EquationDecoderConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.dropout = config.num_attention_heads, config.dropout
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, asking: torch.Tensor, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        mixed = scaled_dot_product_attention(
            self._by_head(self.query(asking)),
            self._by_head(self.key(tokens)),
            self._by_head(self.value(tokens)),
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _by_head(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class _Block(nn.Module):
    """Attention and a two-layer perceptron, each behind a LayerNorm and added to what goes in."""

    def __init__(self, config: EquationDecoderConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.attention_norm, self.attention = nn.LayerNorm(width), _Attention(config)
        self.perceptron_norm = nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, states: torch.Tensor, mask: torch.Tensor, kept: slice) -> torch.Tensor:
        """The states of the tokens `kept`. mask: bool, (…, tokens, tokens), True where a token (row) sees another."""
        normed = self.attention_norm(states)
        states = states[:, kept] + self.dropout(self.attention(normed[:, kept], normed, mask[..., kept, :]))
        inside = self.dropout(gelu(self.inner(self.perceptron_norm(states))))
        return states + self.dropout(self.outer(inside))


class _PreTrained(PreTrainedModel):
    config_class = EquationDecoderConfig
    base_model_prefix = "decoder"

    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own: embeddings N(0, 1), weights and biases of linear layers uniform within ±1/√inputs."""
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


class EquationDecoder(_PreTrained):
    """Embeddings and blocks. Its hidden states are the sum of the embeddings and the output of each block, without any norm.

    Tokens are embedded by N(0, 1) × √width and positions by N(0, 1), so that positions count little at first.
    """

    def __init__(self, config: EquationDecoderConfig) -> None:
        super().__init__(config)
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.num_hidden_layers))
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.tokens

    def set_input_embeddings(self, embeddings: nn.Embedding) -> None:
        self.tokens = embeddings

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        output_hidden_states: Any = False,
        last_token_only: bool = False,
        **_: Any,
    ) -> BaseModelOutput:
        """The states (n, length, width) behind the last block, and all hidden states if asked for.

        attention_mask: (n, length), 0 for padding on the right. last_token_only: the last block computes no token but the last,
        (n, 1, width): all that the answer depends on.
        """
        length = input_ids.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool, device=input_ids.device).tril()
        if attention_mask is not None:
            # Each token sees itself, so that no row is empty.
            mask = mask & attention_mask[:, None, None, :].bool() | torch.eye(
                length, dtype=torch.bool, device=mask.device
            )
        scaled = self.tokens(input_ids) * math.sqrt(self.config.hidden_size)
        states = self.dropout(scaled + self.positions.weight[:length])
        hidden_states = [states]
        for number, block in enumerate(self.blocks, start=1):
            is_last = number == len(self.blocks)
            states = block(states, mask, slice(-1, None) if last_token_only and is_last else slice(None))
            hidden_states.append(states)
        return BaseModelOutput(
            last_hidden_state=states, hidden_states=tuple(hidden_states) if output_hidden_states else None
        )


class AnswerHead(nn.Module):
    """A LayerNorm and a linear layer to a logit of each answer."""

    def __init__(self, config: EquationDecoderConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.vocab_size - NO_ANSWERS)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.output(self.norm(states))


class EquationDecoderForAnswers(_PreTrained):
    """An equation decoder with the head that it is trained with, and saved with."""

    def __init__(self, config: EquationDecoderConfig) -> None:
        super().__init__(config)
        self.decoder, self.head = EquationDecoder(config), AnswerHead(config)
        self.post_init()

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """float32 (n, answers): the logits at the last token, "="."""
        return self.head(self.decoder(input_ids, last_token_only=True).last_hidden_state[:, 0])


AutoConfig.register(EquationDecoderConfig.model_type, EquationDecoderConfig)
AutoModel.register(EquationDecoderConfig, EquationDecoder)
