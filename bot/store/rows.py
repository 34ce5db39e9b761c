"""Converts a job to rows of the database and back."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bot.errors import InternalError
from bot.jobs.job import Destination, Job, JobState, Reference, Variant

log = logging.getLogger(__name__)

# Values that change, are searched for or are secret have a column; the rest is in `request`.
COLUMNS = (
    "id",
    "user_id",
    "state",
    "attempts",
    "error",
    "ignored_prompt",
    "seconds",
    "created_at",
    "started_at",
    "finished_at",
    "token",
    "token_expires_at",
    "post_channel_id",
    "post_since",
    "request",
)
INSERT = f"INSERT INTO job ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{c}' for c in COLUMNS)})"  # noqa: S608


# Version 1, of bot 0.1.0, is unmarked. The fields that were added since have defaults. Version 3
# knows jobs without a source and with further pictures, version 4 those that redraw a part, version
# 5 those that redraw in tiles. An older bot must not run them.
REQUEST_VERSION = 5


# The pictures of a job that are in rows of `picture`, by the names of the fields.
ROLES = ("source", "depth", "mask", "structure")


class UnreadableRow(InternalError):
    """A stored job cannot be read: damaged, or written by a newer version of the bot."""


def job_row(job: Job) -> dict[str, Any]:
    """The parameters of `INSERT`."""
    request = asdict(job)
    destination = request["destination"]
    columns: dict[str, Any] = {
        "token": destination.pop("token"),
        "token_expires_at": destination.pop("token_expires_at"),
    }
    for name in COLUMNS:
        if name in request:
            columns[name] = request.pop(name)
    for role in ROLES:
        del request[role]
    for variant in request["variants"]:
        del variant["result"]
    for reference in request["references"]:
        del reference["stored"]
    return columns | {"request": json.dumps({"version": REQUEST_VERSION, **request})}


def job_pictures(job: Job) -> dict[str, str]:
    """Role → content hash of every picture that the job names."""
    named = {"source": job.source, "depth": job.depth}
    named |= {"mask": job.mask, "structure": job.structure}
    named |= {result_role(n): variant.result for n, variant in enumerate(job.variants)}
    named |= {reference_role(n): each.stored for n, each in enumerate(job.references)}
    return {role: hash_ for role, hash_ in named.items() if hash_ is not None}


def result_role(number: int) -> str:
    """The role of a variant's result."""
    return f"result {number}"


def reference_role(number: int) -> str:
    """The role of a further picture."""
    return f"reference {number}"


def select_jobs(db: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[Job]:
    """The jobs of a condition. One that cannot be read is logged and left out."""
    jobs = []
    for row in db.execute(f"SELECT * FROM job WHERE {where}", values).fetchall():  # noqa: S608
        query = "SELECT role, hash FROM picture WHERE job_seq = ?"
        try:
            jobs.append(row_job(row, dict(db.execute(query, (row["seq"],)))))
        except UnreadableRow as error:
            log.error("a job cannot be read: %s", error, extra={"job": row["id"]})
    return jobs


def row_job(row: sqlite3.Row, pictures: Mapping[str, str]) -> Job:
    """The job of a row of `job` and its rows of `picture`.

    Raises:
        UnreadableRow: they are not those of a job.
    """
    try:
        return _job(row, pictures)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadableRow(f"{type(error).__name__}: {error}") from error


def _job(row: sqlite3.Row, pictures: Mapping[str, str]) -> Job:
    request = json.loads(row["request"])
    version = request.pop("version", 1)
    if version > REQUEST_VERSION:
        raise ValueError(f"the request has version {version}")
    if not all(isinstance(name, str) for name in pictures.values()):
        raise TypeError("the name of a picture is not a text")
    destination = Destination(
        **request.pop("destination"),
        token=row["token"],
        token_expires_at=row["token_expires_at"],
    )
    variants = tuple(
        Variant(**variant, result=pictures.get(result_role(n)))
        for n, variant in enumerate(request.pop("variants"))
    )
    references = tuple(
        Reference(**reference, stored=pictures[reference_role(n)])
        for n, reference in enumerate(request.pop("references", ()))
    )
    tile = request.pop("tile", None)
    columns = {
        name: row[name]
        for name in COLUMNS
        if name not in ("state", "token", "token_expires_at", "request")
    }
    return Job(
        **request,
        **columns,
        tile=None if tile is None else (int(tile[0]), int(tile[1])),
        state=JobState(row["state"]),
        destination=destination,
        variants=variants,
        references=references,
        # Only a job that draws from text has none.
        source=pictures.get("source") if request.get("task") == "text2img" else pictures["source"],
        depth=pictures.get("depth"),
        mask=pictures.get("mask"),
        structure=pictures.get("structure"),
    )
