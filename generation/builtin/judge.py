"""A fixed judge of what a picture shows: nothing learnt, so nothing that training can flatter.

A picture is cut to what stands out from its background, brought to one size and described by its
colours on a coarse grid, by histograms of gradient directions (Dalal & Triggs 2005, "Histograms of
oriented gradients for human detection") and by the share of each colour. Retrieval is the nearest
drawing of a bank by cosine similarity.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from generation.builtin.words import COLOURS, RGB

Floats = npt.NDArray[np.float32]

_SIDE: Final = 48
_MARGIN: Final = 2
_STANDS_OUT: Final = 40.0  # distance in RGB from the background
_GRID: Final = 12
_CELLS: Final = 8
_DIRECTIONS: Final = 8
_WEIGHTS: Final = (1.0, 1.0, 0.5)  # grid of colours, gradients, shares of colours
_VIEWS: Final = ((0, 0, 0), (3, 0, 0), (-3, 0, 0), (0, 2, 0), (0, -2, 0), (0, 0, 2), (0, 0, -2))
"""(grow, right, down) in pixels: how a drawing of the bank may be off when compared."""


def border_colour(picture: Image.Image) -> Floats:
    """The median colour of the picture's outermost pixels, RGB."""
    pixels = np.asarray(picture.convert("RGB"), np.float32)
    edges = np.concatenate([pixels[:2].reshape(-1, 3), pixels[-2:].reshape(-1, 3)])
    edges = np.concatenate([edges, pixels[:, :2].reshape(-1, 3), pixels[:, -2:].reshape(-1, 3)])
    median: Floats = np.median(edges, axis=0).astype(np.float32)
    return median


def distance_to(colour: Floats, wanted: RGB) -> float:
    """Euclidean distance in RGB, 0 to 441."""
    return float(np.linalg.norm(colour - np.array(wanted, np.float32)))


def foreground(picture: Image.Image) -> npt.NDArray[np.bool_]:
    """Where the picture differs from its border colour; bool [height, width]."""
    pixels = np.asarray(picture.convert("RGB"), np.float32)
    mask: npt.NDArray[np.bool_] = (
        np.linalg.norm(pixels - border_colour(picture), axis=-1) > _STANDS_OUT
    )
    return mask


def colour_shares(picture: Image.Image) -> dict[str, float]:
    """The part of the foreground that is nearest to each colour word, in CIE Lab; sums to 1."""
    pixels = np.asarray(picture.convert("RGB"), np.uint8)[foreground(picture)]
    if not len(pixels):
        return dict.fromkeys(COLOURS, 0.0)
    palette = _lab(np.array(list(COLOURS.values()), np.uint8))
    gaps = np.linalg.norm(_lab(pixels)[:, None] - palette[None], axis=-1)
    counts = np.bincount(gaps.argmin(axis=1), minlength=len(COLOURS))
    return dict(zip(COLOURS, (counts / len(pixels)).tolist(), strict=True))


class Bank:
    """Drawings to choose from, each in several views."""

    def __init__(self, drawings: Sequence[Image.Image]) -> None:
        self._size = len(drawings)
        views = [_describe(_cut(drawing, view)) for drawing in drawings for view in _VIEWS]
        self._features = np.stack(views)

    def __len__(self) -> int:
        return self._size

    def scores(self, picture: Image.Image) -> Floats:
        """Cosine similarity to each drawing of the bank, of its best view; [drawings]."""
        similar = self._features @ _describe(_cut(picture, _VIEWS[0]))
        best: Floats = similar.reshape(self._size, len(_VIEWS)).max(axis=1)
        return best

    def rank(self, picture: Image.Image, wanted: int) -> int:
        """How many drawings fit the picture better than the wanted one; 0 is the best."""
        scores = self.scores(picture)
        return int((scores > scores[wanted]).sum())


def spread(pictures: Sequence[Image.Image]) -> float:
    """Mean distance (1 - cosine) between the descriptions of uncut pictures, two by two."""
    described = np.stack([describe(picture) for picture in pictures])
    similar = described @ described.T
    pairs = np.triu_indices(len(pictures), 1)
    return float(1 - similar[pairs].mean())


def describe(picture: Image.Image, box: tuple[float, float, float, float] | None = None) -> Floats:
    """Unit vector of features of the uncut picture, or of the part `box` of it, in pixels."""
    return _describe(picture.convert("RGB").resize((_SIDE, _SIDE), box=box))


def on_white(drawing: Image.Image) -> Image.Image:
    """An RGBA drawing on paper, with a margin that shows the background."""
    page = Image.new("RGB", (drawing.width + 8, drawing.height + 8), "white")
    page.paste(drawing, (4, 4), drawing)
    return page


def _cut(picture: Image.Image, view: tuple[int, int, int]) -> Image.Image:
    """The foreground as a square on white of _SIDE pixels, off by `view`."""
    mask = foreground(picture)
    rows, columns = (np.flatnonzero(mask.sum(axis=axis) >= 2) for axis in (1, 0))
    page = Image.new("RGB", (_SIDE, _SIDE), "white")
    if not len(rows) or not len(columns):
        return page
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    pixels = np.asarray(picture.convert("RGB")).copy()
    pixels[~mask] = 255
    thing = Image.fromarray(pixels).crop(box)
    grow, right, down = view
    scale = (_SIDE - 2 * _MARGIN + grow) / max(thing.size)
    width, height = (max(round(scale * side), 1) for side in thing.size)
    thing = thing.resize((width, height), Image.Resampling.BILINEAR)
    page.paste(thing, ((_SIDE - width) // 2 + right, (_SIDE - height) // 2 + down))
    return page


def _describe(picture: Image.Image) -> Floats:
    """Unit vector of features of an RGB picture of _SIDE pixels."""
    pixels: Floats = np.asarray(picture, np.float32) / np.float32(255)
    grid = np.asarray(picture.resize((_GRID, _GRID), Image.Resampling.BOX), np.float32)
    parts: tuple[Floats, ...] = (
        1 - grid.ravel() / np.float32(255),
        _gradients(pixels.mean(axis=-1)),
        np.sqrt(_histogram(pixels)),
    )
    scaled = [
        weight * part / max(float(np.linalg.norm(part)), 1e-6)
        for weight, part in zip(_WEIGHTS, parts, strict=True)
    ]
    joined = np.concatenate(scaled)
    unit: Floats = (joined / max(float(np.linalg.norm(joined)), 1e-6)).astype(np.float32)
    return unit


def _gradients(grey: Floats) -> Floats:
    """Histograms of unsigned gradient directions in _CELLS x _CELLS cells, each of unit length."""
    down, right = np.gradient(grey)
    strength = np.hypot(right, down)
    direction = (np.arctan2(down, right) % np.pi) / np.pi * _DIRECTIONS
    bins = direction.astype(int) % _DIRECTIONS
    cell = np.arange(grey.shape[0]) * _CELLS // grey.shape[0]
    index = (cell[:, None] * _CELLS + cell[None]) * _DIRECTIONS + bins
    size = _CELLS * _CELLS * _DIRECTIONS
    histogram = np.bincount(index.ravel(), strength.ravel(), size).reshape(-1, _DIRECTIONS)
    histogram = histogram / (np.linalg.norm(histogram, axis=1, keepdims=True) + 1.0)
    flat: Floats = histogram.ravel().astype(np.float32)
    return flat


def _histogram(pixels: Floats) -> Floats:
    """Shares of 4 x 4 x 4 boxes of RGB, paper left out."""
    boxes = np.minimum((pixels.reshape(-1, 3) * 4).astype(int), 3) @ np.array([16, 4, 1])
    shares = np.bincount(boxes[pixels.reshape(-1, 3).min(axis=1) < 0.97], minlength=64)
    parts: Floats = (shares / max(int(shares.sum()), 1)).astype(np.float32)
    return parts


def _lab(pixels: npt.NDArray[np.uint8]) -> Floats:
    """sRGB uint8 [n, 3] to CIE Lab (D65), by the formulas of IEC 61966-2-1 and CIE 15."""
    share = pixels.astype(np.float32) / 255
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32
    )
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089], np.float32)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1).astype(np.float32)
