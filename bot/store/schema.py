"""The database schema and its migrations."""

from __future__ import annotations

import sqlite3
from contextlib import closing

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
    """
    CREATE TABLE moderation_restriction (
        guild_id INTEGER NOT NULL,
        subject TEXT NOT NULL,
        subject_id INTEGER NOT NULL,
        effect TEXT NOT NULL,
        until REAL,
        PRIMARY KEY (guild_id, subject, subject_id, effect)
    ) WITHOUT ROWID;

    CREATE TABLE moderation_rule (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        guild_id INTEGER NOT NULL,
        kind TEXT NOT NULL,
        pattern TEXT NOT NULL,
        UNIQUE (guild_id, kind, pattern)
    );

    CREATE TABLE moderation_blocked_picture (
        guild_id INTEGER NOT NULL,
        bits BLOB NOT NULL,
        PRIMARY KEY (guild_id, bits)
    ) WITHOUT ROWID;

    CREATE TABLE moderation_policy (
        guild_id INTEGER PRIMARY KEY,
        log_channel_id INTEGER,
        threshold REAL,
        age_restricted_threshold REAL,
        slow_mode_seconds INTEGER NOT NULL,
        log_pictures INTEGER NOT NULL
    );

    CREATE TABLE moderation_case (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        guild_id INTEGER NOT NULL,
        channel_id INTEGER NOT NULL,
        user_id INTEGER NOT NULL,
        job_id TEXT,
        reason TEXT NOT NULL,
        score REAL,
        prompt TEXT,
        bits BLOB,
        state TEXT NOT NULL DEFAULT 'open',
        stripped INTEGER NOT NULL DEFAULT 0,
        log_channel_id INTEGER,
        log_message_id INTEGER,
        log_shown INTEGER NOT NULL DEFAULT 0,
        appealed_at REAL,
        created_at REAL NOT NULL
    );
    CREATE INDEX moderation_case_guild ON moderation_case (guild_id);
    CREATE INDEX moderation_case_job ON moderation_case (job_id);
    CREATE INDEX moderation_case_user ON moderation_case (user_id);

    CREATE TABLE moderation_report (
        case_id INTEGER NOT NULL REFERENCES moderation_case (id) ON DELETE CASCADE,
        user_id INTEGER NOT NULL,
        PRIMARY KEY (case_id, user_id)
    ) WITHOUT ROWID;

    CREATE TABLE moderation_action (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        guild_id INTEGER NOT NULL,
        kind TEXT NOT NULL,
        moderator_id INTEGER NOT NULL,
        target TEXT NOT NULL,
        reason TEXT NOT NULL,
        case_id INTEGER REFERENCES moderation_case (id),
        at REAL NOT NULL,
        undone_at REAL
    );
    CREATE INDEX moderation_action_guild ON moderation_action (guild_id);
    CREATE INDEX moderation_action_case ON moderation_action (case_id);
    """,
    """
    CREATE TABLE user_defaults (
        user_id INTEGER PRIMARY KEY,
        strength REAL,
        style TEXT,
        steps INTEGER,
        private INTEGER NOT NULL,
        notification TEXT NOT NULL
    );

    CREATE TABLE favourite (
        user_id INTEGER NOT NULL,
        job_seq INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
        at REAL NOT NULL,
        PRIMARY KEY (user_id, job_seq)
    ) WITHOUT ROWID;
    CREATE INDEX favourite_job ON favourite (job_seq);

    CREATE INDEX job_parent
        ON job (iif(json_valid(request), json_extract(request, '$.parent_id'), NULL));
    """,
    """
    CREATE TABLE usage (
        day TEXT NOT NULL,
        guild_id INTEGER NOT NULL,
        user_id INTEGER NOT NULL,
        model TEXT NOT NULL,
        requests INTEGER NOT NULL,
        pictures INTEGER NOT NULL,
        work REAL NOT NULL,
        seconds REAL NOT NULL,
        PRIMARY KEY (day, guild_id, user_id, model)
    ) WITHOUT ROWID;

    CREATE TABLE last_request (
        guild_id INTEGER NOT NULL,
        user_id INTEGER NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (guild_id, user_id)
    ) WITHOUT ROWID;

    CREATE TABLE guild_settings (guild_id INTEGER PRIMARY KEY, settings TEXT NOT NULL);
    INSERT INTO guild_settings SELECT guild_id, json_object('gallery', channel_id) FROM gallery;
    DROP TABLE gallery;

    CREATE TABLE operator_state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    "ALTER TABLE user_defaults ADD COLUMN model TEXT;",
    """
    CREATE TABLE posted_copy (
        job_seq INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
        channel_id INTEGER NOT NULL,
        message_id INTEGER NOT NULL,
        PRIMARY KEY (job_seq, message_id)
    ) WITHOUT ROWID;
    """,
    # In a table without row ids whose key is not its first columns, SQLite 3.40.1 takes the other
    # columns for NULL when it checks the file: a bot with a posted copy did not start again.
    """
    CREATE TABLE posted_copy_7 (
        job_seq INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
        message_id INTEGER NOT NULL,
        channel_id INTEGER NOT NULL,
        PRIMARY KEY (job_seq, message_id)
    ) WITHOUT ROWID;
    INSERT INTO posted_copy_7 SELECT job_seq, message_id, channel_id FROM posted_copy;
    DROP TABLE posted_copy;
    ALTER TABLE posted_copy_7 RENAME TO posted_copy;
    """,
    # Until version 8, undoing a ban also lifted the earlier ones of the same user, and of several
    # timeouts only the end of the newest was kept: earlier ones count as undone, too.
    """
    ALTER TABLE moderation_action ADD COLUMN until REAL;
    UPDATE moderation_action SET undone_at = at
        WHERE undone_at IS NULL AND EXISTS (
            SELECT 1 FROM moderation_action AS later
            WHERE later.guild_id = moderation_action.guild_id
            AND later.kind = moderation_action.kind AND later.target = moderation_action.target
            AND (later.undone_at > moderation_action.at
                OR (later.kind = 'timeout' AND later.id > moderation_action.id))
        );
    UPDATE moderation_action SET until = (
            SELECT until FROM moderation_restriction
            WHERE moderation_restriction.guild_id = moderation_action.guild_id
            AND effect = 'timeout' AND subject || ' ' || subject_id = target
        )
        WHERE kind = 'timeout' AND undone_at IS NULL;
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


def has_tables(db: sqlite3.Connection, version: int) -> bool:
    """Whether the database has all tables and columns of that schema version, and none of those
    that later ones add."""
    if not 0 < version <= VERSION:
        return False
    with closing(sqlite3.connect(":memory:")) as empty:
        for script in MIGRATIONS[:version]:
            empty.executescript(script)
        expected = _columns(empty)
        for script in MIGRATIONS[version:]:
            empty.executescript(script)
        later = _columns(empty) - expected
    found = _columns(db)
    return expected <= found and later.isdisjoint(found)


def _columns(db: sqlite3.Connection) -> set[tuple[str, str]]:
    query = (
        "SELECT tables.name, columns.name FROM sqlite_schema AS tables, "
        "pragma_table_info(tables.name) AS columns WHERE tables.type = 'table'"
    )
    return {(table, column) for table, column in db.execute(query)}


def migrate(db: sqlite3.Connection) -> None:
    """Migrate the tables to this version, each step in its own transaction."""
    for number, script in enumerate(MIGRATIONS, start=1):
        if number > version_of(db):
            db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
