"""The text of `/admin statistics`: numbers only, no contents and no users."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass

from bot.client import RedrawBot
from bot.i18n.durations import duration
from bot.i18n.lists import cut_list
from bot.i18n.translate import translate
from bot.store.ledger import DIRECT_MESSAGES, day_of, renewal
from cogs.shared.text import plain
from inference import ReplicaSnapshot

DAY_SECONDS = 24 * 3600.0
# A message holds 2,000 characters; title, total and waiting times take less than 400.
SERVER_CHARACTERS, REFUSAL_CHARACTERS, REPLICA_CHARACTERS = 800, 300, 500
NAME_CHARACTERS = 40


@dataclass(slots=True)
class _Sum:
    requests: int = 0
    pictures: int = 0
    seconds: float = 0.0


async def statistics_text(bot: RedrawBot, days: int, locale: str) -> str:
    """Requests, pictures and device seconds of the last days by server, waiting times of the
    stored requests, and refusals since the start."""
    services = bot.services
    began = renewal(time.time()) - days * DAY_SECONDS
    servers: dict[int, _Sum] = defaultdict(_Sum)
    for row in await services.store.ledger.usage(day_of(began)):
        for sums in (servers[row.guild_id], servers[-1]):
            sums.requests += row.requests
            sums.pictures += row.pictures
            sums.seconds += row.seconds
    total = servers.pop(-1, _Sum())
    lines = [
        translate(locale, "admin.statistics.title", days=days),
        _line(locale, translate(locale, "admin.statistics.total"), total),
    ]
    ordered = sorted(servers.items(), key=lambda item: -item[1].seconds)
    if ordered:
        of_servers = [
            _line(locale, _name(bot, guild_id, locale), sums) for guild_id, sums in ordered
        ]
        lines.append(cut_list(of_servers, locale, limit=SERVER_CHARACTERS, separator="\n"))
    waits = await services.store.ledger.waiting_times(began)
    if waits:
        lines.append(
            translate(
                locale,
                "admin.statistics.waits",
                median=duration(locale, waits[len(waits) // 2]),
                slowest=duration(locale, waits[int(0.95 * (len(waits) - 1))]),
            )
        )
    refusals = sorted(bot.metrics.refusals().items(), key=lambda item: -item[1])
    if refusals:
        reasons = [f"{reason} {count}" for reason, count in refusals]
        text = cut_list(reasons, locale, limit=REFUSAL_CHARACTERS)
        lines.append(translate(locale, "admin.statistics.refusals", refusals=text))
    replicas = [_replica(locale, replica) for replica in services.inference.status.replicas]
    if replicas:
        lines.append(cut_list(replicas, locale, limit=REPLICA_CHARACTERS, separator="\n"))
    return "\n".join(lines)


def _replica(locale: str, replica: ReplicaSnapshot) -> str:
    return translate(
        locale,
        "admin.statistics.replica",
        name=replica.name,
        state=str(replica.state),
        device=replica.device,
        models=", ".join(replica.models) or "–",
        rows=replica.rows_per_call,
        memory=f"{replica.resident_bytes / 2**20:.0f}",
        restarts=replica.restarts,
    )


def _line(locale: str, name: str, sums: _Sum) -> str:
    return translate(
        locale,
        "admin.statistics.line",
        name=name,
        requests=sums.requests,
        pictures=sums.pictures,
        seconds=f"{sums.seconds:.0f}",
    )


def _name(bot: RedrawBot, guild_id: int, locale: str) -> str:
    if guild_id == DIRECT_MESSAGES:
        return translate(locale, "admin.statistics.direct")
    guild = bot.get_guild(guild_id)
    return f"{plain(guild.name, NAME_CHARACTERS)} ({guild_id})" if guild else str(guild_id)
