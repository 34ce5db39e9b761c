"""Pictures as files, addressed by the hash of their content: written whole, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import Collection
from pathlib import Path

from PIL import Image

from bot.picture import Picture


class PictureFiles:
    """PNG files below `folder`. Equal pictures share a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def put(self, picture: Picture) -> str:
        """Store the picture durably; its name, 64 hex digits. A row may name it from then on."""
        return await asyncio.to_thread(self._put, picture)

    async def get(self, name: str) -> Picture:
        """The picture of that name.

        Raises:
            FileNotFoundError: it has been forgotten.
        """
        return await asyncio.to_thread(self._get, name)

    def keep_only(self, names: Collection[str]) -> int:
        """Delete every other file, half-written ones too; how many were deleted."""
        deleted = 0
        for path in self.folder.iterdir():
            if path.stem not in names or path.suffix != ".png":
                path.unlink(missing_ok=True)
                deleted += 1
        return deleted

    def delete(self, names: Collection[str]) -> None:
        """Delete these, if they are there."""
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def read_file(self, name: str) -> bytes:
        """The bytes of the PNG file.

        Raises:
            FileNotFoundError: it has been forgotten.
        """
        return self._path(name).read_bytes()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.png"

    def _put(self, picture: Picture) -> str:
        size = f"{picture.width}x{picture.height}:".encode()
        name = hashlib.sha256(size + picture.pixels).hexdigest()
        path = self._path(name)
        if path.exists():
            return name
        part = path.with_suffix(f".{secrets.token_hex(4)}.part")
        image = Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)
        with part.open("wb") as file:
            # Fast rather than small: these files live for a day.
            image.save(file, "PNG", compress_level=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        # The new name itself must survive a power cut, too.
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return name

    def _get(self, name: str) -> Picture:
        with Image.open(self._path(name), formats=("PNG",)) as image:
            return Picture(image.convert("RGB").tobytes(), *image.size)
