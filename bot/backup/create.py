"""Writes a backup: a tar file with a copy of the database and the pictures that it names."""

from __future__ import annotations

import os
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bot.backup.inspection import PICTURES, named_pictures, reading
from bot.errors import StartError
from bot.store.erasure import erase
from bot.store.opening import FILE_MODE, FILE_NAME, private_file, sync_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The numbers of jobs and pictures in a backup. `missing` are pictures that jobs name and whose
    files do not exist."""

    jobs: int
    pictures: int
    missing: tuple[str, ...] = ()


def create(folder: Path, file: Path) -> Contents:
    """Back up the data folder to `file`, which must not exist. A bot may be running. Blocks.

    The database is copied in one step, so that its state is consistent. A picture's file is
    written before a job names it, and is deleted after the last job that names it; jobs that are
    erased while the files are copied are erased from the copy, too.

    Raises:
        StartError: the file exists, or cannot be written.
        StoreDamaged: there is no readable store.
    """
    if file.exists():
        raise StartError(f"{file} exists already; name a new file.")
    part = file.with_name(f"{file.name}.part")
    database = file.with_name(f"{file.name}.database.part")
    try:
        contents = _write(folder, part, database)
        # Does not replace a file that has appeared meanwhile.
        os.link(part, file)
        sync_folder(file.parent)
    except FileExistsError:
        raise StartError(f"{file} exists already; name a new file.") from None
    except OSError as error:
        raise StartError(f"{file} cannot be written: {error}.") from error
    finally:
        part.unlink(missing_ok=True)
        database.unlink(missing_ok=True)
    return contents


def _write(folder: Path, part: Path, database: Path) -> Contents:
    for path in (part, database):
        path.unlink(missing_ok=True)
        private_file(path)
    with (
        reading(folder / FILE_NAME) as source,
        closing(sqlite3.connect(database, isolation_level=None)) as copy,
    ):
        source.backup(copy)
        # One file without a log beside it.
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()
        with part.open("wb") as out, tarfile.open(fileobj=out, mode="w") as archive:
            absent = [
                name
                for name in sorted(named_pictures(copy))
                if not _add(archive, folder / PICTURES / f"{name}.png", f"{PICTURES}/{name}.png")
            ]
            missing = _erase_absent(copy, absent, named_pictures(source))
            contents = Contents(
                jobs=copy.execute("SELECT count(*) FROM job").fetchone()[0],
                pictures=len(named_pictures(copy)) - len(missing),
                missing=tuple(missing),
            )
            copy.close()
            _add(archive, database, FILE_NAME)
            archive.close()
            out.flush()
            os.fsync(out.fileno())
    return contents


def _add(archive: tarfile.TarFile, path: Path, name: str) -> bool:
    """Add a file; False if there is none. Once it is open, it may be deleted."""
    try:
        source = path.open("rb")
    except FileNotFoundError:
        return False
    with source:
        info = archive.gettarinfo(arcname=name, fileobj=source)
        info.mode = FILE_MODE
        archive.addfile(info, source)
    return True


def _erase_absent(copy: sqlite3.Connection, absent: list[str], left: set[str]) -> list[str]:
    """Erase the jobs of the copy whose pictures were erased meanwhile; returns the pictures that
    jobs still name."""
    copy.execute("PRAGMA foreign_keys = ON")
    copy.execute("PRAGMA secure_delete = ON")
    query = "SELECT DISTINCT id FROM job JOIN picture ON seq = job_seq WHERE hash = ?"
    for name in absent:
        if name not in left:
            for (job,) in copy.execute(query, (name,)).fetchall():
                erase(copy, job=job)
    return [name for name in absent if name in left]
