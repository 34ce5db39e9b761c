"""Restores a backup. The replaced data is kept in a folder beside it."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bot.backup.inspection import PICTURES, Inspection, inspect, named_pictures, reading
from bot.errors import StartError
from bot.i18n.plurals import counted
from bot.store.database import no_failpoint
from bot.store.opening import (
    FILE_NAME,
    REPLACED_NAME,
    RESTORE_MARKER,
    UNPACKED_NAME,
    StoreDamaged,
    locked,
    private_file,
    private_folder,
    sync_folder,
)

# The database, its log and index, and the pictures.
DATA = (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", PICTURES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """`replaced` is the folder with the previous data, None if there was none."""

    contents: Inspection
    replaced: Path | None


def restore(
    file: Path, folder: Path, *, failpoint: Callable[[str], None] = no_failpoint
) -> Restored:
    """Restore the backup `file` into the data folder. Blocks.

    It is unpacked and checked first; only then is the present data moved to a folder of its own and
    replaced. If the process ends in between, a marker keeps bots from starting until a restore has
    been completed.

    Raises:
        StoreLocked: a bot is running.
        StoreTooNew: a newer version of the bot made the backup.
        StartError: the backup is damaged, or there is no space.
    """
    # Opening a named pipe would wait for its other end.
    if file.exists() and not file.is_file():
        raise StartError(f"{file} is not a file.")
    with locked(folder):
        unpacked = folder / UNPACKED_NAME
        try:
            contents = _unpack(file, unpacked)
            failpoint("unpacked")
            replaced = _replace(folder, unpacked, failpoint)
        except OSError as error:
            raise StartError(f"{file} cannot be restored into {folder}: {error}.") from error
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
    return Restored(contents=contents, replaced=replaced)


def _unpack(file: Path, target: Path) -> Inspection:
    shutil.rmtree(target, ignore_errors=True)
    private_folder(target / PICTURES)
    private_folder(target)
    try:
        with tarfile.open(file, mode="r:") as archive:
            _extract(archive, FILE_NAME, target / FILE_NAME)
            with reading(target / FILE_NAME) as db:
                names = named_pictures(db)
            wanted = {f"{PICTURES}/{name}.png" for name in names}
            for path in wanted & set(archive.getnames()):
                _extract(archive, path, target / path)
        found = inspect(target)
    except tarfile.TarError as error:
        raise _not_a_backup(file, str(error)) from error
    except StoreDamaged as error:
        raise _not_a_backup(file, error.detail) from error
    if found.database:
        raise _not_a_backup(file, found.database)
    if found.damaged:
        pictures = counted(len(found.damaged), "picture differs", "pictures differ")
        raise StartError(f"{file} is damaged: {pictures} from what was saved.")
    return found


def _not_a_backup(file: Path, detail: str) -> StartError:
    return StartError(f"{file} is damaged or is not a backup: {detail}.")


def _extract(archive: tarfile.TarFile, name: str, target: Path) -> None:
    member = archive.getmember(name) if name in archive.getnames() else None
    # A link of a foreign archive may refer to itself.
    source = archive.extractfile(member) if member and member.isreg() else None
    if source is None:
        raise tarfile.TarError(f"it has no file {name}")
    private_file(target)
    with source, target.open("wb") as out:
        shutil.copyfileobj(source, out)
        out.flush()
        os.fsync(out.fileno())


def _replace(folder: Path, unpacked: Path, failpoint: Callable[[str], None]) -> Path | None:
    """Move the present data away, and what was unpacked into its place."""
    marker, replaced = folder / RESTORE_MARKER, None
    marker.touch()
    sync_folder(folder)
    failpoint("marked")
    if present := [name for name in DATA if (folder / name).exists()]:
        prefix = REPLACED_NAME.format(time=time.strftime("%Y%m%d-%H%M%S-"))
        replaced = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
        for name in present:
            (folder / name).rename(replaced / name)
            failpoint(f"moved {name}")
    for name in (PICTURES, FILE_NAME):
        (unpacked / name).rename(folder / name)
        failpoint(f"replaced {name}")
    sync_folder(folder)
    marker.unlink()
    sync_folder(folder)
    return replaced
