"""The `/img2img` command: acknowledge, find the picture, accept the job."""

from __future__ import annotations

import secrets
import time

import discord
from discord import app_commands
from discord.app_commands import Range
from discord.ext import commands

from bot.client import RedrawBot
from bot.delivery import check_permissions
from bot.jobs.job import Destination, Job, Variant, new_job_id
from bot.words import word
from cogs.img2img.errors import EmptyPrompt, ModelBroken, TooManySteps
from cogs.img2img.sources import find_source
from inference import ServiceState

# Seeds fit in 32 bits, so that they can be read, typed and passed to other tools.
MAX_SEED = 2**32 - 1
# An interaction token is good for 15 minutes.
# https://discord.com/developers/docs/interactions/receiving-and-responding#followup-messages
TOKEN_SECONDS = 15 * 60


class Img2Img(commands.Cog):
    """`/img2img`."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    @app_commands.command(name=word("img2img.command"), description=word("img2img.description"))
    @app_commands.describe(
        prompt=word("img2img.option.prompt"),
        image=word("img2img.option.image"),
        url=word("img2img.option.url"),
        negative_prompt=word("img2img.option.negative_prompt"),
        strength=word("img2img.option.strength"),
        steps=word("img2img.option.steps"),
        guidance=word("img2img.option.guidance"),
        seed=word("img2img.option.seed"),
    )
    async def img2img(
        self,
        interaction: discord.Interaction[RedrawBot],
        prompt: Range[str, 1, 1000],
        image: discord.Attachment | None = None,
        url: Range[str, 1, 2000] | None = None,
        negative_prompt: Range[str, 1, 1000] | None = None,
        strength: Range[float, 0.05, 1.0] | None = None,
        steps: Range[int, 1, 150] | None = None,
        guidance: Range[float, 1.0, 20.0] | None = None,
        seed: Range[int, 0, MAX_SEED] | None = None,
    ) -> None:
        """Redraw one picture."""
        services = self.bot.services
        model = services.model
        prompt = prompt.strip()
        if not prompt:
            raise EmptyPrompt
        steps = steps or model.steps
        if steps > services.settings.max_steps:
            raise TooManySteps(limit=services.settings.max_steps)
        if services.inference.status.state is ServiceState.FAILED:
            raise ModelBroken
        check_permissions(interaction)
        acknowledged = await interaction.response.defer(thinking=True)
        assert acknowledged is not None
        assert acknowledged.message_id is not None
        source = await find_source(interaction, image, url)
        picture = await services.intake.from_bytes(
            source.data, pixels=model.pixels, multiple=model.multiple
        )
        job = Job(
            id=new_job_id(),
            user_id=interaction.user.id,
            destination=Destination(
                application_id=interaction.application_id,
                channel_id=interaction.channel_id or 0,
                guild_id=interaction.guild_id,
                message_id=acknowledged.message_id,
                token=interaction.token,
                token_expires_at=interaction.created_at.timestamp() + TOKEN_SECONDS,
                upload_limit=interaction.filesize_limit,
            ),
            source=await services.store.pictures.put(picture),
            source_name=source.name,
            width=picture.width,
            height=picture.height,
            prompt=prompt,
            negative_prompt=(negative_prompt or "").strip(),
            steps=steps,
            guidance_scale=model.guidance_scale if guidance is None else guidance,
            variants=(
                Variant(
                    seed=secrets.randbelow(MAX_SEED + 1) if seed is None else seed,
                    strength=model.strength if strength is None else strength,
                ),
            ),
            spoiler=source.spoiler,
            locale=str(interaction.locale),
            weight=_weight(interaction, services.settings.role_weights),
            model=model.name,
            created_at=time.time(),
        )
        await services.runner.accept(job)


def _weight(interaction: discord.Interaction[RedrawBot], weights: dict[int, int]) -> int:
    """How many turns a person gets in a round: the best of their roles."""
    roles = interaction.user.roles if isinstance(interaction.user, discord.Member) else []
    return max((weights[role.id] for role in roles if role.id in weights), default=1)
