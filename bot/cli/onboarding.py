"""Help texts for the first start."""

from __future__ import annotations

from bot.permissions import PERMISSIONS, invite_link, permission_names

WITHOUT_TOKEN = """\
There is no DISCORD_TOKEN yet. To get one:

  1. Open https://discord.com/developers/applications, press "New Application".
  2. Under "Bot", press "Reset Token" and copy it.
  3. Put it into the file .env here:  DISCORD_TOKEN=the token
     (`cp .env.example .env` creates the file with all settings explained)
  4. Under "General Information", copy the Application ID into this link and open it to invite
     the bot to your server:
       {invite}
     The link asks for: {permissions}.

Then `make run` again. To try the bot without Discord: `make demo`."""


def missing_token_help() -> str:
    """How to create a token and invite the bot."""
    return WITHOUT_TOKEN.format(
        invite=invite_link("APPLICATION_ID"),
        permissions=permission_names(name for name, on in PERMISSIONS if on),
    )
