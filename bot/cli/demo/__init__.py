"""`python -m bot demo`: the bot in a simulated Discord, on a web page of this machine."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from bot.app import open_bot
from bot.cli.demo.server import DemoPage, serve
from bot.cli.demo.simulation import Simulation
from bot.cli.inference_service import local_service
from bot.cli.signals import ENDINGS, stop_event
from bot.config import Settings
from bot.i18n.translate import language_of, translate
from inference import POCKET, find_model

# The sample pictures in the order of the page, each with a prompt whose object has a similar shape.
# Not the photograph among the samples: the bundled model cannot redraw photographs.
SAMPLE_PROMPTS = {
    "fox.png": "a panda on a pink background",
    "teddy.png": "a robot on an orange background",
    "cupcake.png": "a strawberry on a teal background",
    "apple.png": "a pumpkin on a purple background",
    "rocket.png": "a carrot on a white background",
}


async def run_demo(settings: Settings) -> None:
    """Print the page's link and serve it until Ctrl-C, SIGTERM or a closed terminal.

    Jobs and pictures are kept in a temporary folder, which is deleted at the end.
    """
    stop = stop_event(*ENDINGS)
    with tempfile.TemporaryDirectory(prefix="redraw-demo-") as folder:
        settings = settings.with_model(settings.demo_model).model_copy(
            update={
                "data_dir": Path(folder),
                # Without a file or a link, the newest picture in the channel is redrawn, also
                # where another user posted it.
                "message_content": True,
            }
        )
        async with (
            local_service(settings) as service,
            open_bot(settings, service) as bot,
        ):
            simulation = Simulation(bot)
            async with simulation.open(), bot.services.runner:
                await create_server(simulation)
                page = demo_page(settings.model)
                async with serve(simulation, page, settings.demo_port) as server:
                    _print_link(server.url, wanted=settings.demo_port, port=server.port)
                    await stop.wait()


async def create_server(simulation: Simulation) -> None:
    """Create the server's channels and users; name the gallery; post sample pictures."""
    simulation.create_server("Redraw demo")
    alice = simulation.user("alice")
    pictures, gallery = simulation.channel("pictures"), simulation.channel("gallery")
    # Until a page tells the language that its user chose.
    simulation.set_locale(alice.id, _terminal_locale())
    await simulation.slash(
        alice, gallery, "settings gallery", {"channel": str(gallery.id)}, files={}
    )
    await simulation.send(alice, pictures, _say("demo.samples"), files=list(_samples().items()))


def demo_page(model: str) -> DemoPage:
    """The samples with their prompts and further prompts that the page offers for this model."""
    vocabulary = json.loads((POCKET / "vocabulary.json").read_text(encoding="utf-8"))
    return DemoPage(
        model=find_model(model).name,
        samples=_samples(),
        sample_prompts=SAMPLE_PROMPTS,
        prompts=tuple(vocabulary["prompts"]),
    )


def _samples() -> dict[str, bytes]:
    return {name: (POCKET / "samples" / name).read_bytes() for name in SAMPLE_PROMPTS}


def _say(key: str, **params: object) -> str:
    """A sentence in the language of the terminal."""
    return translate(_terminal_locale(), key, **params)


def _terminal_locale() -> str:
    """The language of the terminal as Discord's locale."""
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    language = language_of(next((name for name in names if name), "en").replace("_", "-"))
    return {"en": "en-US", "es": "es-ES"}.get(language, language)


def _print_link(url: str, *, wanted: int, port: int) -> None:
    if wanted not in (0, port):
        print(_say("demo.port_taken", wanted=wanted, port=port))  # noqa: T201
    print(_say("demo.link", url=url), flush=True)  # noqa: T201
