"""Training images: a sprite on a background, with its caption.

Two images in five show the surface of one object inside the outline of another. They train the
model to take the object from the prompt and the outline from the depth map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from inference.pocket.recipe.sprites import Sprite
from inference.pocket.recipe.vocabulary import COLOURS, article

Rgb = NDArray[np.uint8]
# Luminance weights of ITU-R BT.601.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Sample:
    """`rgb` (height, width, 3); `relief` (height, width) in 0..1, near is 1; `caption`."""

    rgb: Rgb
    relief: NDArray[np.float32]
    caption: str


def background(rng: np.random.Generator, colour: str, width: int, height: int) -> Image.Image:
    """The named colour, plain or as a soft gradient around it."""
    base = np.array(COLOURS[colour], dtype=np.float32) + rng.uniform(-10, 10, 3)
    if rng.random() < 0.5:
        field = np.broadcast_to(base, (height, width, 3))
    else:
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        angle = rng.uniform(0, 2 * np.pi)
        slope = (np.cos(angle) * x + np.sin(angle) * y) * rng.uniform(4, 22)
        field = base + slope[..., None]
    return Image.fromarray(field.clip(0, 255).astype(np.uint8), "RGB")


def tint(sprite: Sprite, colour: str) -> Sprite:
    """The sprite with the hue of a colour and its own brightness."""
    rgb = sprite[..., :3].astype(np.float32)
    light = (rgb @ LUMA)[..., None] / 255
    target = np.array(COLOURS[colour], dtype=np.float32)
    # Dark stays dark, medium becomes the colour, bright becomes white: shading is kept.
    toned = np.where(
        light < 0.5, target * light * 2, target + (255 - target) * (light * 2 - 1) * 0.8
    )
    out = sprite.copy()
    out[..., :3] = (0.85 * toned + 0.15 * rgb).clip(0, 255).astype(np.uint8)
    return out


def fill_outline(surface: Sprite, outline: Sprite) -> Sprite:
    """The outline of one sprite filled with the surface of another, darker towards the edge.

    The shading depends on the depth map only, which is an input of the model.
    """
    height, width = outline.shape[:2]
    holes = surface[..., 3] < 128
    nearest = ndimage.distance_transform_edt(holes, return_distances=False, return_indices=True)
    filled = surface[..., :3][tuple(nearest)]
    stretched = np.asarray(
        Image.fromarray(filled, "RGB").resize((width, height), Image.Resampling.BICUBIC),
        dtype=np.float32,
    )
    shade = 0.82 + 0.18 * dome(outline[..., 3] > 127)
    out = outline.copy()
    out[..., :3] = (stretched * shade[..., None]).clip(0, 255).astype(np.uint8)
    return out


def dome(inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The square root of the distance to the edge, scaled to 0..1; 0 outside."""
    distance = np.sqrt(ndimage.distance_transform_edt(inside))
    return np.asarray(distance / max(float(distance.max()), 1.0), dtype=np.float32)


def relief_of(alpha: NDArray[np.float32], rgb: Rgb) -> NDArray[np.float32]:
    """Height above the background: it rises with the distance to the edge and with brightness."""
    light = ndimage.gaussian_filter(rgb.astype(np.float32) @ LUMA / 255, 1.5)
    return np.asarray(alpha * (0.45 + 0.45 * dome(alpha > 0.5) + 0.1 * light), dtype=np.float32)


def place(
    rng: np.random.Generator, sprite: Sprite, field: Image.Image
) -> tuple[Rgb, NDArray[np.float32]]:
    """Paste the sprite on the background, scaled, rotated and mirrored at random: rgb and alpha."""
    width, height = field.size
    image = Image.fromarray(sprite, "RGBA")
    if rng.random() < 0.2:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scale = rng.uniform(0.7, 0.92) * min(width / image.width, height / image.height)
    image = image.resize(
        (max(8, round(image.width * scale)), max(8, round(image.height * scale))),
        Image.Resampling.LANCZOS,
    )
    if rng.random() < 0.15:
        turn = float(rng.uniform(-10, 10))
        image = image.rotate(turn, Image.Resampling.BICUBIC, expand=True)
        image.thumbnail((width, height), Image.Resampling.LANCZOS)
    x = int(rng.integers(0, max(1, width - image.width + 1)))
    y = int(rng.integers(0, max(1, height - image.height + 1)))
    layer = Image.new("RGBA", field.size)
    layer.paste(image, (x, y))
    out = field.copy()
    alpha = layer.getchannel("A")
    if rng.random() < 0.25:
        shadow = alpha.filter(ImageFilter.GaussianBlur(width / 40)).point(lambda a: a * 0.3)
        out.paste((0, 0, 0), (0, round(height / 60)), shadow)
    out.paste(layer.convert("RGB"), (0, 0), alpha)
    return np.asarray(out, dtype=np.uint8), np.asarray(alpha, dtype=np.float32) / np.float32(255)


def caption_for(rng: np.random.Generator, thing: str, tone: str | None, colour: str) -> str:
    """A random form of the caption. `thing` is the object, `tone` its tint."""
    noun = f"{tone} {thing}" if tone else thing
    forms = (
        f"{article(noun)} on {article(colour)} background",
        f"{article(noun)} on {article(colour)} background",
        f"{noun}, {colour} background",
        f"{noun} on {colour}",
        article(noun),
        f"{colour} background",
    )
    return str(rng.choice(np.array(forms), p=[0.35, 0.2, 0.15, 0.1, 0.12, 0.08]))


def sample(rng: np.random.Generator, sprites: dict[str, Sprite], width: int, height: int) -> Sample:
    """One training sample."""
    words = list(sprites)
    word = words[int(rng.integers(len(words)))]
    colour = str(rng.choice(np.array(list(COLOURS))))
    tone = None
    sprite = sprites[word]
    if rng.random() < 0.4:
        sprite = fill_outline(sprite, sprites[words[int(rng.integers(len(words)))]])
    if rng.random() < 0.15:
        tone = str(rng.choice(np.array(list(COLOURS))))
        sprite = tint(sprite, tone)
    rgb, alpha = place(rng, sprite, background(rng, colour, width, height))
    return Sample(rgb, relief_of(alpha, rgb), caption_for(rng, word, tone, colour))


def photo_sample(rng: np.random.Generator, photo: Rgb, width: int, height: int) -> Sample:
    """A crop of a photograph; its relief is its blurred brightness, a rough substitute."""
    image = Image.fromarray(photo).convert("RGB")
    factor = rng.uniform(1.0, 2.0) * max(width / image.width, height / image.height)
    image = image.resize((round(image.width * factor) + 1, round(image.height * factor) + 1))
    x = int(rng.integers(0, image.width - width + 1))
    y = int(rng.integers(0, image.height - height + 1))
    rgb = np.asarray(image.crop((x, y, x + width, y + height)))
    light = ndimage.gaussian_filter(rgb.astype(np.float32) @ LUMA / 255, width / 32)
    return Sample(rgb, np.asarray(light, dtype=np.float32), "a photo")
