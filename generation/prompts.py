"""From prompt text, with `(word:1.3)` weights and of any length, to embeddings.

Written here rather than put on top of compel (2.5.1 was tried): of plain words it makes the same
embeddings, but it finds syntax in what people type (`cat++`, `:-)`, `.blend()`), and kept from
parsing, by handing it parsed objects, it saves fewer lines than the adapters for one and for two
encoders would take.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from storage.prompt import read


def parse_weights(text: str) -> list[tuple[str, float]]:
    """The pieces of a prompt with their weights, as `storage.prompt` reads them."""
    return list(read(text).pieces)


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """What a pipeline takes in place of prompts. Names are those of its arguments."""

    prompt_embeds: Tensor
    """`1 (chunks window) dim`"""
    negative_prompt_embeds: Tensor | None
    """The same shape, or None without guidance."""
    pooled_prompt_embeds: Tensor | None = None
    """`1 pooled_dim`; XL only."""
    negative_pooled_prompt_embeds: Tensor | None = None

    def arguments(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if value is not None}


class PromptEncoder:
    """The one or two text encoders of a model.

    A plain prompt that fits in the encoder's window comes out bit for bit as from the pipeline's
    own `encode_prompt`. A longer one is cut into chunks of as many tokens as fit between start
    and end token, which are encoded each on its own and joined along the sequence.
    """

    def __init__(
        self, encoders: Sequence[tuple[Any, Any]], *, is_xl: bool, zero_empty_negative: bool
    ) -> None:
        """`encoders` are (tokenizer, text encoder); `zero_empty_negative` is XL's setting
        `force_zeros_for_empty_prompt`."""
        self._encoders = encoders
        self._is_xl = is_xl
        self._zero_empty_negative = zero_empty_negative

    @torch.no_grad()
    def encode(self, prompt: str, negative_prompt: str, *, guided: bool) -> Embeddings:
        """Embed both prompts at the same length. `guided` is whether the negative is needed."""
        texts = [prompt, negative_prompt] if guided else [prompt]
        parsed = [parse_weights(text) for text in texts]
        chunks = max(_chunks(pieces, *pair) for pieces in parsed for pair in self._encoders)
        encoded = [self._encode(pieces, chunks) for pieces in parsed]
        hidden, pooled = encoded[0]
        if not guided:
            return Embeddings(
                prompt_embeds=hidden, pooled_prompt_embeds=pooled, negative_prompt_embeds=None
            )
        negative_hidden, negative_pooled = encoded[1]
        if self._zero_empty_negative and not negative_prompt:
            negative_hidden = torch.zeros_like(hidden)
            negative_pooled = None if pooled is None else torch.zeros_like(pooled)
        return Embeddings(
            prompt_embeds=hidden,
            pooled_prompt_embeds=pooled,
            negative_prompt_embeds=negative_hidden,
            negative_pooled_prompt_embeds=negative_pooled,
        )

    def _encode(
        self, pieces: Sequence[tuple[str, float]], chunks: int
    ) -> tuple[Tensor, Tensor | None]:
        hidden: list[Tensor] = []
        pooled = None
        for tokenizer, encoder in self._encoders:
            tokens, weights = _rows(pieces, tokenizer, encoder, chunks)
            states, pooled = self._run(encoder, tokens)
            if (weights != 1.0).any():
                nothing, _ = _rows([("", 1.0)], tokenizer, encoder, 1)
                base, _ = self._run(encoder, nothing)
                # A weight moves a token's embedding along the line from what the encoder says
                # of no words at all, at the same position, to what it says of these words.
                states = base + (states - base) * weights.to(states)[..., None]
            hidden.append(states.reshape(1, -1, states.shape[-1]))
        # XL's pooled embedding is the second encoder's, of the chunk that the prompt begins with.
        return torch.cat(hidden, dim=-1), None if pooled is None else pooled[:1]

    def _run(self, encoder: Any, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """`chunks window` -> `chunks window dim` and, for XL, the encoder's first output."""
        output = encoder(tokens.to(encoder.device), output_hidden_states=self._is_xl)
        return (output.hidden_states[-2], output[0]) if self._is_xl else (output[0], None)


def _window(tokenizer: Any, encoder: Any) -> int:
    return min(int(tokenizer.model_max_length), int(encoder.config.max_position_embeddings))


def _tokens(pieces: Sequence[tuple[str, float]], tokenizer: Any) -> tuple[list[int], list[float]]:
    ids: list[int] = []
    weights: list[float] = []
    for text, weight in pieces:
        # verbose=False: it would warn about length, and no such warning is wanted near a prompt.
        found = tokenizer(
            text, add_special_tokens=False, truncation=False, padding=False, verbose=False
        ).input_ids
        ids += found
        weights += [weight] * len(found)
    return ids, weights


def _chunks(pieces: Sequence[tuple[str, float]], tokenizer: Any, encoder: Any) -> int:
    ids, _ = _tokens(pieces, tokenizer)
    return max(1, -(-len(ids) // (_window(tokenizer, encoder) - 2)))


def _rows(
    pieces: Sequence[tuple[str, float]], tokenizer: Any, encoder: Any, chunks: int
) -> tuple[Tensor, Tensor]:
    """Token ids and weights, both `chunks window`; a chunk past the end is an empty prompt."""
    ids, weights = _tokens(pieces, tokenizer)
    window = _window(tokenizer, encoder)
    rows: list[list[int]] = []
    row_weights: list[list[float]] = []
    for start in range(0, chunks * (window - 2), window - 2):
        part = ids[start : start + window - 2]
        part_weights = weights[start : start + window - 2]
        padding = window - 2 - len(part)
        end = [tokenizer.eos_token_id] + [tokenizer.pad_token_id] * padding
        rows.append([tokenizer.bos_token_id, *part, *end])
        row_weights.append([1.0, *part_weights, *[1.0] * (padding + 1)])
    return torch.tensor(rows), torch.tensor(row_weights)
