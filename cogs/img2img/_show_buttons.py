"""The buttons that show a job's pictures in another form: *Before/after*, *Depth*, *Larger*."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import discord

from bot.delivery.message import Upload
from bot.jobs.job import Job
from cogs.img2img._detail import detail_menu
from cogs.img2img._uploads import animation, before_after, depth_map, larger
from cogs.requests.posting import check_posting
from cogs.shared.access import AccessRule
from cogs.shared.errors import JobNotFound
from cogs.shared.job_buttons import Action, Interaction, JobAction, JobButton, check_lists
from cogs.shared.renderer import block, credit, media_gallery, title


class _Shown(JobAction):
    """Shows a file to the user alone. The owner gets buttons that post it for all."""

    access = AccessRule.SOURCE
    offered: Sequence[Action] = ()

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Show the file."""
        await self.acknowledge(interaction)
        upload = await self.make(interaction, job)
        owner = job.user_id == interaction.user.id
        offered = [action for action in self.offered if owner or action is Action.ANIMATE]
        buttons = [JobButton(action, job, self.number) for action in offered]
        await _reply(interaction, block(media_gallery([upload]), buttons=buttons), upload)

    async def acknowledge(self, interaction: Interaction) -> None:
        """Answer with a new message."""
        await interaction.response.defer(thinking=True, ephemeral=True)

    async def make(self, interaction: Interaction, job: Job) -> Upload:
        """Make the file. Raises what `cogs.img2img._uploads` names."""
        raise NotImplementedError


class Compare(_Shown):
    """Show the source and the result side by side."""

    action = Action.COMPARE
    offered = (Action.POST_COMPARE, Action.ANIMATE)

    async def make(self, interaction: Interaction, job: Job) -> Upload:
        """Make the file."""
        return await before_after(interaction, job, self)


class Animate(_Shown):
    """Replace the comparison by an animation that wipes from the source to the result."""

    action = Action.ANIMATE
    offered = (Action.POST_ANIMATION,)

    async def acknowledge(self, interaction: Interaction) -> None:
        """Answer in the message with the button."""
        await interaction.response.defer()

    async def make(self, interaction: Interaction, job: Job) -> Upload:
        """Make the file."""
        return await animation(interaction, job, self)


class Depth(_Shown):
    """Show the depth map that the model used."""

    action = Action.DEPTH
    offered = (Action.POST_DEPTH,)

    async def make(self, interaction: Interaction, job: Job) -> Upload:
        """Make the file."""
        return await depth_map(interaction, job, self)


class _Posted(JobAction):
    """Posts a file for all that a button above showed to the owner. The owner can remove it."""

    access = AccessRule.PUBLISH

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Post the file, with the prompt and the owner's name.

        Raises:
            UserError: it may not be posted here; see `_begin_post`.
        """
        await _begin_post(interaction, job)
        upload = await self.make(interaction, job)
        view = block(
            title(job),
            media_gallery([upload]),
            credit(job),
            buttons=[JobButton(Action.DISCARD, job)],
        )
        await _reply(interaction, view, upload)

    async def make(self, interaction: Interaction, job: Job) -> Upload:
        """Make the file. Raises what `cogs.img2img._uploads` names."""
        raise NotImplementedError


class PostCompare(_Posted):
    """Post the comparison."""

    action = Action.POST_COMPARE

    async def make(self, interaction: Interaction, job: Job) -> Upload:
        """Make the file."""
        return await before_after(interaction, job, self)


class PostAnimation(_Posted):
    """Post the animation."""

    action = Action.POST_ANIMATION

    async def make(self, interaction: Interaction, job: Job) -> Upload:
        """Make the file."""
        return await animation(interaction, job, self)


class PostDepth(_Posted):
    """Post the depth map."""

    action = Action.POST_DEPTH

    async def make(self, interaction: Interaction, job: Job) -> Upload:
        """Make the file."""
        return await depth_map(interaction, job, self)


class Larger(JobAction):
    """Show the result at twice its posted size; post it if the owner pressed a public message."""

    action = Action.LARGER
    times: ClassVar[int] = 2
    post: ClassVar[Action] = Action.POST_LARGER
    access = AccessRule.RESULT

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Show or post the enlarged picture with the prompt, the owner's name and buttons."""
        public = _is_public_here(interaction, job)
        owner = job.user_id == interaction.user.id
        if public and owner:
            last = [Action.DISCARD]
        else:
            # Only its user can delete an ephemeral message, in Discord's own menu.
            here = job.destination.channel_id == interaction.channel_id
            last = [self.post] if owner and here else []
        await self.show(interaction, job, last, ephemeral=not (public and owner))

    async def show(
        self, interaction: Interaction, job: Job, last: Sequence[Action], *, ephemeral: bool
    ) -> None:
        """Reply with the enlarged picture; `last` are its last buttons.

        Raises:
            UserError: the user may not use the bot here, or a public reply is not allowed here.
        """
        if ephemeral:
            await check_lists(interaction)
            await interaction.response.defer(thinking=True, ephemeral=True)
        else:
            await _begin_post(interaction, job)
        upload, text = await larger(interaction, job, self, self.times)
        actions = [] if self.times == LargerStill.times else [Action.LARGER4]
        actions += [Action.AGAIN, Action.EDIT, Action.USE, Action.FAVOURITE, *last]
        view = block(
            title(job),
            media_gallery([upload]),
            text + "\n" + credit(job),
            menu=detail_menu(interaction.client.services, job, self.number, self.times),
            buttons=[JobButton(action, job, self.number) for action in actions],
        )
        await _reply(interaction, view, upload)


class LargerStill(Larger):
    """Show the result at four times its posted size."""

    action = Action.LARGER4
    times = 4
    post = Action.POST_LARGER4


class PostLarger(Larger):
    """Post the enlarged picture that its owner was shown."""

    action = Action.POST_LARGER
    access = AccessRule.PUBLISH

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Post it."""
        await self.show(interaction, job, [Action.DISCARD], ephemeral=False)


class PostLargerStill(PostLarger):
    """Post the result at four times its posted size."""

    action = Action.POST_LARGER4
    times = 4


SHOW_BUTTONS = (
    *(Compare, Animate, Depth, Larger, LargerStill),
    *(PostCompare, PostAnimation, PostDepth, PostLarger, PostLargerStill),
)


def _is_public_here(interaction: Interaction, job: Job) -> bool:
    """Whether the pressed message is public, and in the channel in which the job was requested.

    Only then have the readers of the channel seen the prompt and the result.
    """
    message = interaction.message
    here = job.destination.channel_id == interaction.channel_id
    return here and message is not None and not message.flags.ephemeral


async def _begin_post(interaction: Interaction, job: Job) -> None:
    """Check the post and acknowledge it with a public message, which is recorded before it shows
    anything, so that it is deleted with the job.

    Raises:
        UserError: the user or the bot may not post here; see `check_posting`.
        PromptRefused, ChecksUnavailable: the prompt may not be posted here.
        JobNotFound: the job was deleted.
    """
    services, channel_id = interaction.client.services, interaction.channel_id or 0
    await check_posting(interaction)
    response = await interaction.response.defer(thinking=True)
    assert response is not None
    assert response.message_id is not None
    if not await services.store.sharing.add_copy(job.id, channel_id, response.message_id):
        raise JobNotFound
    await services.checks.check_posted_prompt(job, interaction.guild_id, channel_id)


async def _reply(interaction: Interaction, view: discord.ui.LayoutView, upload: Upload) -> None:
    try:
        await interaction.edit_original_response(view=view, attachments=[upload.file()])
    except discord.NotFound as error:
        # The message was deleted with its job while the picture was made.
        raise JobNotFound from error
