"""The emoji images: downloaded from the npm registry, cropped, loaded as arrays.

Fluent emoji by Microsoft (MIT) in `@lobehub/fluent-emoji-3d`; names from `emoji-datasource` (MIT).
"""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.pocket.recipe.vocabulary import OBJECTS

PACKAGES = ("@lobehub/fluent-emoji-3d@1.1.0", "emoji-datasource@16.0.0")
Sprite = NDArray[np.uint8]


def fetch(cache: Path) -> Path:
    """Download and unpack both packages with the npm client; return their folder."""
    folder = cache / "npm"
    for package in PACKAGES:
        name = package.lstrip("@").rsplit("@", 1)[0].replace("/", "-")
        if (folder / name).is_dir():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True)
        archive = next(folder.glob(f"{name}-*.tgz"))
        with tarfile.open(archive) as tar:
            tar.extractall(folder / name, filter="data")
        archive.unlink()
    return folder


def cut(image: Image.Image) -> Sprite:
    """RGBA, cropped to the pixels that are not transparent: (height, width, 4)."""
    rgba = image.convert("RGBA")
    box = rgba.getchannel("A").point(lambda a: 255 if a > 24 else 0).getbbox()
    return np.asarray(rgba.crop(box))


def load(cache: Path) -> dict[str, Sprite]:
    """Word → sprite, for every word of the vocabulary.

    Raises:
        KeyError: a word whose emoji is not in the packages.
    """
    folder = fetch(cache)
    table = json.loads((folder / "emoji-datasource/package/emoji.json").read_text(encoding="utf-8"))
    unified = {entry["short_name"]: entry["unified"].lower() for entry in table}
    assets = folder / "lobehub-fluent-emoji-3d/package/assets"
    sprites = {}
    for word, short_name in OBJECTS.items():
        code = unified[short_name]
        names = (f"{code}.webp", f"{code.replace('-fe0f', '')}.webp")
        path = next((assets / name for name in names if (assets / name).is_file()), None)
        if path is None:
            raise KeyError(f"no image of {word} ({code})")
        with Image.open(path) as image:
            sprites[word] = cut(image)
    return sprites


def photographs() -> list[NDArray[np.uint8]]:
    """Photographs from scikit-image, RGB, so that the model also sees photographs.

    astronaut: NASA, public domain. chelsea, coffee, rocket: CC0. All listed in its data README.
    """
    from skimage import data

    return [
        np.asarray(getattr(data, name)()) for name in ("astronaut", "chelsea", "coffee", "rocket")
    ]
