"""`/img2img` as members use it: the real bot in a simulated Discord, a real pipeline in a real
worker process."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import discord
import pytest
from aiohttp import web
from PIL import Image

from inference import LocalService
from tests.support.pictures import file_of, photo
from tests.support.simulated_discord import open_simulated_discord, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

CAT = ("cat.png", file_of(photo(200, 150)))


@asynccontextmanager
async def web_site(**files: tuple[bytes, str]) -> AsyncIterator[int]:
    """Serves files by name on loopback; gives the port."""

    async def answer(request: web.Request) -> web.Response:
        data, kind = files[request.match_info["name"]]
        return web.Response(body=data, content_type=kind)

    app = web.Application()
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def picture_in(message: discord.Message) -> Image.Image:
    return Image.open(io.BytesIO(await message.attachments[0].read()))


async def test_an_attachment_comes_back_redrawn(
    tmp_path: Path, noise_service: LocalService
) -> None:
    async with open_simulated_discord(tmp_path, noise_service) as discord_sim:
        result = await discord_sim.alice.slash(
            discord_sim.channel,
            "img2img",
            prompt="a red fox",
            image=CAT,
            negative_prompt="blue",
            strength=0.5,
            steps=8,
            guidance=3.0,
            seed=7,
        )
        assert result.acknowledged
        await discord_sim.settled()
        text = text_of(discord_sim.last)
        picture = await picture_in(discord_sim.last)
        (job,) = await discord_sim.bot.services.store.jobs_of(discord_sim.alice.id)
        size = f"{job.width} × {job.height}"
        # The picture of a small model is posted enlarged.
        assert max(picture.size) >= 384 > max(job.width, job.height)
        assert picture.width / job.width == picture.height / job.height
        settings = ("strength 0.5", "8 steps", "guidance 3", "seed 7", size, " s")
        for said in ("a red fox", "without: blue", "cat.png", *settings):
            assert said in text
        assert "a red fox" in (discord_sim.last.attachments[0].description or "")
        assert "this picture is noise" not in text, "it is shown while the job waits and runs"


async def test_the_same_seed_gives_the_same_picture(
    tmp_path: Path, noise_service: LocalService
) -> None:
    async with open_simulated_discord(tmp_path, noise_service) as discord_sim:
        pictures = []
        for seed in (3, 3, 4):
            await discord_sim.alice.slash(
                discord_sim.channel, "img2img", prompt="x", image=CAT, seed=seed, steps=4
            )
            await discord_sim.settled()
            pictures.append((await picture_in(discord_sim.last)).tobytes())
        assert pictures[0] == pictures[1]
        assert pictures[0] != pictures[2]


async def test_a_link_is_followed(tmp_path: Path, noise_service: LocalService) -> None:
    page = b"<!doctype html><meta property='og:image' content='/cat'>"
    async with (
        web_site(cat=(CAT[1], "image/png"), page=(page, "text/html")) as port,
        open_simulated_discord(
            tmp_path, noise_service, allowed_hosts=("localhost",), allowed_ports=(port,)
        ) as discord_sim,
    ):
        for name in ("cat", "page"):
            await discord_sim.alice.slash(
                discord_sim.channel,
                "img2img",
                prompt=f"from the {name}",
                url=f"http://localhost:{port}/{name}",
                steps=2,
            )
            await discord_sim.settled()
            assert f"from the {name}" in text_of(discord_sim.last)
            assert "from a link" in text_of(discord_sim.last)
            assert discord_sim.last.attachments


@pytest.mark.parametrize(
    "pasted",
    [
        "{site}/cat {site}/page",
        "look (<{site}/cat>), and [this]({site}/page)!",
        "\u200b{site}/cat\n{site}/page\n{site}/cat",
    ],
)
async def test_of_two_pasted_links_the_first_is_taken_and_named(
    pasted: str, tmp_path: Path, noise_service: LocalService
) -> None:
    async with (
        web_site(cat=(CAT[1], "image/png"), page=(b"no picture", "text/plain")) as port,
        open_simulated_discord(
            tmp_path, noise_service, allowed_hosts=("localhost",), allowed_ports=(port,)
        ) as discord_sim,
    ):
        url = pasted.format(site=f"http://localhost:{port}")
        await discord_sim.alice.slash(
            discord_sim.channel, "img2img", prompt="a cat", url=url, steps=2
        )
        await discord_sim.settled()
        text = text_of(discord_sim.last).replace("\u200b", "")
        assert f"from the first of 2 links: http://localhost:{port}/cat" in text
        assert discord_sim.last.attachments


async def test_without_image_and_url_the_newest_picture_of_the_channel_is_taken_and_named(
    tmp_path: Path, noise_service: LocalService
) -> None:
    async with open_simulated_discord(tmp_path, noise_service, message_content=True) as discord_sim:
        await discord_sim.bob.send(
            discord_sim.channel, "old", attachments=[("old.png", file_of(photo(64, 64)))]
        )
        new = await discord_sim.bob.send(
            discord_sim.channel, "new", attachments=[("new.png", file_of(photo(90, 60)))]
        )
        await discord_sim.alice.send(discord_sim.channel, "no picture in this one")
        await discord_sim.alice.slash(discord_sim.channel, "img2img", prompt="x", steps=2)
        await discord_sim.settled()
        text = text_of(discord_sim.last)
        assert "new.png" in text
        assert new.jump_url in text
        assert discord_sim.bob.mention in text


async def test_a_link_to_a_message_takes_its_picture(
    tmp_path: Path, noise_service: LocalService
) -> None:
    async with open_simulated_discord(tmp_path, noise_service, message_content=True) as discord_sim:
        message = await discord_sim.bob.send(discord_sim.channel, "here", attachments=[CAT])
        await discord_sim.alice.slash(
            discord_sim.channel, "img2img", prompt="x", url=message.jump_url, steps=2
        )
        await discord_sim.settled()
        assert "cat.png" in text_of(discord_sim.last)
        assert discord_sim.last.attachments


async def test_a_linked_message_in_a_channel_that_the_user_cannot_see_is_refused(
    tmp_path: Path, noise_service: LocalService
) -> None:
    async with open_simulated_discord(tmp_path, noise_service, message_content=True) as discord_sim:
        guild = discord_sim.env.guild
        secret = guild.create_text_channel(
            "secret",
            overwrites={
                guild.default_role: discord.PermissionOverwrite(view_channel=False),
            },
        )
        staff = guild.create_role("staff", permissions=discord.Permissions.all())
        carol = guild.add_member(discord_sim.env.create_user("carol"), roles=[staff])
        message = await carol.send(secret, "ours", attachments=[CAT])
        result = await discord_sim.alice.slash(
            discord_sim.channel, "img2img", prompt="x", url=message.jump_url
        )
        assert result.followups[-1].ephemeral
        assert "cannot read that message" in result.followups[-1].content


async def test_it_works_in_direct_messages(tmp_path: Path, noise_service: LocalService) -> None:
    async with open_simulated_discord(tmp_path, noise_service) as discord_sim:
        dora = discord_sim.env.create_user("dora")
        await dora.slash("img2img", prompt="for me", image=CAT, steps=2)
        await discord_sim.settled()
        message = dora.dm_channel.last_message
        assert message is not None
        assert "for me" in text_of(message)
        assert message.attachments


async def test_every_option_is_described_and_ranged(
    tmp_path: Path, noise_service: LocalService
) -> None:
    async with open_simulated_discord(tmp_path, noise_service, max_steps=40) as discord_sim:
        command = next(c for c in discord_sim.bot.tree.get_commands() if c.name == "img2img")
        tree = discord_sim.bot.tree
        assert tree.translator is not None
        payload = await command.get_translated_payload(tree, tree.translator)
        options = {option["name"]: option for option in payload["options"]}
        assert [name for name, option in options.items() if option.get("required")] == ["prompt"]
        assert all(len(option["description"]) > 10 for option in options.values())
        ranges = {
            name: (option.get("min_value"), option.get("max_value"))
            for name, option in options.items()
            if option["type"] in (4, 10)
        }
        assert ranges == {
            "strength": (0.05, 1.0),
            "steps": (1, 40),
            "threshold": (0, 100),
            "guidance": (1.0, 20.0),
            "seed": (0, 2**32 - 1),
            "count": (1, 4),
        }


@pytest.mark.parametrize("allowed", [False, True])
async def test_user_installs_are_offered_only_if_the_operator_allows_them(
    tmp_path: Path, noise_service: LocalService, allowed: bool
) -> None:
    async with open_simulated_discord(tmp_path, noise_service, user_install=allowed) as discord_sim:
        command = next(c for c in discord_sim.bot.tree.get_commands() if c.name == "img2img")
        published = command.to_dict(discord_sim.bot.tree)
        assert (1 in published["integration_types"]) is allowed
        assert (2 in published["contexts"]) is allowed
