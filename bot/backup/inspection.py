"""A thorough check of a store: the database, and each picture file that it names."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bot.images.picture import Picture
from bot.store.opening import FILE_NAME, OTHER_TABLES, StoreDamaged
from bot.store.picture_files import content_name
from bot.store.rows import UnreadableRow, row_job
from bot.store.schema import VERSION, has_tables, version_of

PICTURES = "pictures"
# A file that is younger may belong to a request that is being accepted.
STRAY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """The findings. `missing` and `damaged` are content hashes that jobs name, `stray` files that
    no job names, `unreadable` ids of jobs."""

    jobs: int
    pictures: int
    database: str = ""
    unreadable: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    stray: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        """Whether nothing is lost; stray files are deleted at the next start."""
        return not (self.database or self.unreadable or self.missing or self.damaged)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing; a bot may be using the database.

    After a crash the first connection repairs the log's index, for which it must be able to write.

    Raises:
        StoreDamaged: the file is damaged, is not a job store, or cannot be opened.
        StoreTooNew: a newer version of the bot wrote it.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as db:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA query_only = ON")
            if not has_tables(db, version_of(db)):
                raise StoreDamaged(path, OTHER_TABLES)
            yield db
    except sqlite3.DatabaseError as error:
        raise StoreDamaged(path, str(error)) from error


def named_pictures(db: sqlite3.Connection) -> set[str]:
    """The content hashes of all pictures that jobs name."""
    # A damaged row may hold a value of another type.
    query = "SELECT DISTINCT hash FROM picture WHERE hash != '' AND typeof(hash) = 'text'"
    return {hash_ for (hash_,) in db.execute(query)}


def inspect(folder: Path) -> Inspection:
    """Check the store in `folder`. Blocks: each picture is decoded.

    Raises:
        StoreDamaged: the database cannot be read at all.
        StoreTooNew: a newer version of the bot wrote it.
    """
    with reading(folder / FILE_NAME) as db:
        # One state of the database for all queries.
        db.execute("BEGIN")
        (jobs,) = db.execute("SELECT count(*) FROM job").fetchone()
        names = named_pictures(db)
        problem = _database_problem(db)
        unreadable = tuple(_unreadable(db)) if version_of(db) == VERSION else ()
    missing, damaged = [], []
    for name in sorted(names):
        path = folder / PICTURES / f"{name}.png"
        if not path.exists():
            missing.append(name)
        elif not _has_content(path, name):
            damaged.append(name)
    with reading(folder / FILE_NAME) as db:
        # Pictures that were erased meanwhile are not missing.
        left = named_pictures(db)
    return Inspection(
        jobs=jobs,
        pictures=len(names),
        database=problem,
        unreadable=unreadable,
        missing=tuple(name for name in missing if name in left),
        damaged=tuple(name for name in damaged if name in left),
        stray=tuple(_strays(folder / PICTURES, names | left)),
    )


def _database_problem(db: sqlite3.Connection) -> str:
    [(result,), *_] = db.execute("PRAGMA integrity_check(1)").fetchall()
    if result != "ok":
        return str(result)
    broken = db.execute("PRAGMA foreign_key_check").fetchone()
    return f"a row of {broken[0]} refers to a missing row of {broken[2]}" if broken else ""


def _unreadable(db: sqlite3.Connection) -> Iterator[str]:
    for row in db.execute("SELECT * FROM job").fetchall():
        query = "SELECT role, hash FROM picture WHERE job_seq = ?"
        try:
            row_job(row, dict(db.execute(query, (row["seq"],)).fetchall()))
        except UnreadableRow:
            yield row["id"]


def _has_content(path: Path, name: str) -> bool:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return content_name(Picture(image.convert("RGB").tobytes(), *image.size)) == name
    except (OSError, SyntaxError, ValueError):
        return False


def _strays(pictures: Path, names: set[str]) -> Iterator[str]:
    for path in sorted(pictures.glob("*")) if pictures.is_dir() else ():
        try:
            young = time.time() - path.stat().st_mtime < STRAY_SECONDS
        except FileNotFoundError:
            continue
        if not young and path.stem not in names:
            yield path.name
