"""Turns a user's request, from any command or button, into an accepted job."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable

import discord

from bot.client import RedrawBot, Services
from bot.commands.allowed_places import check_place
from bot.errors import ModelFailed
from bot.jobs.admission import Reservation
from bot.jobs.budgets import check_limits, check_pictures, check_private
from bot.jobs.job import Destination, Job, Reference, new_job_id
from bot.jobs.options import options_for
from bot.moderation.model import Place
from bot.moderation.place import place_of
from bot.permissions import check_permissions
from cogs.requests.draft import MAX_SEED, MAX_STEPS, Draft
from cogs.requests.new_detail import check_tiles
from cogs.requests.pictures.stored_source import StoredSource, discard
from cogs.requests.prompt import in_words
from cogs.requests.tasks import check_options, model_for
from cogs.requests.terms import Terms, check_server_place, role_ids_of, terms_for
from cogs.requests.variants import variants_of
from cogs.shared.access import ChannelFacts
from cogs.shared.channel_facts import channel_here
from cogs.shared.errors import EmptyPrompt, TooManySteps
from inference import ServiceState

# An interaction token is valid for 15 minutes.
# https://discord.com/developers/docs/interactions/receiving-and-responding#followup-messages
TOKEN_SECONDS = 15 * 60


def check_draft(
    draft: Draft,
    services: Services,
    *,
    guild: discord.Guild | None,
    users: Iterable[discord.User | discord.Member],
) -> Draft:
    """Check all that can be checked before the source is fetched.

    Returns the draft with its prompts as the model reads them: stripped, and with Discord's markup
    in words. `users` are those whose names are known.

    Raises:
        EmptyPrompt, TooManySteps, NoSuchStyle: the draft is not valid.
        RequestError: the model does not have the task or a setting, see `check_options`, or cannot
            redraw in tiles.
        ModelFailed: the model cannot run.
    """
    users = list(users)
    draft = dataclasses.replace(
        draft,
        prompt=in_words(draft.prompt, guild, users),
        negative_prompt=in_words(draft.negative_prompt, guild, users),
    )
    if not draft.prompt:
        raise EmptyPrompt
    check_options(services, draft)
    limit = services.settings.max_steps
    if draft.steps is not None and draft.steps > limit:
        raise TooManySteps(limit=limit)
    services.styles.apply(draft.style, draft.prompt, draft.negative_prompt)
    if draft.tile is not None:
        check_tiles(services, draft)
    if services.inference.status.state is ServiceState.FAILED:
        raise ModelFailed
    return draft


async def check_user(
    bot: RedrawBot, user: discord.User | discord.Member, guild_id: int | None, channel_id: int
) -> None:
    """Check bans, allow lists, the server's channels and roles, budgets, and the time since the
    user's last request, before anything is fetched.

    Raises:
        NotInThisChannel, RoleNeeded: the server does not let the user use the bot here.
        BudgetExceeded: the user or the server has used the day's budget.
        ModerationRefusal: the user may not use the bot here, or not yet.
    """
    terms = await terms_for(bot.services, user, guild_id)
    check_server_place(terms.options, user, channel_id, bot.get_channel(channel_id))
    await bot.services.runner.accounting.check_left(user.id, guild_id, terms.allowance)
    await bot.services.moderation.users.check(
        place_of(bot, guild_id, channel_id),
        user.id,
        role_ids_of(user),
        cooldown_seconds=terms.limits.cooldown_seconds or 0,
    )


async def acknowledge(
    interaction: discord.Interaction[RedrawBot], *, private: bool = False
) -> Destination:
    """Defer the reply, within Discord's three seconds; return the message that becomes the answer.

    Raises:
        MissingPermissions: the bot may not post the picture here.
        ModerationRefusal: the user may not use the bot here, or not yet.
    """
    check_place(interaction.client.services.settings, interaction.guild_id)
    check_permissions(interaction)
    await check_user(
        interaction.client, interaction.user, interaction.guild_id, interaction.channel_id or 0
    )
    response = await interaction.response.defer(thinking=True, ephemeral=private)
    assert response is not None
    assert response.message_id is not None
    assert interaction.channel_id is not None
    return Destination(
        application_id=interaction.application_id,
        channel_id=interaction.channel_id,
        guild_id=interaction.guild_id,
        message_id=response.message_id,
        token=interaction.token,
        # This machine's clock, because delivery compares with it.
        token_expires_at=time.time() + TOKEN_SECONDS,
        # Discord makes the reply ephemeral where the user may not use external apps.
        private=private or response.is_ephemeral(),
        upload_limit=interaction.filesize_limit,
    )


async def submit_request(
    interaction: discord.Interaction[RedrawBot],
    draft: Draft,
    find_source: Callable[[], Awaitable[StoredSource]],
    *,
    expected: StoredSource | None = None,
) -> Job:
    """Check, acknowledge and submit the request of an interaction.

    `find_source` is called when the request has a place in the queue; a user's requests are
    prepared one at a time. `expected` is the source as far as it is known before: limits and
    budgets are checked with it first, so that a refused request costs no work.

    Raises:
        UserError: the request is refused; nothing of it is stored.
    """
    services = interaction.client.services
    draft = check_draft(draft, services, guild=interaction.guild, users=[interaction.user])
    terms = await terms_for(services, interaction.user, interaction.guild_id)
    check_pictures(terms.limits, draft.pictures)
    if draft.private:
        check_private(terms.limits)
    destination = await acknowledge(interaction, private=bool(draft.private))
    user, locale, here = interaction.user, str(interaction.locale), channel_here(interaction)
    if expected is not None:
        job = _new_job(services, draft, expected, destination, user, locale, here, terms)
        check_limits(terms.limits, job, private=bool(draft.private))
        await services.runner.accounting.check(job, terms.allowance)
    async with services.runner.reserve(user.id, draft.pictures) as reservation:
        return await submit(
            services,
            draft,
            await find_source(),
            destination,
            user=user,
            locale=locale,
            here=here,
            reservation=reservation,
        )


async def submit(
    services: Services,
    draft: Draft,
    source: StoredSource,
    destination: Destination,
    *,
    user: discord.User | discord.Member,
    locale: str,
    here: ChannelFacts,
    reservation: Reservation,
) -> Job:
    """Create the job and hand it to the runner, which answers it exactly once.

    `here` is the channel in which the user made the request, `reservation` its place in the queue.

    Raises:
        UserError: the queue does not accept the job; the pictures are deleted.
    """
    try:
        terms = await terms_for(services, user, destination.guild_id)
        job = _new_job(services, draft, source, destination, user, locale, here, terms)
        check_limits(terms.limits, job, private=bool(draft.private))
        # Another request of the user may have been accepted while this one waited for its turn.
        await services.moderation.users.check_wait(
            Place(destination.guild_id, destination.channel_id),
            user.id,
            terms.limits.cooldown_seconds or 0,
        )
    except BaseException:
        await discard(services, source)
        raise
    await services.runner.accept(job, reservation, terms.allowance)
    return job


def _new_job(
    services: Services,
    draft: Draft,
    source: StoredSource,
    destination: Destination,
    user: discord.User | discord.Member,
    locale: str,
    here: ChannelFacts,
    terms: Terms,
) -> Job:
    model = model_for(services, draft.task, draft.model)
    options = options_for(draft.task, model.options)
    styled = services.styles.apply(draft.style, draft.prompt, draft.negative_prompt)
    strength = 1.0
    if "strength" in options:
        strength = draft.strength or styled.strength or terms.options.strength or model.strength
    most_steps = min(services.settings.max_steps, terms.limits.steps or MAX_STEPS)
    seed = secrets.randbelow(MAX_SEED + 1) if draft.seed is None else draft.seed
    variants = variants_of(draft, services.styles, options, seed=seed, strength=strength)
    return Job(
        id=new_job_id(),
        user_id=user.id,
        destination=destination,
        source=source.stored,
        source_name=source.name,
        width=source.width,
        height=source.height,
        prompt=styled.prompt,
        negative_prompt=styled.negative_prompt if "negative_prompt" in options else "",
        steps=0 if draft.layout == "part" else draft.steps or min(model.steps, most_steps),
        guidance_scale=model.guidance_scale if draft.guidance is None else draft.guidance,
        variants=variants,
        task=draft.task,
        references=tuple(_reference(each, here) for each in source.references),
        layout=draft.layout,
        part=draft.part,
        part_threshold=draft.part_threshold,
        tile=draft.tile,
        mask=source.mask,
        structure=source.structure,
        style=draft.style,
        user_prompt=draft.prompt if draft.style else None,
        user_negative_prompt=draft.negative_prompt if draft.style else None,
        spoiler=source.spoiler,
        age_restricted=source.age_restricted or here.age_restricted,
        source_channel_id=source.channel_id if source.channel_id != here.id else None,
        parent_id=draft.parent_id,
        locale=locale if destination.private else terms.options.language or locale,
        weight=weight_of(user, services.settings.role_weights),
        model=model.name,
        created_at=time.time(),
    )


def _reference(source: StoredSource, here: ChannelFacts) -> Reference:
    assert source.stored is not None
    return Reference(
        stored=source.stored,
        width=source.width,
        height=source.height,
        name=source.name,
        channel_id=source.channel_id if source.channel_id != here.id else None,
    )


def weight_of(user: discord.User | discord.Member, weights: dict[int, int]) -> int:
    """The turns that the user gets in a round of the queue: the highest of their roles' weights."""
    return max((weights[id_] for id_ in role_ids_of(user) if id_ in weights), default=1)
