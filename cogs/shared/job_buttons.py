"""The buttons of a job's messages, which work for as long as the job is stored.

A button's custom id is `redraw:<action>:<job id>:<number>`, and `:<owner's user id>` for actions
that also work after the job was erased; everything else is read from the store. The two sides of a
button are separate: `JobButton` is the component that a message shows, and one `JobAction`
subclass per action, registered by its cog's `setup()`, handles clicks on it, also on messages
that were sent before the bot started.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import ClassVar

import discord

from bot.client import RedrawBot
from bot.i18n.translate import translate
from bot.jobs.job import Job
from bot.moderation.place import place_of
from cogs.shared.access import AccessRule, JobFacts, decide
from cogs.shared.channel_facts import channel_here, job_facts, raise_refusal
from cogs.shared.guard import PersistentItem, SentComponent

Interaction = discord.Interaction[RedrawBot]
Row = discord.ui.ActionRow[discord.ui.LayoutView]

# https://discord.com/developers/docs/components/reference#action-row
ROW_LIMIT = 5


class Action(StrEnum):
    """What a button does. The values stand in the custom ids of sent messages."""

    CANCEL = "cancel"
    NOTIFY = "notify"
    AGAIN = "again"
    VARY = "vary"
    VARY_STRONG = "varystrong"
    EDIT = "edit"
    USE = "use"
    STRENGTHS = "strengths"
    STRENGTH = "strength"
    STYLES = "styles"
    COMPARE = "compare"
    DEPTH = "depth"
    LARGER = "larger"
    LARGER4 = "largerfour"
    DETAIL = "detail"
    DETAIL4 = "detailfour"
    ANIMATE = "animate"
    POST_COMPARE = "postcompare"
    POST_ANIMATION = "postanimation"
    POST_DEPTH = "postdepth"
    POST_LARGER = "postlarger"
    POST_LARGER4 = "postlargerfour"
    DISCARD = "discard"
    SHOW = "show"
    FAVOURITE = "favourite"
    SHARE = "share"
    REPORT = "report"
    SELECT = "select"
    DELETE = "delete"
    REMOVE = "remove"


STYLES = {
    Action.AGAIN: discord.ButtonStyle.primary,
    Action.DELETE: discord.ButtonStyle.danger,
}
# Their custom ids hold the owner, so that they work after the job was erased.
LASTING = (Action.DELETE, Action.DISCARD, Action.REMOVE)


class JobButton(SentComponent, discord.ui.Button[discord.ui.LayoutView]):
    """A button as a message shows it. `number` is the picture that it acts on, from 1."""

    def __init__(
        self, action: Action, job: Job, number: int = 1, *, label: str | None = None
    ) -> None:
        owner = f":{job.user_id}" if action in LASTING else ""
        super().__init__(
            label=label or translate(job.locale, f"img2img.button.{action}"),
            style=STYLES.get(action, discord.ButtonStyle.secondary),
            custom_id=f"redraw:{action}:{job.id}:{number}{owner}",
        )


class JobMenu(SentComponent, discord.ui.Select[discord.ui.LayoutView]):
    """A select menu as a message shows it. `options` maps values to labels, `number` is the picture
    that it acts on, from 1."""

    def __init__(
        self,
        action: Action,
        job: Job,
        options: Mapping[str, str],
        *,
        placeholder: str,
        number: int = 1,
    ) -> None:
        super().__init__(
            custom_id=f"redraw:{action}:{job.id}:{number}",
            placeholder=placeholder,
            options=[
                discord.SelectOption(label=label, value=value) for value, label in options.items()
            ],
        )


class JobAction(PersistentItem, template=""):
    """Handles the clicks on one kind of job button, or the choices in one kind of job menu.
    Subclasses set `action` and `access`."""

    action: ClassVar[Action]
    access: ClassVar[AccessRule]
    on_message_only: ClassVar[bool] = False
    """The action concerns the message with the button, not the job that the message shows."""
    refused_to_banned: ClassVar[bool] = False
    """Users who are banned or timed out, or not on the allow list, may not use it. Actions that
    submit a request check this when they submit it."""

    def __init_subclass__(cls) -> None:
        # A class without an action is a base of others.
        action = getattr(cls, "action", "")
        super().__init_subclass__(
            template=rf"redraw:{action}:(?P<job>[0-9a-f]{{16}}):(?P<number>\d)(:(?P<owner>\d+))?"
        )

    @property
    def number(self) -> int:
        """The picture that the button acts on, from 1."""
        # Messages of earlier versions have 0 where no picture was selected.
        return max(1, int(self.match["number"]))

    async def act(self, interaction: Interaction) -> None:
        """Load the job, check the access rule, and run the action."""
        if self.refused_to_banned:
            await check_lists(interaction)
        job = await interaction.client.services.store.job(self.match["job"])
        if job is None or self.on_message_only:
            facts = JobFacts(
                owner=interaction.user.id == self._owner_id(interaction.message),
                here=channel_here(interaction),
                origin=None,
                stored=False,
            )
        else:
            facts = await job_facts(interaction, job)
        raise_refusal(decide(self.access, facts))
        if job is None:
            await self.run_without_job(interaction)
        else:
            await self.run(interaction, job)

    def _owner_id(self, message: discord.Message | None) -> int | None:
        """The owner in the custom id, else the user whose command or button the message answers."""
        if self.match["owner"]:
            return int(self.match["owner"])
        metadata = message.interaction_metadata if message else None
        return metadata.user.id if metadata else None

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Do what the button says. The access rule has been checked."""
        raise NotImplementedError

    async def run_without_job(self, interaction: Interaction) -> None:
        """Do what the button says after the job was erased. The access rule has been checked.

        The policy allows `OWNER_OR_MODERATOR` and `MESSAGE` actions only, so other actions never
        get here.
        """
        raise NotImplementedError


async def check_lists(interaction: Interaction) -> None:
    """Check the lists of users and roles for this place.

    Raises:
        ModerationRefusal: the user may not use the bot here.
    """
    bot, user = interaction.client, interaction.user
    roles = user.roles if isinstance(user, discord.Member) else []
    place = place_of(bot, interaction.guild_id, interaction.channel_id or 0)
    await bot.services.moderation.users.check_lists(place, user.id, {role.id for role in roles})


def rows(buttons: Sequence[discord.ui.Button[discord.ui.LayoutView]]) -> Iterator[Row]:
    """The buttons in action rows of five; six in two rows of three, as on a sheet of six."""
    length = 3 if len(buttons) == 6 else ROW_LIMIT
    for start in range(0, len(buttons), length):
        yield Row(*buttons[start : start + length])
