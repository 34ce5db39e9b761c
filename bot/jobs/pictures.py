"""Pictures as files, named by the hash of their content. Blocking, so called in threads."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from PIL import Image

from bot.picture import Picture


class PictureLost(Exception):
    """A picture's file is gone or is not what its name says."""


def content_hash(picture: Picture) -> str:
    """SHA-256 of the size and the pixels, in hex: independent of how the file is compressed."""
    digest = hashlib.sha256(f"RGB {picture.width}x{picture.height}\n".encode())
    digest.update(picture.pixels)
    return digest.hexdigest()


class PictureFiles:
    """A folder of PNG files. A file is complete and on the disk before it has its name."""

    def __init__(self, folder: Path, checkpoint: Callable[[str], None]) -> None:
        self._folder = folder
        self._checkpoint = checkpoint
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, picture: Picture) -> Path:
        """Encode into a temporary file, on the disk when this returns; `place` names it."""
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            image = Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)
            # Level 1 is several times faster than the default and the files live for a day.
            image.save(file, "PNG", compress_level=1)
            file.flush()
            os.fsync(file.fileno())
        self._checkpoint("picture written")
        return Path(name)

    def place(self, temporary: Path, hash_: str) -> None:
        """Give a written file its name, durably."""
        temporary.replace(self._path(hash_))
        self._checkpoint("picture renamed")
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def read(self, hash_: str) -> Picture:
        """The picture of that hash.

        Raises:
            PictureLost: there is no such file, or its content has another hash.
        """
        try:
            with Image.open(self._path(hash_), formats=["PNG"]) as image:
                picture = Picture(image.convert("RGB").tobytes(), image.width, image.height)
        except (OSError, SyntaxError, ValueError) as error:
            raise PictureLost(f"The file of picture {hash_[:12]} cannot be read.") from error
        if content_hash(picture) != hash_:
            raise PictureLost(f"The file of picture {hash_[:12]} holds another picture.")
        return picture

    def remove(self, hash_: str) -> None:
        """Delete the file if it is there."""
        self._path(hash_).unlink(missing_ok=True)

    def sweep(self, keep: Collection[str]) -> int:
        """Delete everything but the files of `keep`; how many there were."""
        names = {self._path(hash_).name for hash_ in keep}
        strays = [path for path in self._folder.iterdir() if path.name not in names]
        for path in strays:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        return len(strays)

    def _path(self, hash_: str) -> Path:
        return self._folder / f"{hash_}.png"
