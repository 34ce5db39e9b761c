"""The forms of the panel: numbers of the server, and the limits of a role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import discord

from bot.config import Settings
from bot.i18n.translate import translate
from bot.jobs.budgets import MAX_PICTURES, NO_LIMITS
from bot.moderation.actions import Moderator
from bot.moderation.model import GuildPolicy
from bot.store.guild_settings import GuildOptions
from cogs.settings._access import check_manager
from cogs.shared.forms import Form, TextInput, number_in

Submitted = Callable[[discord.Interaction[Any], discord.Guild], Awaitable[None]]

SECONDS_A_DAY = 24 * 3600
MAX_COOLDOWN_SECONDS = 6 * 3600
MAX_STEPS = 150
MIN_RETENTION_HOURS = 0.1


class NumbersForm(Form):
    """Five numbers within the operator's bounds; an empty field stands for the default.

    `submitted` is called when they are stored.
    """

    def __init__(
        self,
        operator: Settings,
        options: GuildOptions,
        policy: GuildPolicy,
        locale: str,
        *,
        submitted: Submitted,
    ) -> None:
        super().__init__(translate(locale, "settings.form.title"), locale)
        self._copy = partial(NumbersForm, operator, options, policy, locale, submitted=submitted)
        self._submitted = submitted
        server = operator.server_seconds_a_day or SECONDS_A_DAY
        # Key of the label → value, lower bound, upper bound.
        fields = {
            "settings.form.strength": (options.strength, 0.05, 1.0),
            "settings.form.retention": (
                options.retention_hours,
                min(MIN_RETENTION_HOURS, operator.retention_hours),
                operator.retention_hours,
            ),
            "settings.form.threshold": (policy.threshold, 0.0, operator.moderation_threshold),
            "settings.form.age_restricted": (policy.age_restricted_threshold, 0.0, 1.0),
            "settings.form.server": (options.server_seconds, 0.0, server),
        }
        self._numbers: list[tuple[TextInput, str, float, float]] = []
        for key, (value, low, high) in fields.items():
            label = translate(locale, key, limit=f"{high:g}")
            default = "" if value is None else f"{value:g}"
            name = key.removeprefix("settings.form.")
            field = self.field(label, default, custom_id=name, max_length=10)
            self._numbers.append((field, label, low, high))

    def copy(self) -> NumbersForm:
        """See `Form`."""
        return self._copy()

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Check the numbers, store them and show them in the panel.

        Raises:
            NotANumberBetween: a field is not a number in its range; nothing is changed.
        """
        guild = check_manager(interaction)
        services = interaction.client.services
        strength, retention, threshold, age_restricted, server = (
            number_in(field.value, label, low, high) if field.value.strip() else None
            for field, label, low, high in self._numbers
        )
        lists = services.moderation.lists
        policy = replace(
            await lists.policy(guild.id),
            threshold=threshold,
            age_restricted_threshold=age_restricted,
        )
        await services.store.guild_settings.change(
            guild.id, strength=strength, retention_hours=retention, server_seconds=server
        )
        if policy != await lists.policy(guild.id):
            by = Moderator(guild.id, interaction.user.id)
            await services.moderator_actions.set_policy(by, policy)
        await self._submitted(interaction, guild)


class LimitsForm(Form):
    """The limits of a role, or of everybody; an empty field sets no limit.

    Models and private mode are set with `/settings limits` and are not changed here.
    """

    def __init__(
        self, options: GuildOptions, key: int, locale: str, *, submitted: Submitted
    ) -> None:
        super().__init__(translate(locale, "settings.form.limits"), locale)
        self._copy = partial(LimitsForm, options, key, locale, submitted=submitted)
        self._submitted = submitted
        self._key = key
        current = options.limits.get(key, NO_LIMITS)
        # Key of the label → value, lower bound, upper bound.
        fields: dict[str, tuple[float | None, float, float]] = {
            "settings.form.seconds_a_day": (current.seconds_a_day, 0, SECONDS_A_DAY),
            "settings.form.cooldown_seconds": (current.cooldown_seconds, 0, MAX_COOLDOWN_SECONDS),
            "settings.form.steps": (current.steps, 1, MAX_STEPS),
            "settings.form.pictures": (current.pictures, 1, MAX_PICTURES),
            "settings.form.megapixels": (current.megapixels, 0.01, 100),
        }
        self._numbers: list[tuple[str, TextInput, str, float, float]] = []
        for label_key, (value, low, high) in fields.items():
            label = translate(locale, label_key)
            default = "" if value is None else f"{value:g}"
            name = label_key.removeprefix("settings.form.")
            field = self.field(label, default, custom_id=name, max_length=10)
            self._numbers.append((name, field, label, low, high))

    def copy(self) -> LimitsForm:
        """See `Form`."""
        return self._copy()

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Check the numbers, store them and show them in the panel.

        Raises:
            NotANumberBetween: a field is not a number in its range; nothing is changed.
        """
        guild = check_manager(interaction)
        settings = interaction.client.services.store.guild_settings
        limits = dict((await settings.options(guild.id)).limits)
        values = {
            name: number_in(field.value, label, low, high) if field.value.strip() else None
            for name, field, label, low, high in self._numbers
        }
        whole = {
            name: None if value is None else int(value)
            for name, value in values.items()
            if name in ("cooldown_seconds", "steps", "pictures")
        }
        changed = limits.pop(self._key, NO_LIMITS).model_copy(update=values | whole)
        if changed != NO_LIMITS:
            limits[self._key] = changed
        await settings.change(
            guild.id, limits={key: each.model_dump() for key, each in limits.items()}
        )
        await self._submitted(interaction, guild)
