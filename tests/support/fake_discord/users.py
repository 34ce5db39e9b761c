"""What users do on the fake Discord: commands, buttons, forms and messages."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.support.fake_discord.gateway import Gateway
from tests.support.fake_discord.guild import Permission
from tests.support.fake_discord.guild_payloads import (
    author_payload,
    channel_payload,
    user_payload,
)
from tests.support.fake_discord.message_payloads import full_message_payload, message_payload
from tests.support.fake_discord.objects import REPLY, Interaction, Message
from tests.support.fake_discord.payloads import command_payload, interaction_payload
from tests.support.fake_discord.state import DiscordState

COMMAND, COMPONENT, MODAL_SUBMIT = 2, 3, 5
MESSAGE_COMMAND = 3
# https://discord.com/developers/docs/components/reference#component-object-component-types
TEXT_INPUT, LABEL = 4, 18
# https://discord.com/developers/docs/events/gateway#list-of-intents
GUILD_MESSAGES, DIRECT_MESSAGES = 1 << 9, 1 << 12


@dataclass
class UserActions:
    """Actions of users. Each returns None or False where the bot is not connected."""

    discord_state: DiscordState
    port: int = 0
    # Attachments of slash commands, by option name.
    cdn: dict[str, bytes] = field(default_factory=dict)
    # What the bot has published.
    commands: list[dict[str, Any]] = field(default_factory=list)
    # The messages whose events were sent.
    announced: set[int] = field(default_factory=set)
    gateway: Gateway = field(init=False)

    def __post_init__(self) -> None:
        self.gateway = Gateway(self.discord_state)

    async def command(
        self, application_id: int, channel_id: int, user_id: int, name: str, **options: Any
    ) -> Interaction | None:
        """Send a slash command. An option of type bytes is an attachment."""
        self._check_command(name, options)
        interaction = self.discord_state.interact(application_id, channel_id, user_id)
        self.cdn |= {key: value for key, value in options.items() if isinstance(value, bytes)}
        return await self._send(interaction, COMMAND, command_payload(name, options, self.port))

    async def message_command(
        self, application_id: int, user_id: int, name: str, target: Message
    ) -> Interaction | None:
        """Use a command of a message's context menu. The bot gets the message with its content."""
        state = self.discord_state
        interaction = state.interact(application_id, target.channel_id, user_id)
        messages = {str(target.id): full_message_payload(state, target)}
        data = {
            "id": "1",
            "name": name,
            "type": MESSAGE_COMMAND,
            "target_id": str(target.id),
            "resolved": {"messages": messages},
        }
        return await self._send(interaction, COMMAND, data)

    async def click(
        self, application_id: int, user_id: int, message: Message, custom_id: str
    ) -> Interaction | None:
        """Press a button."""
        state = self.discord_state
        interaction = state.interact(application_id, message.channel_id, user_id, message.id)
        data = {"custom_id": custom_id, "component_type": 2, "id": 1}
        return await self._send(interaction, COMPONENT, data)

    async def update_channel(self, channel_id: int) -> None:
        """Tell the bots in the guild that a channel has changed."""
        guild = self.discord_state.guild_of(channel_id)
        assert guild is not None
        payload = channel_payload(guild.channels[channel_id])
        for bot_id in {bot_id for bot_id, _ in self.gateway.connections}:
            await self.gateway.dispatch(bot_id, "CHANNEL_UPDATE", payload, guild_id=guild.id)

    async def submit(self, opened: Interaction, values: dict[int, str]) -> Interaction | None:
        """Send the form that the bot opened. `values` maps the number of a field to its text."""
        assert opened.modal is not None
        state = self.discord_state
        interaction = state.interact(
            opened.application_id, opened.channel_id, opened.user_id, opened.component_message_id
        )
        components = [
            {"type": LABEL, "id": number, "component": _filled(label, values.get(number))}
            for number, label in enumerate(opened.modal["components"], start=1)
        ]
        data = {"custom_id": opened.modal["custom_id"], "components": components}
        return await self._send(interaction, MODAL_SUBMIT, data)

    async def write(
        self, user_id: int, channel_id: int, content: str = "", **options: Any
    ) -> Message:
        """Write a message; see `_write`. Every bot that may see it gets an event."""
        message = self._write(user_id, channel_id, content, **options)
        await self.announce(message)
        return message

    async def announce(self, message: Message) -> None:
        """Send the event of a message, once, to every bot that may see it.

        An ephemeral message is sent to the bot that wrote it, as if it were a direct message:
        https://discord.com/developers/docs/resources/message#message-object-message-flags
        https://github.com/discord/discord-api-docs/issues/4557
        """
        if message.id in self.announced:
            return
        self.announced.add(message.id)
        state = self.discord_state
        guild = None if message.ephemeral else state.guild_of(message.channel_id)
        intent = GUILD_MESSAGES if guild else DIRECT_MESSAGES
        for bot_id in {bot_id for bot_id, _ in self.gateway.connections}:
            connection = self.gateway.connection(bot_id, guild.id if guild else 0)
            if connection is None or not connection.intents & intent:
                continue
            if message.ephemeral and message.author_id != bot_id:
                continue
            if guild and not guild.can(bot_id, message.channel_id, Permission.VIEW_CHANNEL):
                continue
            payload = message_payload(state, message, bot_id)
            if guild:
                payload["guild_id"] = str(guild.id)
                payload["member"] = author_payload(guild, message.author_id)
                payload["mentions"] = [
                    user_payload(user, bot=user in state.bots)
                    | {"member": author_payload(guild, user)}
                    for user in message.mentions
                ]
            await self.gateway.dispatch(
                bot_id, "MESSAGE_CREATE", payload, guild_id=guild.id if guild else 0
            )

    def _check_command(self, name: str, options: dict[str, Any]) -> None:
        """Discord's client offers published commands and options only.

        A bot may have published its commands in an earlier process.
        """
        for command in self.commands:
            if command["name"] == name:
                known = {option["name"] for option in command.get("options", [])}
                assert options.keys() <= known, f"/{name} has only the options {known}"

    def _write(
        self,
        user_id: int,
        channel_id: int,
        content: str = "",
        files: dict[str, bytes] | None = None,
        *,
        reply_to: int | None = None,
        ping: bool = True,
        **recorded: Any,
    ) -> Message:
        """A user writes a message. `recorded` sets other fields of `Message`."""
        state = self.discord_state
        state.enter(user_id, channel_id)
        message = state.add(channel_id, user_id, recorded.pop("flags", 0))
        message.content, message.files = content, files or {}
        message.mentions = [int(user) for user in re.findall(r"<@!?(\d+)>", content)]
        message.mention_roles = [int(role) for role in re.findall(r"<@&(\d+)>", content)]
        if reply_to is not None:
            message.type, message.replied_to = REPLY, reply_to
            # A reply that pings mentions the author of the message that it replies to.
            author = state.messages[reply_to].author_id
            if ping and author not in message.mentions:
                message.mentions.append(author)
        for name, value in recorded.items():
            setattr(message, name, value)
        return message

    async def _send(
        self, interaction: Interaction, kind: int, data: dict[str, Any]
    ) -> Interaction | None:
        payload = interaction_payload(self.discord_state, interaction, kind, data)
        sent = await self.gateway.dispatch(
            interaction.application_id,
            "INTERACTION_CREATE",
            payload,
            guild_id=int(payload.get("guild_id", 0)),
        )
        return interaction if sent else None


def _filled(label: dict[str, Any], text: str | None) -> dict[str, Any]:
    """The field of a label, as it is sent: with its text, or without a choice or file."""
    field_ = label["component"]
    sent = {"type": field_["type"], "custom_id": field_["custom_id"], "id": field_.get("id", 0)}
    if field_["type"] == TEXT_INPUT:
        return sent | {"value": text if text is not None else field_.get("value") or ""}
    return sent | {"values": []}
