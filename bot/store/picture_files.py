"""Pictures as PNG files, named by the hash of their content. Writes are atomic."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

from PIL import Image

from bot.errors import StorageFull, StoredPictureMissing
from bot.images.picture import Picture
from bot.store.opening import FILE_MODE, private_folder, sync_folder


def content_name(picture: Picture) -> str:
    """The SHA-256 of size and pixels: 64 hex digits."""
    size = f"{picture.width}x{picture.height}:".encode()
    return hashlib.sha256(size + picture.pixels).hexdigest()


class PictureFiles:
    """PNG files in `folder`. Equal pictures share a file.

    A picture that was just put is kept although no row names it yet, until `named` is called for
    it.
    """

    def __init__(self, folder: Path, failpoint: Callable[[str], None]) -> None:
        self._folder = folder
        self._failpoint = failpoint
        # Held while a file is checked and deleted, so that no task puts the same one meanwhile.
        self._changing = threading.Lock()
        # How often each was put without being named: two requests may carry equal pictures.
        self._unnamed: Counter[str] = Counter()
        private_folder(folder)

    async def put(self, picture: Picture) -> str:
        """Store the picture durably; returns its name, 64 hex digits.

        Raises:
            StorageFull: there is no space for it.
        """
        return await asyncio.to_thread(self._put, picture)

    async def get(self, name: str) -> Picture:
        """The picture of that name.

        Raises:
            StoredPictureMissing: it was deleted, or is damaged.
        """
        return await asyncio.to_thread(self._get, name)

    def read_file(self, name: str) -> bytes:
        """The bytes of the PNG file. Blocks.

        Raises:
            StoredPictureMissing: it was deleted.
        """
        try:
            return self._path(name).read_bytes()
        except OSError as error:
            raise _missing(name) from error

    def named(self, names: Collection[str]) -> None:
        """Rows name these from now on, and decide how long they are kept."""
        with self._changing:
            for name in names:
                if self._unnamed[name] <= 1:
                    del self._unnamed[name]
                else:
                    self._unnamed[name] -= 1

    def delete(self, names: Collection[str]) -> None:
        """Delete these, except those that were just put and will be named. Blocks."""
        with self._changing:
            for name in set(names) - self._unnamed.keys():
                self._path(name).unlink(missing_ok=True)

    def keep_only(self, names: Collection[str]) -> int:
        """Delete every other file, incomplete ones too; returns how many. Blocks."""
        kept = {self._path(name) for name in names}
        strays = [path for path in self._folder.iterdir() if path not in kept and path.is_file()]
        for path in strays:
            path.unlink()
        return len(strays)

    def _put(self, picture: Picture) -> str:
        name = content_name(picture)
        with self._changing:
            self._unnamed[name] += 1
            if self._path(name).exists():
                sync_folder(self._folder)
                return name
        try:
            self._write(picture, self._path(name))
        except OSError as error:
            self.named([name])
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull from error
            raise
        return name

    def _write(self, picture: Picture, path: Path) -> None:
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".part")
        part = Path(name)
        part.chmod(FILE_MODE)
        try:
            with os.fdopen(handle, "wb") as file:
                image = Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)
                # Speed matters more than size: these files are kept for a day.
                image.save(file, "PNG", compress_level=1)
                file.flush()
                os.fsync(file.fileno())
            self._failpoint("picture written")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        self._failpoint("picture renamed")
        sync_folder(self._folder)

    def _get(self, name: str) -> Picture:
        try:
            with Image.open(self._path(name), formats=("PNG",)) as image:
                return Picture(image.convert("RGB").tobytes(), *image.size)
        except (OSError, SyntaxError, ValueError) as error:
            raise _missing(name) from error

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.png"


def _missing(name: str) -> StoredPictureMissing:
    return StoredPictureMissing(f"The file of picture {name[:12]} cannot be read.")
