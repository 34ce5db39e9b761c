"""The bot with two shards: requests from servers of both are answered."""

from __future__ import annotations

from pathlib import Path

from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import open_simulated_discord

CAT = ("cat.png", file_of(photo(160, 128)))


async def test_a_bot_with_two_shards_answers_in_the_servers_of_both(tmp_path: Path) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService(), shards=2) as discord_sim:
        channels = []
        for shard in (0, 1):
            guild = discord_sim.env.create_guild(f"server of shard {shard}", shard_id=shard)
            user = guild.add_member(discord_sim.env.create_user(f"user {shard}"))
            channels.append((guild.create_text_channel("pictures"), user))
        assert set(discord_sim.bot.shards) == {0, 1}
        for channel, user in channels:
            await user.slash(channel, "img2img", prompt="a fox", image=CAT)
        await discord_sim.settled()
        for channel, _ in channels:
            assert channel.last_message is not None
            assert channel.last_message.attachments
