"""What the buttons do."""

from __future__ import annotations

import asyncio
import dataclasses
import io

import discord

from bot.client import Services
from bot.i18n.translate import translate
from bot.images.compose import enlarged, labelled, shown, shown_factor
from bot.images.encode import encode
from bot.images.picture import Picture
from bot.jobs.job import Job
from bot.replies import reply_privately
from cogs.img2img.modal import RequestModal
from cogs.img2img.request import (
    Draft,
    StoredSource,
    acknowledge,
    check_draft,
    draft_of,
    source_of,
    submit,
)
from cogs.shared.job_buttons import (
    ASK,
    AlreadyFinished,
    Interaction,
    JobNotFound,
    action,
    button,
    check_owner,
    rows,
)

# "Vary" changes little: the picture stays itself.
VARY_STRENGTH = 0.35
LARGER = 2


@action("cancel")
async def cancel(interaction: Interaction, job: Job, _number: int) -> None:
    """End a job that waits or runs."""
    check_owner(interaction, job)
    if not await interaction.client.services.runner.cancel(job.id):
        raise AlreadyFinished
    await reply_privately(interaction, translate(interaction.locale, "img2img.cancel.done"))


@action("again")
async def again(interaction: Interaction, job: Job, _number: int) -> None:
    """The same request with a new seed."""
    await _ask(interaction, draft_of(job), source_of(job))


@action("vary")
async def vary(interaction: Interaction, job: Job, number: int) -> None:
    """A little change, starting from the result."""
    chosen = await _chosen(interaction, job, number, "vary")
    if chosen is None:
        return
    draft = dataclasses.replace(draft_of(job), strength=VARY_STRENGTH, count=1)
    await _ask(interaction, draft, _result_as_source(interaction, job, chosen))


@action("strengths")
async def strengths(interaction: Interaction, job: Job, _number: int) -> None:
    """The same seed at four strengths, as one labelled picture."""
    draft = dataclasses.replace(
        draft_of(job), layout="grid", seed=job.variants[0].seed, strength=None
    )
    await _ask(interaction, draft, source_of(job))


@action("edit")
async def edit(interaction: Interaction, job: Job, _number: int) -> None:
    """A form, filled in as the request was."""
    draft = dataclasses.replace(draft_of(job), seed=job.variants[0].seed, count=1)
    await interaction.response.send_modal(
        RequestModal(draft, source_of(job), str(interaction.locale), submitted=_ask)
    )


@action("use")
async def use(interaction: Interaction, job: Job, number: int) -> None:
    """The result becomes the source of a new request."""
    chosen = await _chosen(interaction, job, number, "use")
    if chosen is None:
        return
    draft = dataclasses.replace(draft_of(job), strength=None, count=1)
    source = _result_as_source(interaction, job, chosen)
    await interaction.response.send_modal(
        RequestModal(draft, source, str(interaction.locale), submitted=_ask)
    )


@action("compare")
async def compare(interaction: Interaction, job: Job, number: int) -> None:
    """Source and result side by side, for whoever asks."""
    chosen = await _chosen(interaction, job, number, "compare")
    if chosen is None:
        return
    await interaction.response.defer(thinking=True, ephemeral=True)
    services = interaction.client.services
    both = [
        await asyncio.to_thread(shown, await _stored(services, content))
        for content in (job.source, chosen)
    ]
    words = (
        translate(interaction.locale, "img2img.before"),
        translate(interaction.locale, "img2img.after"),
    )
    sheet = await asyncio.to_thread(labelled, list(zip(both, words, strict=True)), 2)
    await _show(interaction, sheet, f"before-after-{job.id}")


@action("depth")
async def depth(interaction: Interaction, job: Job, _number: int) -> None:
    """The depth map that steered it, for whoever asks."""
    if job.depth is None:
        raise JobNotFound
    await interaction.response.defer(thinking=True, ephemeral=True)
    picture = await _stored(interaction.client.services, job.depth)
    await _show(interaction, await asyncio.to_thread(shown, picture), f"depth-{job.id}")


@action("larger")
async def larger(interaction: Interaction, job: Job, number: int) -> None:
    """Twice the size that it was posted in, and said how."""
    chosen = await _chosen(interaction, job, number, "larger")
    if chosen is None:
        return
    await interaction.response.defer(thinking=True, ephemeral=job.destination.private)
    picture = await _stored(interaction.client.services, chosen)
    factor = LARGER * shown_factor(picture.width, picture.height)
    made = await asyncio.to_thread(enlarged, picture, factor)
    text = translate(interaction.locale, "img2img.enlarged", width=made.width, height=made.height)
    await _show(interaction, made, f"redraw-{job.id}-large", text, spoiler=job.spoiler)


@action("delete")
async def delete(interaction: Interaction, job: Job, _number: int) -> None:
    """Take the message away and forget the job."""
    check_owner(interaction, job)
    await interaction.response.defer()
    await interaction.delete_original_response()
    await interaction.client.services.store.erase_job(job.id)


async def _ask(interaction: Interaction, draft: Draft, source: StoredSource) -> None:
    services = interaction.client.services
    draft = check_draft(draft, services)
    await _stored(services, source.stored)
    destination = await acknowledge(interaction, private=draft.private)
    await submit(
        services,
        draft,
        source,
        destination,
        user=interaction.user,
        locale=str(interaction.locale),
    )


async def _chosen(interaction: Interaction, job: Job, number: int, name: str) -> str | None:
    """The result that is meant; None if the person has been asked which."""
    results = [variant.result for variant in job.variants if variant.result]
    if not results:
        raise JobNotFound
    if len(results) == 1:
        return results[0]
    if number != ASK:
        return results[number - 1]
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(discord.ui.TextDisplay(translate(interaction.locale, "img2img.which")))
    numbered = [button(name, job, each) for each in range(1, len(results) + 1)]
    for each in numbered:
        each.item.label = f"{each.item.label} {each.number}"
    for row in rows(numbered):
        view.add_item(row)
    await interaction.response.send_message(view=view, ephemeral=True)
    return None


def _result_as_source(interaction: Interaction, job: Job, result: str) -> StoredSource:
    return dataclasses.replace(
        source_of(job),
        stored=result,
        name=translate(interaction.locale, "img2img.source.result", job=job.id),
    )


async def _stored(services: Services, name: str) -> Picture:
    try:
        return await services.store.pictures.get(name)
    except FileNotFoundError as error:
        raise JobNotFound from error


async def _show(
    interaction: Interaction,
    picture: Picture,
    name: str,
    text: str = "",
    *,
    spoiler: bool = False,
) -> None:
    made = await asyncio.to_thread(encode, picture, limit_bytes=interaction.filesize_limit)
    file = discord.File(io.BytesIO(made.data), f"{name}.{made.extension}", spoiler=spoiler)
    await interaction.edit_original_response(content=text, attachments=[file])
