"""What the store keeps, what it erases, and which changes it allows.

Longer than 300 lines: the store's operations share one fixture.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from bot.errors import JobNotActive, StorageFull, StoredPictureMissing
from bot.jobs.job import Destination, Job, JobState, Reference, Variant
from bot.store.opening import FILE_NAME, StoreLocked
from bot.store.schema import MIGRATIONS, StoreTooNew
from bot.store.store import Store
from tests.support.jobs import DESTINATION, TOKEN, job, picture

Change = Callable[[Store, str], Awaitable[Job]]
CHANGES: dict[str, Change] = {
    "start": lambda store, id_: store.start(id_, 1.0),
    "requeue": lambda store, id_: store.requeue(id_),
    "variant_made": lambda store, id_: store.variant_made(
        id_, 0, "0" * 64, ignored_prompt="", depth=None
    ),
    "worker_died": lambda store, id_: store.worker_died(id_),
    "made": lambda store, id_: store.made(id_, 2.0),
    "fail": lambda store, id_: store.fail(id_, "No."),
    "cancel": lambda store, id_: store.cancel(id_),
    "answered": lambda store, id_: store.answered(id_, 3.0),
}
# The changes that lead to each state, and those that may follow it.
PATHS: dict[JobState, tuple[str, ...]] = {
    JobState.QUEUED: (),
    JobState.RUNNING: ("start",),
    JobState.MADE: ("start", "made"),
    JobState.DELIVERED: ("start", "made", "answered"),
    JobState.FAILED: ("fail",),
    JobState.CANCELLED: ("cancel",),
}
ALLOWED: dict[JobState, set[str]] = {
    JobState.QUEUED: {"start", "fail", "cancel"},
    JobState.RUNNING: {"start", "requeue", "worker_died", "variant_made", "made", "fail", "cancel"},
    JobState.MADE: {"fail", "answered"},
    JobState.DELIVERED: {"answered"},
    JobState.FAILED: {"answered"},
    JobState.CANCELLED: {"answered"},
}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path) as opened:
        yield opened


def everything_in(folder: Path) -> bytes:
    """All bytes of all files, read in another process: closing a database's file here would give
    up SQLite's lock on it."""
    script = "import sys,pathlib\nfor p in sorted(pathlib.Path(sys.argv[1]).rglob('*')):\n"
    script += "  if p.is_file(): sys.stdout.buffer.write(p.read_bytes())"
    return subprocess.run(
        [sys.executable, "-c", script, folder], check=True, capture_output=True
    ).stdout


async def test_every_field_of_a_job_survives(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        names = [await store.pictures.put(picture(n)) for n in range(8)]
        full = Job(
            id="0123456789abcdef",
            user_id=2**63 - 1,
            destination=Destination(
                application_id=11,
                channel_id=12,
                guild_id=None,
                message_id=14,
                token=TOKEN,
                token_expires_at=15.5,
                private=True,
                upload_limit=16,
            ),
            source=names[0],
            source_name="ä.png",
            width=17,
            height=18,
            prompt="‘quoted’; DROP TABLE job",
            negative_prompt="n",
            steps=19,
            guidance_scale=2.5,
            variants=(
                Variant(seed=2**63 - 1, strength=0.1, result=names[1]),
                Variant(seed=1, strength=1.0, result=names[2]),
            ),
            task="edit",
            references=(
                Reference(stored=names[4], width=16, height=8, name="hat", channel_id=28),
                Reference(stored=names[5], width=32, height=8, name="a link"),
            ),
            layout="grid",
            part="background",
            part_threshold=0.25,
            mask=names[6],
            structure=names[7],
            tile=(8, 16),
            style="ink",
            user_prompt="a bridge",
            user_negative_prompt="fog",
            spoiler=True,
            age_restricted=True,
            source_channel_id=24,
            share_channel_id=25,
            share_message_id=26,
            parent_id="p",
            locale="ja",
            weight=3,
            model="m",
            ignored_prompt="i",
            depth=names[3],
            state=JobState.MADE,
            attempts=2,
            bot_deaths=1,
            error="e",
            case_id=27,
            seconds=1.25,
            created_at=20.5,
            started_at=21.5,
            post_channel_id=22,
            post_since=23.5,
        )
        untouched = {"finished_at"}
        for field in dataclasses.fields(Job):
            default = field.default
            assert field.name in untouched or getattr(full, field.name) != default, field.name
        await store.accept(full)
    async with Store.open(tmp_path) as store:
        assert await store.job(full.id) == full
        assert await store.unanswered() == [full]


async def test_a_job_that_draws_from_text_has_no_source(tmp_path: Path) -> None:
    drawn = job(source=None, source_name="", task="text2img")
    async with Store.open(tmp_path) as store:
        await store.accept(drawn)
    async with Store.open(tmp_path) as store:
        assert await store.unanswered() == [drawn]
        assert drawn.sources == ()


@pytest.mark.parametrize("role", ["source", "reference 1"])
async def test_a_job_that_lost_the_row_of_a_picture_is_ended(tmp_path: Path, role: str) -> None:
    async with Store.open(tmp_path) as store:
        edit = await edit_job(store)
        await store.accept(edit)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db, db:
        db.execute("DELETE FROM picture WHERE role = ?", (role,))
    async with Store.open(tmp_path) as store:
        assert await store.unanswered() == []


@pytest.mark.parametrize("erasure", ["job", "user", "retention"])
async def test_erasure_deletes_every_reference_picture(tmp_path: Path, erasure: str) -> None:
    async with Store.open(tmp_path) as store:
        edit = await edit_job(store)
        await store.accept(edit)
        await store.fail(edit.id, "No.")
        await store.answered(edit.id, 10.0)
        assert len(list((tmp_path / "pictures").iterdir())) == 3
        match erasure:
            case "job":
                await store.erase_job(edit.id)
            case "user":
                await store.erase_user(edit.user_id)
            case "retention":
                await store.erase_before(11.0)
        assert list((tmp_path / "pictures").iterdir()) == []


async def test_a_reference_that_another_job_names_is_kept(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        first, second = await edit_job(store), await edit_job(store)
        assert first.sources == second.sources
        await store.accept(first)
        await store.accept(second)
        await store.erase_job(first.id)
        assert len(list((tmp_path / "pictures").iterdir())) == 3


async def edit_job(store: Store) -> Job:
    """A job with three pictures, which are put but not named yet."""
    source, *others = [await store.pictures.put(picture(n)) for n in range(3)]
    references = (Reference(stored=name, width=16, height=8, name="x") for name in others)
    return job(source=source, task="edit", references=tuple(references))


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("change", CHANGES)
async def test_a_state_allows_only_its_changes(store: Store, state: JobState, change: str) -> None:
    accepted = job()
    await store.accept(accepted)
    for step in PATHS[state]:
        await CHANGES[step](store, accepted.id)
    before = await store.job(accepted.id)
    assert before is not None
    assert before.state is state
    if change in ALLOWED[state]:
        after = await CHANGES[change](store, accepted.id)
        assert await store.job(accepted.id) == after
    else:
        with pytest.raises(JobNotActive):
            await CHANGES[change](store, accepted.id)
        assert await store.job(accepted.id) == before


async def test_only_the_death_of_the_worker_uses_up_an_attempt(store: Store) -> None:
    accepted = job()
    await store.accept(accepted)
    assert (await store.start(accepted.id, 1.0)).attempts == 0
    assert (await store.requeue(accepted.id)).attempts == 0
    # The bot was killed while it ran.
    for moment in (1.0, 2.0, 3.0):
        assert (await store.start(accepted.id, moment)).attempts == 0
    assert (await store.worker_died(accepted.id)).attempts == 1
    assert (await store.start(accepted.id, 2.0)).attempts == 1


async def test_unanswered_jobs_come_in_the_order_of_their_acceptance(tmp_path: Path) -> None:
    jobs = [job(created_at=float(-n)) for n in range(5)]
    async with Store.open(tmp_path) as store:
        for one in jobs:
            await store.accept(one)
        await store.cancel(jobs[1].id)
        await store.answered(jobs[1].id, 1.0)
        await store.cancel(jobs[2].id)
    async with Store.open(tmp_path) as store:
        waiting = [one.id for one in await store.unanswered()]
    assert waiting == [jobs[0].id, jobs[2].id, jobs[3].id, jobs[4].id]


async def test_an_answered_job_has_no_token(store: Store) -> None:
    answered, waiting = job(), job()
    for one in (answered, waiting):
        await store.accept(one)
    await store.cancel(answered.id)
    await store.answered(answered.id, 1.0)
    tokens = [found.destination.token for found in reversed(await store.jobs_of(7))]
    assert tokens == [None, TOKEN]
    assert TOKEN not in repr(waiting)


async def test_a_second_process_is_refused_with_a_sentence(tmp_path: Path) -> None:
    script = (
        "import asyncio, pathlib, sys\n"
        "from bot.store.store import Store\n"
        "async def main():\n"
        "    async with Store.open(pathlib.Path(sys.argv[1])):\n"
        "        print('open', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    first = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, tmp_path, stdout=asyncio.subprocess.PIPE
    )
    assert first.stdout is not None
    assert await first.stdout.readline() == b"open\n"
    sentence = "already running with DATA_DIR .*: stop it, or give this one a folder of its own.$"
    with pytest.raises(StoreLocked, match=sentence):
        async with Store.open(tmp_path):
            pass
    first.kill()
    await first.wait()
    async with Store.open(tmp_path):
        pass


async def test_erased_rows_leave_the_log_once_another_process_has_read_it(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        await store._db.run(store._db.connection.execute, "PRAGMA busy_timeout = 0")
        await store.accept(job())
        with closing(sqlite3.connect(tmp_path / "redraw.sqlite3", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM job").fetchone()
            await store.erase_user(7)
            assert TOKEN.encode() in everything_in(tmp_path)
        await store.erase_before(0.0)
        assert TOKEN.encode() not in everything_in(tmp_path)


async def test_a_store_of_a_newer_bot_is_not_opened(tmp_path: Path) -> None:
    async with Store.open(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "redraw.sqlite3") as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(StoreTooNew, match="run the newer bot"):
        async with Store.open(tmp_path):
            pass


async def test_a_folder_that_cannot_be_made_is_a_sentence_for_the_operator(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="cannot be written to") as caught:
        async with Store.open(tmp_path / "file" / "data"):
            pass
    assert type(caught.value).__name__ == "StartError"


async def test_the_database_uses_a_durable_write_ahead_log(store: Store) -> None:
    def pragma(name: str) -> object:
        return store._db.connection.execute(f"PRAGMA {name}").fetchone()[0]

    names = ("journal_mode", "synchronous", "secure_delete", "locking_mode")
    pragmas = {name: await store._db.run(pragma, name) for name in names}
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "secure_delete": 1,
        "locking_mode": "normal",
    }


async def test_a_change_whose_task_is_cancelled_is_complete(store: Store) -> None:
    accepted = [job() for _ in range(30)]
    for one in accepted:
        await store.accept(one)
    for one in accepted:
        task = asyncio.create_task(store.start(one.id, 1.0))
        await asyncio.sleep(0)
        task.cancel()
    states = {one.state for one in await store.unanswered()}
    assert states <= {JobState.QUEUED, JobState.RUNNING}
    for one in await store.unanswered():
        assert (one.started_at is not None) is (one.state is JobState.RUNNING)
        await store.cancel(one.id)


async def test_equal_pictures_share_a_file_and_a_damaged_one_is_missing(
    store: Store, tmp_path: Path
) -> None:
    name = await store.pictures.put(picture(1))
    assert await store.pictures.put(picture(1)) == name
    assert await store.pictures.put(picture(1, width=8, height=16)) != name
    assert len(list((tmp_path / "pictures").iterdir())) == 2
    assert await store.pictures.get(name) == picture(1)
    (tmp_path / "pictures" / f"{name}.png").write_bytes(b"\x89PNG half of it")
    with pytest.raises(StoredPictureMissing):
        await store.pictures.get(name)


async def test_files_that_no_job_names_are_deleted_at_the_start(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        kept = await store.pictures.put(picture(1))
        await store.pictures.put(picture(2))
        await store.accept(job(kept))
        (tmp_path / "pictures" / "half.part").write_bytes(b"x")
    async with Store.open(tmp_path):
        assert [path.stem for path in (tmp_path / "pictures").iterdir()] == [kept]


async def test_a_discarded_picture_is_deleted_unless_a_job_names_it(store: Store) -> None:
    named, unnamed = [await store.pictures.put(picture(n)) for n in range(2)]
    await store.accept(job(named))
    for name in (named, unnamed):
        await store.discard(name)
    assert await store.pictures.get(named)
    with pytest.raises(StoredPictureMissing):
        await store.pictures.get(unnamed)


async def answer(store: Store, one: Job, moment: float, result: str) -> None:
    await store.accept(one)
    await store.start(one.id, moment)
    await store.variant_made(one.id, 0, result, ignored_prompt="", depth=None)
    await store.made(one.id, moment)
    await store.answered(one.id, moment)


async def test_old_answered_jobs_become_counts_and_their_pictures_are_deleted(store: Store) -> None:
    shared, old_result, new_result = [await store.pictures.put(picture(n)) for n in range(3)]
    old, new, waiting = job(shared, created_at=0.0), job(shared), job(shared, created_at=0.0)
    await answer(store, old, 10.0, old_result)
    await answer(store, new, 20.0, new_result)
    await store.accept(waiting)
    assert await store.erase_before(20.0) == 1
    assert await store.job(old.id) is None
    assert {one.id for one in await store.jobs_of(7)} == {new.id, waiting.id}
    assert await store.ledger.tally() == {("1970-01-01", "delivered"): (1, 1)}
    assert await store.pictures.get(shared)
    assert await store.pictures.get(new_result)
    with pytest.raises(StoredPictureMissing):
        await store.pictures.get(old_result)


async def test_counts_of_one_day_add_up(store: Store) -> None:
    result = await store.pictures.put(picture(1))
    for moment in (1.0, 2.0, 3.0):
        await answer(store, job(result, created_at=moment), moment, result)
        await store.erase_before(moment + 0.5)
    assert await store.ledger.tally() == {("1970-01-01", "delivered"): (3, 3)}


async def test_nothing_of_an_erased_user_stays_on_the_disk(tmp_path: Path) -> None:
    elsewhere = Destination(application_id=1, channel_id=2, guild_id=3, message_id=4)

    def other(source: str) -> Job:
        return job(source, user_id=8, prompt="mine", source_name="m", destination=elsewhere)

    async with Store.open(tmp_path) as store:
        source, result = [await store.pictures.put(picture(n)) for n in (1, 2)]
        secrets = [b"a red fox in the snow", TOKEN.encode(), b"holiday.png", source.encode()]
        for _ in range(20):
            await store.accept(job(source))
            await store.accept(other(await store.pictures.put(picture(3))))
        await answer(store, job(source), 1.0, result)
        before = everything_in(tmp_path)
        assert [text for text in secrets if text not in before] == []
        assert await store.erase_user(7) == 21
        after = everything_in(tmp_path)
        assert [text for text in secrets if text in after] == []
        assert b"mine" in after
        assert len(list((tmp_path / "pictures").iterdir())) == 1


async def test_a_kill_right_after_erasure_leaves_nothing_after_the_next_start(
    tmp_path: Path,
) -> None:
    script = (
        "import asyncio, os, pathlib, signal, sys\n"
        "from bot.store.store import Store\n"
        "from tests.support.jobs import job, picture\n"
        "def failpoint(name):\n"
        "    if name == 'after erase': os.kill(os.getpid(), signal.SIGKILL)\n"
        "async def main():\n"
        "    async with Store.open(pathlib.Path(sys.argv[1]), failpoint=failpoint) as store:\n"
        "        await store.accept(job(await store.pictures.put(picture(1))))\n"
        "        await store.erase_user(7)\n"
        "asyncio.run(main())\n"
    )
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", script, tmp_path)
    assert await killed.wait() == -9
    assert b"a red fox in the snow" in everything_in(tmp_path)
    async with Store.open(tmp_path):
        assert b"a red fox in the snow" not in everything_in(tmp_path)
        assert list((tmp_path / "pictures").iterdir()) == []


async def test_a_full_disk_fails_one_change_and_not_the_next(store: Store) -> None:
    def pages(limit: int) -> None:
        store._db.connection.execute(f"PRAGMA max_page_count = {limit}").fetchone()

    await store._db.run(pages, 1)
    with pytest.raises(StorageFull):
        await store.accept(job(prompt="x" * 100_000))
    await store._db.run(pages, 2**30)
    accepted = job()
    await store.accept(accepted)
    assert await store.unanswered() == [accepted]


async def test_a_picture_that_was_just_put_survives_its_last_job(
    store: Store,
) -> None:
    name = await store.pictures.put(picture(1))
    first = job(name)
    await store.accept(first)
    assert await store.pictures.put(picture(1)) == name
    await store.erase_job(first.id)
    await store.accept(job(name, user_id=8))
    assert await store.pictures.get(name) == picture(1)


async def test_a_server_may_keep_its_jobs_for_less_time(store: Store) -> None:
    kept: dict[int, Job] = {}
    for guild in (3, 4):
        one = job(await store.pictures.put(picture(guild)))
        one = dataclasses.replace(one, destination=dataclasses.replace(DESTINATION, guild_id=guild))
        await store.accept(one)
        await store.cancel(one.id)
        kept[guild] = await store.answered(one.id, 100.0)
    assert await store.erase_before(101.0, 3) == 1
    assert await store.job(kept[3].id) is None
    assert await store.job(kept[4].id) == kept[4]


async def test_a_server_has_one_gallery(store: Store) -> None:
    assert await store.guild_settings.gallery(3) is None
    for channel in (5, 6):
        await store.guild_settings.set_gallery(3, channel)
    assert await store.guild_settings.gallery(3) == 6
    await store.guild_settings.set_gallery(3, None)
    assert await store.guild_settings.gallery(3) is None


async def test_a_job_is_shared_once_until_its_gallery_message_is_gone(store: Store) -> None:
    accepted = job(await store.pictures.put(picture(1)))
    await store.accept(accepted)
    assert await store.sharing.start(accepted.id, 6)
    assert not await store.sharing.start(accepted.id, 7)
    await store.sharing.set_message(accepted.id, 60)
    shared = await store.job(accepted.id)
    assert shared is not None
    assert (shared.share_channel_id, shared.share_message_id) == (6, 60)
    await store.sharing.set_message(accepted.id, None)
    assert await store.job(accepted.id) == accepted
    assert await store.sharing.start(accepted.id, 7)
    assert not await store.sharing.start("0" * 16, 7)


async def test_a_store_with_a_posted_copy_opens_again(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        accepted = job(await store.pictures.put(picture(1)))
        await store.accept(accepted)
        assert await store.sharing.add_copy(accepted.id, 6, 61)
    async with Store.open(tmp_path) as store:
        assert await store.sharing.copies(accepted.id) == [(6, 61)]


async def test_the_copies_of_a_job_are_known_until_it_is_erased(store: Store) -> None:
    accepted = job(await store.pictures.put(picture(1)))
    await store.accept(accepted)
    assert await store.sharing.add_copy(accepted.id, 6, 61)
    assert await store.sharing.add_copy(accepted.id, 5, 60)
    assert await store.sharing.copies(accepted.id) == [(5, 60), (6, 61)]
    await store.erase_job(accepted.id)
    assert await store.sharing.copies(accepted.id) == []
    assert not await store.sharing.add_copy(accepted.id, 6, 62)
