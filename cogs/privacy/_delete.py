"""The confirmation of `/privacy delete`: the data to delete, and the buttons."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import discord

from bot.client import RedrawBot, Services
from bot.i18n.translate import translate
from bot.jobs.job import JobState
from bot.store.user_defaults import UserDefaults
from cogs.shared.guard import PersistentItem, SentComponent

Interaction = discord.Interaction[RedrawBot]

# More jobs than a store can hold.
ALL_JOBS = 2**62


@dataclass(frozen=True, slots=True)
class StoredData:
    """The numbers of a user's stored requests, pictures and other data.

    `pending` counts the requests that wait or run; `cases` those of moderation whose prompts or
    hashes are stored.
    """

    requests: int
    pictures: int
    pending: int
    favourites: int
    cases: int
    defaults: bool

    @property
    def empty(self) -> bool:
        """Whether nothing is stored that can be deleted."""
        return not (self.requests or self.favourites or self.cases or self.defaults)


async def stored_data(services: Services, user_id: int) -> StoredData:
    """Count what `erase` would delete."""
    store = services.store
    jobs = await store.jobs_of(user_id, limit=ALL_JOBS)
    cases = await services.moderation.cases.of_user(user_id)
    return StoredData(
        requests=len(jobs),
        pictures=len({name for job in jobs for name in job.pictures}),
        pending=sum(job.state in (JobState.QUEUED, JobState.RUNNING) for job in jobs),
        favourites=len(await store.favourites.of(user_id)),
        cases=sum(not case.stripped for case in cases),
        defaults=await store.user_defaults.of(user_id) != UserDefaults(),
    )


def confirmation(data: StoredData, locale: str) -> discord.ui.LayoutView:
    """The data that will be deleted, the data that remains, and the buttons."""
    view = discord.ui.LayoutView(timeout=None)
    text = _lines(locale, data, "privacy.confirm", pending=True, rest="privacy.confirm_rest")
    view.add_item(discord.ui.TextDisplay(text))
    view.add_item(
        discord.ui.ActionRow[discord.ui.LayoutView](
            _Button("delete", locale), _Button("keep", locale)
        )
    )
    return view


class _Button(SentComponent, discord.ui.Button[discord.ui.LayoutView]):
    def __init__(self, choice: str, locale: str) -> None:
        danger = choice == "delete"
        super().__init__(
            label=translate(locale, f"privacy.button.{choice}"),
            style=discord.ButtonStyle.danger if danger else discord.ButtonStyle.secondary,
            custom_id=f"redraw:erase:{choice}",
        )


class EraseButton(PersistentItem, template=r"redraw:erase:(?P<choice>delete|keep)"):
    """Deletes the data of the user who pressed it, or keeps it."""

    # The data is the user's own.
    anywhere = True

    async def act(self, interaction: Interaction) -> None:
        """Perform the action, and replace the question with a text."""
        await interaction.response.defer()
        text = translate(interaction.locale, "privacy.kept")
        if self.match["choice"] == "delete":
            text = await _erase(interaction)
        view = discord.ui.LayoutView(timeout=None)
        view.add_item(discord.ui.TextDisplay(text))
        await interaction.edit_original_response(view=view)


def _lines(locale: str, data: StoredData, heading: str, *, pending: bool, rest: str) -> str:
    """The data, one kind a line, between a heading and the last line."""
    lines = {
        heading: True,
        "privacy.confirm_requests": data.requests > 0,
        "privacy.confirm_pending": pending and data.pending > 0,
        "privacy.confirm_favourites": data.favourites > 0,
        "privacy.confirm_defaults": data.defaults,
        "privacy.confirm_cases": data.cases > 0,
        rest: True,
    }
    counts = dataclasses.asdict(data)
    return "\n".join(translate(locale, key, **counts) for key, shown in lines.items() if shown)


async def _erase(interaction: Interaction) -> str:
    """End the user's jobs and delete all of their stored data; the text about it."""
    services = interaction.client.services
    user_id = interaction.user.id
    data = await stored_data(services, user_id)
    await services.runner.erase(user_id)
    await services.moderation.cases.forget(user_id)
    services.moderation_log.clean()
    if data.empty:
        return translate(interaction.locale, "privacy.nothing_to_delete")
    return _lines(
        str(interaction.locale), data, "privacy.deleted", pending=False, rest="privacy.deleted_rest"
    )
