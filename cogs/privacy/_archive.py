"""The archives of `/privacy export`: one or more zip files, each within an upload limit."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence

from bot.errors import StoredPictureMissing
from bot.jobs.job import Job
from bot.moderation.model import Case
from bot.store.ledger import Usage
from bot.store.picture_files import PictureFiles
from bot.store.user_defaults import UserDefaults

# The zip directory at the end of an archive needs about 200 bytes for each file.
DIRECTORY_BYTES = 256


class Export:
    """A user's jobs, settings and moderation cases, as archives of at most `limit` bytes.

    `missing` counts the pictures so far that could not be read or are too large for an archive.
    """

    def __init__(
        self,
        pictures: PictureFiles,
        jobs: Sequence[Job],
        cases: Sequence[Case],
        limit: int,
        *,
        defaults: UserDefaults,
        favourites: Sequence[str],
        usage: Sequence[Usage],
        last_requests: Mapping[int, float],
    ) -> None:
        self._pictures = pictures
        self._jobs = jobs
        self._limit = limit
        self._records: dict[str, object] = {
            "settings.json": {
                "defaults": dataclasses.asdict(defaults),
                "favourites": favourites,
                "computing time today": [dataclasses.asdict(row) for row in usage],
                "times of last requests by server": last_requests,
            }
        }
        if cases:
            self._records["moderation.json"] = [dataclasses.asdict(case) for case in cases]
        self.missing = 0

    def archives(self) -> Iterator[bytes]:
        """The archives. The first one begins with `jobs.json`, `settings.json`, and
        `moderation.json` if there are cases; the pictures follow. Blocks."""
        records = [
            (name, json.dumps(record, indent=2, ensure_ascii=False, default=bytes.hex).encode())
            for name, record in self._records.items()
        ]
        files = itertools.chain(records, _files(self._pictures, self._jobs))
        # Its compressed size is not known; it is far below the limit.
        first: tuple[str, bytes] | None = ("jobs.json", _records(self._jobs).encode())
        while first is not None:
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(*first)
                first = self._fill(archive, out, files)
            yield out.getvalue()

    def _fill(
        self, archive: zipfile.ZipFile, out: io.BytesIO, files: Iterator[tuple[str, bytes]]
    ) -> tuple[str, bytes] | None:
        """Add files while there is room; returns the file that the next archive begins with."""
        for name, data in files:
            reserved = DIRECTORY_BYTES * (len(archive.namelist()) + 2)
            if not data or len(data) + DIRECTORY_BYTES * 2 > self._limit:
                self.missing += 1
            elif out.tell() + len(data) + reserved > self._limit:
                return name, data
            else:
                archive.writestr(name, data)
        return None


def _files(pictures: PictureFiles, jobs: Sequence[Job]) -> Iterator[tuple[str, bytes]]:
    """(name in the archive, contents) of every picture; no contents if it cannot be read."""
    names = dict.fromkeys(name for job in jobs for name in sorted(job.pictures))
    for name in names:
        try:
            yield f"pictures/{name}.png", pictures.read_file(name)
        except StoredPictureMissing:
            yield name, b""


def _records(jobs: Sequence[Job]) -> str:
    records = []
    for job in jobs:
        record = dataclasses.asdict(job)
        record["destination"].pop("token")
        records.append(record)
    return json.dumps(records, indent=2, ensure_ascii=False)
