"""The forms of the panel: numbers of the server, and the limits of a role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import discord

from bot.config import Settings
from bot.i18n.translate import translate
from bot.jobs.budgets import NO_LIMITS
from bot.moderation.actions import Moderator
from bot.moderation.model import GuildPolicy
from bot.store.guild_settings import GuildOptions
from cogs.settings._access import check_manager
from cogs.settings._bounds import LIMIT_BOUNDS, number_bounds
from cogs.shared.forms import Form, TextInput, number_in

Submitted = Callable[[discord.Interaction[Any], discord.Guild], Awaitable[None]]


# The numbers that belong to moderation; the others are settings of the server.
POLICY_NUMBERS = ("threshold", "age_restricted_threshold")


class NumbersForm(Form):
    """Numbers within the operator's bounds; an empty field stands for the default.

    `strength` is whether a configured model has a strength. `submitted` is called when the numbers
    are stored.
    """

    def __init__(
        self,
        operator: Settings,
        options: GuildOptions,
        policy: GuildPolicy,
        locale: str,
        *,
        strength: bool,
        submitted: Submitted,
    ) -> None:
        super().__init__(translate(locale, "settings.form.title"), locale)
        self._copy = partial(
            NumbersForm, operator, options, policy, locale, strength=strength, submitted=submitted
        )
        self._submitted = submitted
        bounds = number_bounds(operator)
        # Key of the label → value, name of the field in `bounds`.
        fields = {
            "settings.form.strength": (options.strength, "strength"),
            "settings.form.retention": (options.retention_hours, "retention_hours"),
            "settings.form.threshold": (policy.threshold, "threshold"),
            "settings.form.age_restricted": (
                policy.age_restricted_threshold,
                "age_restricted_threshold",
            ),
            "settings.form.server": (options.server_seconds, "server_seconds"),
        }
        if not strength:
            del fields["settings.form.strength"]
        self._numbers: dict[str, tuple[TextInput, str, float, float]] = {}
        for key, (value, bounded) in fields.items():
            low, high = bounds[bounded]
            label = translate(locale, key, limit=f"{high:g}")
            default = "" if value is None else f"{value:g}"
            name = key.removeprefix("settings.form.")
            field = self.field(label, default, custom_id=name, max_length=10)
            self._numbers[bounded] = (field, label, low, high)

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
        numbers = {
            name: number_in(field.value, label, low, high) if field.value.strip() else None
            for name, (field, label, low, high) in self._numbers.items()
        }
        policy = {name: numbers.pop(name) for name in POLICY_NUMBERS}
        write_options = partial(services.store.guild_settings.write_changes, guild.id, **numbers)
        moderator = Moderator(guild.id, interaction.user.id)
        await services.moderator_actions.change_policy(moderator, also=write_options, **policy)
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
        self._numbers: list[tuple[str, TextInput, str, float, float]] = []
        for name, (low, high) in LIMIT_BOUNDS.items():
            label = translate(locale, f"settings.form.{name}")
            value = getattr(current, name)
            default = "" if value is None else f"{value:g}"
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
        values = {
            name: number_in(field.value, label, low, high) if field.value.strip() else None
            for name, field, label, low, high in self._numbers
        }
        whole = {
            name: None if value is None else int(value)
            for name, value in values.items()
            if name in ("cooldown_seconds", "steps", "pictures")
        }
        await settings.change_limits(
            guild.id, self._key, lambda stored: stored.model_copy(update=values | whole)
        )
        await self._submitted(interaction, guild)
