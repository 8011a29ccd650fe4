"""What can be no picture is never shown; what is flat because it was asked for is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
import torch
from diffusers import DDIMScheduler
from PIL import Image

from generation.engine import Engine
from generation.pipeline import DiffusionModel
from generation.soundness import Broken
from generation.worker import Worker
from storage import log, migrate
from storage.blobs import open_blobs
from storage.catalog import Catalog, LoraEntry, ModelEntry
from storage.database import connect
from storage.domain import JobState
from storage.domain.job import FailureReason
from tests.conftest import make_settings
from tests.fakes.nouns import FakeClock, a_request, recorded
from tests.fakes.tiny_models import build_lora, build_model
from tests.generation.drawings import drawing, nothing, pixels

pytestmark = [
    # diffusers' Euler schedulers still hand tensors to NumPy the old way.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

FAMILIES = ("sd15", "sdxl")
NAN, INFINITY = float("nan"), float("inf")


def fresh(family: str, folder: Path, loras: dict[str, LoraEntry] | None = None) -> DiffusionModel:
    """A model of its own, to be broken."""
    entry = ModelEntry(source=str(build_model(family, folder / family)))
    return DiffusionModel.load(entry, device="cpu", loras=loras or {})


def one(tensor: Any, value: float) -> None:
    """Break a single weight."""
    tensor.data.view(-1)[0] = value


def all_of(convolution: Any, weight: float, bias: float) -> None:
    convolution.weight.data.fill_(weight)
    convolution.bias.data.fill_(bias)


class Diverges(DDIMScheduler):
    """Each step leads further away."""

    factor = 1e12

    def step(self, *args: Any, **more: Any) -> Any:
        return (self.factor * super().step(*args, **more)[0],)


class DivergesSlowly(Diverges):
    factor = 100.0


def half(pipeline: Any) -> None:
    """Half precision, in which the denoiser overflows."""
    pipeline.to(torch.float16)
    pipeline.unet.conv_out.weight.data.fill_(60_000)


def last_of_text(pipeline: Any) -> Any:
    encoder = getattr(pipeline, "text_encoder_2", pipeline.text_encoder)
    return list(encoder.parameters())[-1]


def diverging(kind: type[DDIMScheduler]) -> Callable[[Any], None]:
    def to(pipeline: Any) -> None:
        pipeline.scheduler = kind.from_config(pipeline.scheduler.config, clip_sample=False)

    return to


BREAKS: dict[str, tuple[Callable[[Any], None], str]] = {
    "NaN where the denoiser begins": (lambda p: one(p.unet.conv_in.weight, NAN), "denoiser"),
    "NaN where it ends": (lambda p: one(p.unet.conv_out.bias, NAN), "denoiser"),
    "infinity in the denoiser": (lambda p: one(p.unet.conv_out.bias, INFINITY), "denoiser"),
    "NaN in the text encoder": (lambda p: one(last_of_text(p), NAN), "denoiser"),
    "a sampler that diverges": (diverging(Diverges), "denoiser"),
    "one that diverges slowly": (diverging(DivergesSlowly), "diverged"),
    "NaN in the decoder": (lambda p: one(p.vae.decoder.conv_in.weight, NAN), "decoder"),
    "infinity in the decoder": (lambda p: one(p.vae.decoder.conv_out.bias, INFINITY), "decoder"),
    "less than nothing in the decoder": (
        lambda p: one(p.vae.decoder.conv_out.bias, -INFINITY),
        "decoder",
    ),
    "too much for half precision": (half, "denoiser"),
    "a decoder that draws grey": (lambda p: all_of(p.vae.decoder.conv_out, 0, 0), "flat"),
    "a decoder that draws red": (
        lambda p: (
            all_of(p.vae.decoder.conv_out, 0, -1),
            one(p.vae.decoder.conv_out.bias, 0.9),
        ),
        "flat",
    ),
    "a decoder that draws white": (
        lambda p: p.vae.decoder.conv_out.bias.data.fill_(50),
        "flat",
    ),
    "a decoder that draws black": (
        lambda p: p.vae.decoder.conv_out.bias.data.fill_(-50),
        "flat",
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_comes_to_no_picture(family: str, name: str, tmp_path: Path) -> None:
    model = fresh(family, tmp_path)
    broken, where = BREAKS[name]
    broken(model._base)
    model._components.update(
        {k: v for k, v in model._base.components.items() if k in model._components}
    )
    with pytest.raises(Broken, match=where):
        model.draw(drawing(family), on_step=nothing)


@pytest.mark.parametrize("masked", [False, True])
def test_nor_does_what_begins_with_a_picture(
    masked: bool, tmp_path: Path, sketch: Image.Image, mask: Image.Image
) -> None:
    model = fresh("sd15", tmp_path)
    one(model._base.vae.encoder.conv_in.weight, NAN)
    with pytest.raises(Broken, match="denoiser"):
        model.draw(
            drawing(strength=0.8),
            init_image=sketch,
            mask=mask if masked else None,
            on_step=nothing,
        )


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning")
def test_a_broken_lora_breaks_the_pictures_that_name_it_and_no_others(tmp_path: Path) -> None:
    import safetensors.torch

    file = build_lora("sd15", tmp_path / "ink.safetensors")
    weights = safetensors.torch.load_file(file)
    safetensors.torch.save_file({k: v * NAN for k, v in weights.items()}, file)
    model = fresh("sd15", tmp_path, {"ink": LoraEntry(source=str(file), models=("sd15",))})
    before = pixels(model.draw(drawing(), on_step=nothing))
    with pytest.raises(Broken):
        model.draw(drawing(loras=(("ink", 1.0),)), on_step=nothing)
    assert (pixels(model.draw(drawing(), on_step=nothing)) == before).all()


@pytest.mark.parametrize("prompt", ["plain blue background", "a watercolour wash", "white", ""])
@pytest.mark.parametrize("guidance", [0.0, 2.0, 12.0])
def test_flat_words_draw_what_they_draw(
    prompt: str, guidance: float, builtin: DiffusionModel
) -> None:
    of = drawing(prompt=prompt, negative_prompt="", width=64, height=64, guidance_scale=guidance)
    builtin.draw(of, on_step=nothing)


@pytest.mark.parametrize("colour", ["white", "black", "blue", "lime", "gray"])
@pytest.mark.parametrize("strength", [0.01, 0.5, 1.0])
def test_flat_pictures_may_stay_flat(
    colour: str, strength: float, builtin: DiffusionModel, mask: Image.Image
) -> None:
    flat = Image.new("RGB", (64, 64), colour)
    of = replace(drawing(prompt="plain", width=64, height=64), strength=strength)
    builtin.draw(of, init_image=flat, on_step=nothing)
    builtin.draw(of, init_image=flat, mask=mask.resize((64, 64)), on_step=nothing)


def test_what_rounds_to_one_colour_is_no_sign_by_itself(tmp_path: Path) -> None:
    """A decoder that goes from white to what is whiter still."""
    model = fresh("sd15", tmp_path)
    model._base.vae.decoder.conv_out.weight.data.mul_(0.1)
    model._base.vae.decoder.conv_out.bias.data.fill_(1.2)
    picture = model.draw(drawing(), on_step=nothing)
    assert picture.getextrema() == ((255, 255),) * 3


def test_its_job_fails_at_once_and_says_why(tmp_path: Path) -> None:
    """Through a worker with a model of which one weight is NaN."""
    model = fresh("sd15", tmp_path)
    one(model._base.unet.conv_in.weight, NAN)
    model._base.save_pretrained(tmp_path / "nan")
    catalog = Catalog(models={"builtin": ModelEntry(source=str(tmp_path / "nan"))})
    settings = make_settings(tmp_path)
    database = connect(settings, FakeClock())
    migrate.upgrade(database)
    worker = Worker(
        name="w",
        models=("builtin",),
        settings=settings,
        catalog=catalog,
        database=database,
        blobs=open_blobs(settings),
        engine=Engine(catalog, device="cpu", max_loaded=1),
        checkers=(),
        ring=lambda _model, _job: None,
    )
    with database.write() as session:
        job = recorded(session, now=database.clock(), request=a_request(prompt="xylocarp"))
    with structlog.testing.capture_logs() as lines:
        assert worker.work()
        assert not worker.work(), "nobody tries it again"
    with database.read() as session:
        entry = log.entry(session, job)
    database.close()
    assert entry is not None
    assert (entry.state, entry.failure) == (JobState.FAILED, FailureReason.BROKEN_PICTURE)
    assert entry.pictures == ()
    [line] = [line for line in lines if line["event"] == "job.broken"]
    assert line["log_level"] == "error"
    assert line["reason"] == "NaN or infinity in the denoiser's output"
    assert (line["job"], line["model"]) == (str(job), "builtin")
    assert "xylocarp" not in str(lines)
