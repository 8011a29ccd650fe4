"""LoRAs by name: read once, on for one drawing, off again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from generation.weights import ModelUnavailable, fetch_files, verify
from storage.catalog import LoraEntry


class Loras:
    """The LoRAs that drawings with one model may name.

    They change the weights that all of the model's pipelines share, so only one thread may draw.
    """

    def __init__(self, pipeline: Any, entries: Mapping[str, LoraEntry]) -> None:
        self._pipeline = pipeline
        self._entries = entries
        self._loaded: set[str] = set()

    @contextmanager
    def applied(self, wanted: Sequence[tuple[str, float]]) -> Iterator[None]:
        """Within, the weights are those of the model with these (name, weight) added.

        Raises ModelUnavailable.
        """
        if not wanted:
            yield
            return
        try:
            for name, _ in wanted:
                if name not in self._loaded:
                    self._load(name)
            self._pipeline.enable_lora()
            self._pipeline.set_adapters([name for name, _ in wanted], [w for _, w in wanted])
            yield
        finally:
            # Also after a failure: reading a LoRA switches it on, even if only half could be read.
            self._pipeline.disable_lora()

    def _load(self, name: str) -> None:
        if name not in self._entries:
            raise ModelUnavailable(f"LoRA {name!r} is not in the catalog for this model")
        entry = self._entries[name]
        source = entry.source
        file = fetch_files(source, entry.revision)
        verify(file, entry.sha256)
        try:
            if file.is_file():
                weights = safetensors.torch.load_file(file)
                self._pipeline.load_lora_weights(weights, adapter_name=name)
            else:
                self._pipeline.load_lora_weights(str(file), adapter_name=name, use_safetensors=True)
        except torch.OutOfMemoryError:
            raise
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelUnavailable(f"LoRA {name!r} ({source}): {error}") from error
        self._loaded.add(name)
