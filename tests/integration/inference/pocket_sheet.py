"""Measures for the tests of the pocket model: reference objects, colours, silhouettes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.color import rgb2lab

SHEET = Path(__file__).parent / "pocket_reference.webp"
CELL, COLUMNS = 128, 12
# The object's longer side as a share of the picture's side.
FILL = 0.78
# CIELAB distance from the background's colour above which a pixel belongs to the object.
FOREGROUND = 18.0

Array = NDArray[np.float64]


class Sheet:
    """The vocabulary's objects on the reference sheet of the recipe, in the vocabulary's order.

    `side` is the default side of the composed pictures, in pixels.
    """

    def __init__(self, objects: list[str], colours: dict[str, list[int]], side: int) -> None:
        self.objects = objects
        self.square = (side, side)
        self.colours = {name: (rgb[0], rgb[1], rgb[2]) for name, rgb in colours.items()}
        names = list(colours)
        self._names = names
        self._lab = rgb2lab(np.array([colours[name] for name in names])[None] / 255)[0]
        with Image.open(SHEET) as sheet:
            whole = sheet.convert("RGBA")
        self._cells = []
        for number in range(len(objects)):
            row, column = divmod(number, COLUMNS)
            corner = (column * CELL, row * CELL)
            self._cells.append(whole.crop((*corner, corner[0] + CELL, corner[1] + CELL)))

    def picture(self, word: str, colour: str, size: tuple[int, int] | None = None) -> Image.Image:
        """The object in the middle of a plain background."""
        size = size or self.square
        cell, corner = self._placed(word, size)
        out = Image.new("RGB", size, self.colours[colour])
        out.paste(cell.convert("RGB"), corner, cell.getchannel("A"))
        return out

    def mask(self, word: str, size: tuple[int, int] | None = None) -> NDArray[np.bool_]:
        """The mask of the object in that picture: (height, width)."""
        size = size or self.square
        cell, corner = self._placed(word, size)
        out = Image.new("L", size)
        out.paste(cell.getchannel("A"), corner)
        return np.asarray(out) > 127

    def nearest(self, picture: Image.Image, colour: str) -> str:
        """The object whose picture on that background is nearest, in CIELAB at 32 × 32 pixels."""
        ours = thumbnail(picture)
        far = [np.abs(ours - thumbnail(self.picture(w, colour))).mean() for w in self.objects]
        return self.objects[int(np.argmin(far))]

    def border_colour(self, picture: Image.Image, width: int = 8) -> str:
        """The named colour nearest to the median of the picture's frame."""
        lab = border(rgb2lab(np.asarray(picture)), width)
        return self._names[int(np.linalg.norm(self._lab - np.median(lab, axis=0), axis=1).argmin())]

    def share(self, picture: Image.Image, colour: str) -> float:
        """The share of pixels whose nearest named colour is this one."""
        lab = rgb2lab(np.asarray(picture.resize((64, 64), Image.Resampling.BOX)))
        nearest = np.linalg.norm(lab[:, :, None] - self._lab, axis=-1).argmin(-1)
        return float((nearest == self._names.index(colour)).mean())

    def _placed(self, word: str, size: tuple[int, int]) -> tuple[Image.Image, tuple[int, int]]:
        side = round(FILL * min(size))
        cell = self._cells[self.objects.index(word)].resize((side, side), Image.Resampling.BICUBIC)
        return cell, ((size[0] - side) // 2, (size[1] - side) // 2)


def thumbnail(picture: Image.Image) -> Array:
    """(32, 32, 3) in CIELAB."""
    return np.asarray(rgb2lab(np.asarray(picture.resize((32, 32), Image.Resampling.BOX))))


def border(values: Array, width: int) -> Array:
    """The pixels of a frame of that width: (count, 3)."""
    frame = np.ones(values.shape[:2], dtype=bool)
    frame[width:-width, width:-width] = False
    return values[frame]


def silhouette(picture: Image.Image) -> NDArray[np.bool_]:
    """The mask of pixels that differ from the border's colour: (height, width)."""
    lab = rgb2lab(np.asarray(picture))
    away = np.linalg.norm(lab - np.median(border(lab, 8), axis=0), axis=-1)
    return np.asarray(away > FOREGROUND)


def overlap(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((ours & theirs).sum() / max(1, (ours | theirs).sum()))


def surface(picture: Image.Image, mask: NDArray[np.bool_]) -> Array:
    """The shares of the 64 colours of a coarse palette inside the mask."""
    rgb = np.asarray(picture)[mask].astype(np.int64) // 64
    counts = np.bincount(rgb @ np.array([16, 4, 1]), minlength=64)
    return np.asarray(counts / max(1, counts.sum()), dtype=np.float64)
