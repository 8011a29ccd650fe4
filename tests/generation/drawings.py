"""What the tests draw, and how they look at it."""

from typing import Any

import numpy as np
from PIL import Image

from generation.pipeline import Drawing

SIZE = (64, 56)
_GUIDANCE = {"sd15": 6.0, "sd2": 6.0, "sdxl": 6.0, "turbo": 0.0, "lcm": 8.0}


def drawing(family: str = "sd15", **changes: Any) -> Drawing:
    settings: dict[str, Any] = {
        "prompt": "a red apple and a fox",
        "negative_prompt": "green tree",
        "width": SIZE[0],
        "height": SIZE[1],
        "steps": 4,
        "guidance_scale": _GUIDANCE[family],
        "seed": 5,
    }
    return Drawing(**{**settings, **changes})


def pixels(image: Image.Image) -> Any:
    return np.asarray(image.convert("RGB")).astype(int)


def nothing(_: int) -> None:
    pass
