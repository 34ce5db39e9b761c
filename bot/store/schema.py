"""The database schema and its migrations."""

from __future__ import annotations

import sqlite3

from bot.errors import StartError

MIGRATIONS = (
    """
    CREATE TABLE job (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        user_id INTEGER NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        error TEXT,
        ignored_prompt TEXT NOT NULL,
        seconds REAL,
        created_at REAL NOT NULL,
        started_at REAL,
        finished_at REAL,
        token TEXT,
        token_expires_at REAL,
        post_channel_id INTEGER,
        post_since REAL,
        request TEXT NOT NULL
    );
    CREATE INDEX job_open ON job (seq) WHERE finished_at IS NULL;
    CREATE INDEX job_finished ON job (finished_at) WHERE finished_at IS NOT NULL;
    CREATE INDEX job_user ON job (user_id);

    CREATE TABLE picture (
        job_seq INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
        role TEXT NOT NULL,
        hash TEXT NOT NULL,
        PRIMARY KEY (job_seq, role)
    ) WITHOUT ROWID;
    CREATE INDEX picture_hash ON picture (hash);

    CREATE TABLE tally (
        day TEXT NOT NULL,
        state TEXT NOT NULL,
        jobs INTEGER NOT NULL,
        pictures INTEGER NOT NULL,
        PRIMARY KEY (day, state)
    ) WITHOUT ROWID;

    CREATE TABLE gallery (guild_id INTEGER PRIMARY KEY, channel_id INTEGER NOT NULL);
    """,
)


VERSION = len(MIGRATIONS)


class StoreTooNew(StartError):
    """The store was written by a newer version of the bot."""


def version_of(db: sqlite3.Connection) -> int:
    """The schema version of the tables; 0 without any.

    Raises:
        StoreTooNew: a newer bot wrote them; continuing could lose its data.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StoreTooNew(
            f"The job store has version {version}, this bot knows {VERSION}: "
            "run the newer bot, or point DATA_DIR at another folder."
        )
    return int(version)


def migrate(db: sqlite3.Connection) -> None:
    """Migrate the tables to this version, each step in its own transaction."""
    for number, script in enumerate(MIGRATIONS, start=1):
        if number > version_of(db):
            db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
