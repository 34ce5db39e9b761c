"""The settings of servers, and the values of the operator that survive a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from bot.jobs.budgets import EVERYONE, NO_LIMITS, RoleLimits
from bot.store.guild_settings import GuildOptions, SettingsUnreadable
from bot.store.store import Store

FULL = GuildOptions(
    gallery=5,
    channels=(6, 7),
    roles=(8,),
    style="Anime",
    strength=0.4,
    mentions=False,
    language="ja",
    retention_hours=2.5,
    server_seconds=600.0,
    limits={EVERYONE: RoleLimits(steps=20), 9: RoleLimits(private=False, models=("small",))},
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path) as opened:
        yield opened


async def test_every_setting_of_a_server_survives_a_restart(tmp_path: Path) -> None:
    assert all(
        getattr(FULL, name) != getattr(GuildOptions(), name) for name in type(FULL).model_fields
    )
    async with Store.open(tmp_path) as store:
        await store.guild_settings.save(3, FULL)
    async with Store.open(tmp_path) as store:
        assert await store.guild_settings.options(3) == FULL
        # Other servers and direct messages have the defaults.
        assert await store.guild_settings.options(4) == GuildOptions()
        assert await store.guild_settings.options(None) == GuildOptions()


async def test_a_change_keeps_the_other_settings(store: Store) -> None:
    await store.guild_settings.save(3, FULL)
    changed = await store.guild_settings.change(3, style=None, strength=1.0)
    assert changed == FULL.model_copy(update={"style": None, "strength": 1.0})
    assert await store.guild_settings.options(3) == changed
    assert await store.guild_settings.gallery(3) == 5


async def test_a_value_that_is_not_valid_changes_nothing(store: Store) -> None:
    await store.guild_settings.save(3, FULL)
    with pytest.raises(ValidationError):
        await store.guild_settings.change(3, style="Ink", strength=1.5)
    assert await store.guild_settings.options(3) == FULL


async def test_the_limits_of_a_role_are_changed_by_themselves_and_removed(store: Store) -> None:
    change = store.guild_settings.change_limits

    async def limits() -> dict[int, RoleLimits]:
        return (await store.guild_settings.options(3)).limits

    await store.guild_settings.change(3, gallery=5)
    await change(3, 9, lambda old: old.model_copy(update={"steps": 30}))
    await change(3, 9, lambda old: old.model_copy(update={"pictures": 2}))
    await change(3, EVERYONE, lambda old: old.model_copy(update={"steps": 10}))
    assert await limits() == {9: RoleLimits(steps=30, pictures=2), EVERYONE: RoleLimits(steps=10)}
    removed = await change(3, 9, lambda _: NO_LIMITS)
    assert removed == GuildOptions(gallery=5, limits={EVERYONE: RoleLimits(steps=10)})
    assert await store.guild_settings.options(3) == removed


async def test_what_is_written_along_with_the_settings_is_written_or_neither(store: Store) -> None:
    db = store.database

    def also() -> None:
        db.connection.execute("INSERT INTO operator_state VALUES ('also', 'written')")

    def fails() -> None:
        also()
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        await store.guild_settings.save(3, FULL, fails)
    assert await store.guild_settings.options(3) == GuildOptions()
    assert await store.operator_state.get("also") is None
    await store.guild_settings.save(3, FULL, also)
    assert await store.guild_settings.options(3) == FULL
    assert await store.operator_state.get("also") == "written"


async def test_only_servers_with_a_retention_time_of_their_own_are_listed(store: Store) -> None:
    await store.guild_settings.save(3, FULL)
    await store.guild_settings.save(4, GuildOptions(gallery=1))
    await store.guild_settings.change(5, retention_hours=12.0)
    assert await store.guild_settings.with_retention() == {3: 2.5, 5: 12.0}


@pytest.mark.parametrize(
    "settings", ['{"language', '{"later": 1}', '{"retention_hours": "x"}', "[]", ""]
)
async def test_damaged_settings_of_one_server_do_not_concern_others(
    store: Store, settings: str
) -> None:
    await store.guild_settings.save(3, FULL)
    await store.database.execute("test", "INSERT INTO guild_settings VALUES (4, ?)", (settings,))
    assert await store.guild_settings.with_retention() == {3: 2.5}
    assert await store.guild_settings.options(3) == FULL
    with pytest.raises(SettingsUnreadable):
        await store.guild_settings.options(4)
    await store.guild_settings.save(4, FULL)
    assert await store.guild_settings.options(4) == FULL


async def test_damaged_settings_are_logged_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    for guild_id in (4, 5):
        await store.database.execute(
            "test", "INSERT INTO guild_settings VALUES (?, '{')", (guild_id,)
        )
    for guild_id in (4, 5, 4, 5):
        with pytest.raises(SettingsUnreadable):
            await store.guild_settings.options(guild_id)
    logged = [record.getMessage().split(":")[0] for record in caplog.records]
    assert logged == [f"the settings of server {guild_id} cannot be read" for guild_id in (4, 5)]


async def test_settings_that_are_damaged_again_are_logged_again(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        await store.database.execute("test", "REPLACE INTO guild_settings VALUES (?, '{')", (4,))
        for _ in range(2):
            with pytest.raises(SettingsUnreadable):
                await store.guild_settings.options(4)
        await store.guild_settings.save(4, FULL)
    assert len(caplog.records) == 2


async def test_a_value_of_the_operator_survives_a_restart_until_it_is_removed(
    tmp_path: Path,
) -> None:
    async with Store.open(tmp_path) as store:
        for value in ("first", "second"):
            await store.operator_state.set("paused", value)
        await store.operator_state.set("other", "kept")
    async with Store.open(tmp_path) as store:
        assert await store.operator_state.get("paused") == "second"
        await store.operator_state.set("paused", None)
        assert await store.operator_state.get("paused") is None
        assert await store.operator_state.get("other") == "kept"
