"""The button of a waiting picture: choose how to be told that a picture is finished."""

from __future__ import annotations

from bot.jobs.job import Job
from cogs.defaults._panel import draw_panel
from cogs.shared.access import AccessRule
from cogs.shared.job_buttons import Action, Interaction, JobAction


class Notify(JobAction):
    """Show the menu of the user's default, which applies to this picture and all later ones."""

    action = Action.NOTIFY
    access = AccessRule.OWNER

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Reply with the menu."""
        services = interaction.client.services
        view = draw_panel(
            services,
            await services.store.user_defaults.of(interaction.user.id),
            str(interaction.locale),
            fields=("notification",),
        )
        await interaction.response.send_message(view=view, ephemeral=True)
