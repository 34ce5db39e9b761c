"""The benchmark's load: requests with the picture sizes and settings of real use."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from inference.types import ImageRequest

Size = tuple[int, int]

# Width, height and weight of common sources. The weights are a guess at a community's use: phones
# and squares most often, then screens and screenshots, then cameras and banners.
SOURCES: tuple[tuple[Size, int], ...] = (
    ((1024, 1024), 10),
    ((4032, 3024), 8),
    ((3024, 4032), 10),
    ((1920, 1080), 8),
    ((1080, 1920), 8),
    ((1170, 2532), 6),
    ((1080, 1080), 5),
    ((1080, 1350), 5),
    ((512, 512), 4),
    ((4000, 3000), 4),
    ((3000, 4000), 4),
    ((1280, 720), 3),
    ((1080, 2400), 3),
    ((6000, 4000), 3),
    ((4000, 6000), 3),
    ((3840, 2160), 2),
    ((720, 1280), 2),
    ((1200, 1600), 2),
    ((1600, 1200), 2),
    ((2560, 1440), 2),
    ((1920, 1200), 2),
    ((2048, 2048), 1),
    ((1350, 1080), 1),
    ((1500, 500), 1),
    ((1200, 630), 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """A model's image area, the multiple of both sides, and its preferred sizes."""

    pixels: int
    multiple: int
    sizes: Sequence[Size] = ()

    def fit(self, source: Size) -> Size:
        """The size of a source's request: the nearest preferred one if it is within one multiple
        of the source's aspect ratio, else the largest multiples within the area.

        The bot's own rule, which weighs more for rare shapes, is `bot.intake.decoding.geometry`.
        """
        width, height = source
        aspect = width / height
        if self.sizes:
            nearest = min(self.sizes, key=lambda size: abs(math.log(size[0] / size[1] / aspect)))
            long = max(nearest)
            exact = long / aspect if width >= height else long * aspect
            if abs(min(nearest) - exact) <= self.multiple:
                return nearest
        across, down = math.sqrt(self.pixels * aspect), math.sqrt(self.pixels / aspect)
        return self._floor(across), self._floor(down)

    def _floor(self, length: float) -> int:
        return max(1, int(length / self.multiple)) * self.multiple


def requests(
    number: int, canvas: Canvas, seed: int, sources: Sequence[tuple[Size, int]] = SOURCES
) -> list[ImageRequest]:
    """Requests with random sources and settings; the same ones for the same seed."""
    rng = random.Random(seed)  # noqa: S311 - a load is no secret
    made = [request(index, canvas, rng, sources) for index in range(number)]
    return [replace(one, pixels=_picture(one.width, one.height, rng)) for one in made]


def _picture(width: int, height: int, rng: random.Random) -> bytes:
    coarse = Image.frombytes("RGB", (8, 8), rng.randbytes(192))
    return coarse.resize((width, height), Image.Resampling.BICUBIC).tobytes()


def request(
    index: int, canvas: Canvas, rng: random.Random, sources: Sequence[tuple[Size, int]]
) -> ImageRequest:
    """A request without its picture."""
    (source,) = rng.choices([size for size, _ in sources], [weight for _, weight in sources])
    width, height = canvas.fit(source)
    return ImageRequest(
        id=f"r{index}",
        pixels=b"",
        width=width,
        height=height,
        prompt=f"a picture of number {index}",
        strength=rng.choice([0.4, 0.6, 0.7, 0.8, 1.0]),
        steps=rng.choice([20, 25, 30]),
        guidance_scale=rng.choice([1.0, 5.0, 7.5, 7.5]),
        seed=index,
    )
