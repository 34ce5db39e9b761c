"""The requests that reach the engine: seeds, and the weights of a user's roles."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import open_simulated_discord

CAT = ("cat.png", file_of(photo(160, 128)))


@pytest.mark.parametrize(
    ("seed", "seeds"),
    [(0, [0, 1, 2]), (100, [100, 101, 102]), (2**32 - 2, [2**32 - 2, 2**32 - 1, 0])],
)
async def test_each_picture_of_a_request_has_the_next_seed(
    tmp_path: Path, seed: int, seeds: list[int]
) -> None:
    service = ScriptedService()
    async with open_simulated_discord(tmp_path, service) as sim:
        await sim.alice.slash(sim.channel, "img2img", prompt="a fox", image=CAT, count=3, seed=seed)
        await sim.settled()
        (job,) = await sim.bot.services.store.jobs_of(sim.alice.id)
    assert [variant.seed for variant in job.variants] == seeds
    assert [request.seed for request in service.requests] == seeds


async def test_without_a_seed_it_is_a_new_one(tmp_path: Path) -> None:
    service = ScriptedService()
    async with open_simulated_discord(tmp_path, service) as sim:
        for _ in range(2):
            await sim.alice.slash(sim.channel, "img2img", prompt="a fox", image=CAT)
            await sim.settled()
    first, second = service.requests
    assert first.seed != second.seed


async def test_the_highest_weight_of_a_users_roles_counts(tmp_path: Path) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService()) as sim:
        low, high = (sim.env.guild.create_role(name) for name in ("low", "high"))
        services = sim.bot.services
        services.settings.role_weights.update({low.id: 2, high.id: 5, 999: 9})
        add, user = sim.env.guild.add_member, sim.env.create_user
        members = {
            1: sim.alice,
            2: add(user("low"), roles=[low]),
            5: add(user("both"), roles=[low, high]),
        }
        for weight, member in members.items():
            await member.slash(sim.channel, "img2img", prompt="a fox", image=CAT)
            await sim.settled()
            (job,) = await services.store.jobs_of(member.id)
            assert job.weight == weight
