"""LoRAs by name: read once, on for one drawing, off again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import safetensors.torch
import torch

from generation.weights import LoraUnavailable, fetch_files, verify
from storage.catalog import LoraEntry


class Loras:
    """The LoRAs that drawings with one model may name.

    They change the weights that all of the model's pipelines share, so only one thread may draw.
    """

    def __init__(self, pipeline: Any, entries: Mapping[str, LoraEntry]) -> None:
        self._pipeline = pipeline
        self._entries = entries
        self._loaded: dict[str, str] = {}
        """By the catalog's name, the name that the libraries know it by: they make attributes and
        parts of paths of it, which not every name can be."""

    @contextmanager
    def applied(self, wanted: Sequence[tuple[str, float]]) -> Iterator[None]:
        """Within, the weights are those of the model with these (name, weight) added.

        Raises LoraUnavailable.
        """
        if not wanted:
            yield
            return
        try:
            for name, _ in wanted:
                if name not in self._loaded:
                    self._load(name)
            self._pipeline.enable_lora()
            adapters = [self._loaded[name] for name, _ in wanted]
            self._pipeline.set_adapters(adapters, [weight for _, weight in wanted])
            yield
        finally:
            # Also after a failure: reading a LoRA switches it on, even if only half could be read.
            self._pipeline.disable_lora()

    def _load(self, name: str) -> None:
        if name not in self._entries:
            raise LoraUnavailable(f"LoRA {name!r} is not in the catalog for this model")
        adapter = f"lora_{len(self._loaded)}"
        try:
            self._read(self._entries[name], adapter)
            if adapter not in self._there():
                raise LoraUnavailable("no part of it fits this model")
        except torch.OutOfMemoryError:
            self._forget(adapter)
            raise
        # What libraries raise for a file that they cannot make sense of is nearly anything.
        except Exception as error:
            self._forget(adapter)
            source = self._entries[name].source
            raise LoraUnavailable(f"LoRA {name!r} ({source}): {error}") from error
        self._loaded[name] = adapter

    def _read(self, entry: LoraEntry, adapter: str) -> None:
        file = fetch_files(entry.source, entry.revision)
        verify(file, entry.sha256)
        if file.is_file():
            weights = safetensors.torch.load_file(file)
            self._pipeline.load_lora_weights(weights, adapter_name=adapter)
        else:
            self._pipeline.load_lora_weights(str(file), adapter_name=adapter, use_safetensors=True)

    def _there(self) -> set[str]:
        return {adapter for part in self._pipeline.get_list_adapters().values() for adapter in part}

    def _forget(self, adapter: str) -> None:
        """Half of it may have been read."""
        if adapter in self._there():
            self._pipeline.delete_adapters(adapter)
