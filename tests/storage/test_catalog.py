"""What the catalog knows of a model before anybody asks for a picture."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from storage.catalog import Catalog, load_catalog
from tests.conftest import make_settings


def catalog_of(folder: Path, scheduler: dict[str, object] | None, more: str) -> Catalog:
    if scheduler is not None:
        (folder / "model" / "scheduler").mkdir(parents=True)
        config = folder / "model" / "scheduler" / "scheduler_config.json"
        config.write_text(json.dumps(scheduler))
    file = folder / "catalog.toml"
    file.write_text(f"[models.quick]\nsource = {json.dumps(str(folder / 'model'))}\n{more}")
    return load_catalog(make_settings(folder, catalog=file))


LCM: dict[str, object] = {"_class_name": "LCMScheduler", "original_inference_steps": 50}


@pytest.mark.parametrize(
    ("scheduler", "more", "most"),
    [
        (LCM, "", 50),
        ({"_class_name": "LCMScheduler"}, "max_steps = 80", 50),
        ({**LCM, "original_inference_steps": 20}, "steps = 4", 20),
        (LCM, "max_steps = 8\nsteps = 4", 8),
        (LCM, 'scheduler = "ddim"', 100),
        (None, 'scheduler = "lcm"', 50),
        ({"_class_name": "PNDMScheduler"}, 'scheduler = "lcm"', 50),
        ({"_class_name": "PNDMScheduler"}, "", 100),
        (None, "", 100),
    ],
)
def test_the_most_steps_are_those_that_the_sampler_takes(
    tmp_path: Path, scheduler: dict[str, object] | None, more: str, most: int
) -> None:
    assert catalog_of(tmp_path, scheduler, more).models["quick"].max_steps == most


def test_a_default_that_the_sampler_does_not_take_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'quick': steps is 60, but its sampler takes 50"):
        catalog_of(tmp_path, LCM, "steps = 60")


@pytest.mark.parametrize(
    "more", ["width = 500", "height = 68", "size_multiple = 4", "max_steps = 1000"]
)
def test_what_the_library_cannot_draw_is_no_setting(tmp_path: Path, more: str) -> None:
    with pytest.raises(ValidationError, match=more.split()[0]):
        catalog_of(tmp_path, None, more)
