"""The panel of `/settings panel`: everything that the managers of a server can set.

All state is in the store, so that a panel works after a restart, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import discord

from bot.client import Services
from bot.i18n.durations import duration
from bot.i18n.lists import cut_list
from bot.i18n.translate import LANGUAGES, translate
from bot.jobs.budgets import EVERYONE, RoleLimits
from bot.moderation.actions import Moderator
from bot.moderation.model import GuildPolicy
from bot.store.guild_settings import GuildOptions
from cogs.requests.limit_text import limit_lines
from cogs.requests.tasks import has_strength, has_styles
from cogs.settings._access import channel_to_post_in, check_manager
from cogs.settings._bounds import MAX_LISTED, TEXT_CHANNELS, USED_CHANNELS
from cogs.settings._forms import LimitsForm, NumbersForm
from cogs.shared.guard import PersistentItem, SentComponent

View = discord.ui.LayoutView
Row = discord.ui.ActionRow[View]
LABEL_CHARACTERS = 100
# The panel may have 4,000 characters, and its other texts take less than 1,000. The limits of roles
# that do not fit are in the exported file.
LIMITS_CHARACTERS = 3000
SHOWN_MODEL_CHARACTERS = 200
# The value of the option that stands for the default.
NONE = "-"
LANGUAGE_NAMES = {
    "en": "English",
    "de": "Deutsch",
    "fr": "Français",
    "es": "Español",
    "ja": "日本語",
}


class _Channels(SentComponent, discord.ui.ChannelSelect[View]):
    pass


class _Roles(SentComponent, discord.ui.RoleSelect[View]):
    pass


class _Menu(SentComponent, discord.ui.Select[View]):
    pass


class _Button(SentComponent, discord.ui.Button[View]):
    pass


class SettingsItem(PersistentItem, template=r"redraw:settings:(?P<field>[a-z]+)"):
    """Stores a choice in one of the panel's menus and buttons."""

    async def act(self, interaction: discord.Interaction[Any]) -> None:
        """Check the permission, store the choice and show it."""
        field = self.match["field"]
        guild = check_manager(interaction)
        services: Services = interaction.client.services
        settings = services.store.guild_settings
        options = await settings.options(guild.id)
        policy = await services.moderation.lists.policy(guild.id)
        assert interaction.data is not None
        values: Sequence[str] = interaction.data.get("values", ())  # type: ignore[assignment]
        match field:
            case "numbers":
                locale = str(interaction.locale)
                form = NumbersForm(
                    services.settings,
                    options,
                    policy,
                    locale,
                    strength=has_strength(services),
                    submitted=show_panel,
                )
                await interaction.response.send_modal(form)
                return
            case "limits" | "everyone":
                key = int(values[0]) if values else EVERYONE
                if key == guild.id:
                    # The role @everyone has the server's id.
                    key = EVERYONE
                locale = str(interaction.locale)
                await interaction.response.send_modal(
                    LimitsForm(options, key, locale, submitted=show_panel)
                )
                return
            case "log":
                await services.moderator_actions.change_policy(
                    Moderator(guild.id, interaction.user.id),
                    log_channel_id=channel_to_post_in(guild, values),
                )
            case "mentions":
                await settings.update(
                    guild.id,
                    lambda stored: stored.model_copy(update={"mentions": not stored.mentions}),
                )
            case "gallery":
                await settings.change(guild.id, gallery=channel_to_post_in(guild, values))
            case "style" | "language":
                chosen = None if values[0] == NONE else values[0]
                await settings.change(guild.id, **{field: chosen})
            case "channels" | "roles":
                await settings.change(guild.id, **{field: tuple(map(int, values))})
        await show_panel(interaction, guild)


async def show_panel(interaction: discord.Interaction[Any], guild: discord.Guild) -> None:
    """Reply with the panel, or draw it in the message with the component, which may be the sentence
    about a mistake in a form."""
    services: Services = interaction.client.services
    options = await services.store.guild_settings.options(guild.id)
    policy = await services.moderation.lists.policy(guild.id)
    view = draw_panel(services, options, policy, str(interaction.locale))
    if interaction.message is None:
        await interaction.response.send_message(view=view, ephemeral=True)
    else:
        # Discord refuses components of the second version beside a text.
        content = None if interaction.message.content else discord.utils.MISSING
        await interaction.response.edit_message(content=content, view=view)


def draw_panel(
    services: Services, options: GuildOptions, policy: GuildPolicy, locale: str
) -> discord.ui.LayoutView:
    """The panel with the server's settings selected."""
    container = discord.ui.Container[View](
        discord.ui.TextDisplay(translate(locale, "settings.panel.title")),
        *_entity_menus(options, policy, locale),
        discord.ui.Separator(),
        *([Row(_style_menu(services, options, locale))] if has_styles(services) else ()),
        Row(_language_menu(options, locale)),
        discord.ui.TextDisplay("\n".join(_texts(services, options, policy, locale)).rstrip()),
        Row(
            _Roles(
                custom_id="redraw:settings:limits",
                placeholder=translate(locale, "settings.panel.limit_role"),
            )
        ),
        Row(
            _Button(
                label=translate(
                    locale,
                    "settings.panel.mentions_on"
                    if options.mentions
                    else "settings.panel.mentions_off",
                ),
                custom_id="redraw:settings:mentions",
            ),
            _Button(
                label=translate(locale, "settings.panel.numbers"),
                custom_id="redraw:settings:numbers",
            ),
            _Button(
                label=translate(locale, "settings.panel.limit_everyone"),
                custom_id="redraw:settings:everyone",
            ),
        ),
    )
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(container)
    return view


def _entity_menus(
    options: GuildOptions, policy: GuildPolicy, locale: str
) -> Iterator[Row | discord.ui.TextDisplay[View]]:
    """Each menu below its name: a menu with a choice shows no placeholder."""
    channel, role = discord.SelectDefaultValueType.channel, discord.SelectDefaultValueType.role
    one = {"gallery": options.gallery, "log": policy.log_channel_id}

    def chosen(
        ids: Sequence[int], kind: discord.SelectDefaultValueType
    ) -> list[discord.SelectDefaultValue]:
        return [discord.SelectDefaultValue(id=id_, type=kind) for id_ in ids[:MAX_LISTED]]

    yield discord.ui.TextDisplay(translate(locale, "settings.panel.channels"))
    yield Row(
        _Channels(
            custom_id="redraw:settings:channels",
            placeholder=translate(locale, "settings.panel.all_channels"),
            channel_types=USED_CHANNELS,
            min_values=0,
            max_values=MAX_LISTED,
            default_values=chosen(options.channels, channel),
        )
    )
    yield discord.ui.TextDisplay(translate(locale, "settings.panel.roles"))
    yield Row(
        _Roles(
            custom_id="redraw:settings:roles",
            placeholder=translate(locale, "settings.panel.all_members"),
            min_values=0,
            max_values=MAX_LISTED,
            default_values=chosen(options.roles, role),
        )
    )
    for field, key, none in (
        ("gallery", "settings.panel.gallery", "settings.panel.no_gallery"),
        ("log", "settings.panel.log", "settings.panel.no_log"),
    ):
        current = one[field]
        yield discord.ui.TextDisplay(translate(locale, key))
        yield Row(
            _Channels(
                custom_id=f"redraw:settings:{field}",
                placeholder=translate(locale, none),
                channel_types=TEXT_CHANNELS,
                min_values=0,
                max_values=1,
                default_values=chosen([] if current is None else [current], channel),
            )
        )


def _style_menu(services: Services, options: GuildOptions, locale: str) -> _Menu:
    names = list(services.styles.matching(""))[: MAX_LISTED - 1]
    texts = {NONE: translate(locale, "settings.panel.no_style")} | {name: name for name in names}
    return _menu("style", options.style, texts, locale, "settings.panel.style")


def _language_menu(options: GuildOptions, locale: str) -> _Menu:
    names = {NONE: translate(locale, "settings.panel.own_language")} | {
        language: LANGUAGE_NAMES[language] for language in LANGUAGES
    }
    return _menu("language", options.language, names, locale, "settings.panel.language")


def _menu(field: str, current: str | None, texts: dict[str, str], locale: str, key: str) -> _Menu:
    return _Menu(
        custom_id=f"redraw:settings:{field}",
        options=[
            discord.SelectOption(
                label=translate(locale, key, value=text)[:LABEL_CHARACTERS],
                value=value,
                default=value == (current or NONE),
            )
            for value, text in texts.items()
        ],
    )


def _texts(
    services: Services, options: GuildOptions, policy: GuildPolicy, locale: str
) -> Iterator[str]:
    def number(value: float | None) -> str:
        return translate(locale, "settings.panel.default") if value is None else f"{value:g}"

    hours = min(options.retention_hours or float("inf"), services.settings.retention_hours)
    yield translate(
        locale,
        "settings.panel.summary",
        strength=number(options.strength),
        retention=duration(locale, hours * 3600),
        threshold=number(policy.threshold),
        age_restricted=number(policy.age_restricted_threshold),
        server=number(options.server_seconds),
    )
    blocks = [_limits(role_id, limits, locale) for role_id, limits in options.limits.items()]
    yield translate(locale, "settings.panel.limits" if blocks else "settings.panel.no_limits")
    yield cut_list(blocks, locale, limit=LIMITS_CHARACTERS, separator="\n")


def _limits(role_id: int, limits: RoleLimits, locale: str) -> str:
    everyone = translate(locale, "settings.panel.everyone")
    lines = [f"**{everyone}**" if role_id == EVERYONE else f"<@&{role_id}>"]
    if limits.seconds_a_day is not None:
        seconds = f"{limits.seconds_a_day:g}"
        lines.append(translate(locale, "settings.panel.seconds", seconds=seconds))
    lines += limit_lines(limits, locale, model_characters=SHOWN_MODEL_CHARACTERS)
    return "\n".join(lines)
