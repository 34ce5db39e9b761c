"""The command line: `python -m bot run | demo | render | imagine | check | models | …`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import get_args

from bot.cli.load_settings import load_settings, unknown_names
from bot.cli.model_errors import explain
from bot.config import Settings
from bot.errors import StartError, UserError
from bot.images.shapes import Shape
from bot.logs.formats import set_up
from inference import InferenceError

log = logging.getLogger(__name__)


def parser() -> argparse.ArgumentParser:
    """Define the commands and their options."""
    top = argparse.ArgumentParser(prog="python -m bot", description="Redraw, a Discord bot.")
    top.add_argument("--version", action="version", version=f"redraw {version('redraw')}")
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run the bot with the settings in .env")
    commands.add_parser("demo", help="try the bot in a simulated Discord in your browser")
    check = commands.add_parser("check", help="report what would stop the bot from starting")
    check.add_argument("--deep", action="store_true", help="also read every stored job and picture")
    for name, text in (
        ("backup", "write all jobs and pictures to a file; the bot may be running"),
        ("restore", "replace the present data with a backup; the bot must be stopped"),
    ):
        commands.add_parser(name, help=text).add_argument("file", type=Path, metavar="FILE")
    models = commands.add_parser("models", help="list, download and remove models")
    actions = models.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="the models with licence, size, memory, and downloaded files")
    for action, text in (("download", "download a model"), ("remove", "delete its files")):
        named = actions.add_parser(action, help=text)
        named.add_argument("name", metavar="NAME", help="a name in the list, or owner/name")
    drawing = _drawing_options()
    render = commands.add_parser(
        "render", parents=[drawing], help="redraw or edit one picture file without Discord"
    )
    render.add_argument("source", type=Path, metavar="IN", help="the picture to redraw or edit")
    render.add_argument("prompt", metavar="PROMPT", help="what it should become, or what to change")
    render.add_argument(
        "--reference",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a further picture for a model that edits; may be repeated",
    )
    render.add_argument("--strength", type=_in_range(0.05, 1.0), help="0.05 to 1")
    imagine = commands.add_parser(
        "imagine", parents=[drawing], help="draw one picture from text without Discord"
    )
    imagine.add_argument("prompt", metavar="PROMPT", help="what it should show")
    imagine.add_argument("--size", choices=get_args(Shape), default="square")
    return top


def _drawing_options() -> argparse.ArgumentParser:
    """The options of the commands that make one picture."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--out", type=Path, required=True, help="PNG, WebP or JPEG, by its name")
    options.add_argument("--negative-prompt", default="", help="what it should not show")
    options.add_argument("--steps", type=int, choices=range(1, 151), metavar="N", help="1 to 150")
    options.add_argument("--guidance", type=_in_range(1.0, 20.0), help="1 to 20; 1 turns it off")
    options.add_argument(
        "--seed",
        type=_seed,
        metavar="N",
        help="0 to 4294967295; the same seed gives the same picture, -1 a new one",
    )
    options.add_argument("--model", help="a name in the catalogue, or a local folder")
    return options


def _in_range(low: float, high: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
        return value

    return number


def _seed(text: str) -> int | None:
    """A seed, or None for -1, which other programs use for a random seed."""
    # The length is checked first: Python converts at most 4,300 digits.
    if len(text) > 10 or not re.fullmatch(r"-1|[0-9]+", text) or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text[:20]} is not a seed between 0 and {2**32 - 1}")
    return None if text == "-1" else int(text)


def check_encoding(arguments: Sequence[str]) -> None:
    """Check that every argument is text.

    Raises:
        StartError: one is not valid UTF-8. Python keeps its bytes as surrogates, which neither
            the prompt's tokenizer nor the output accept.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = argument.encode(errors="surrogateescape").decode(errors="backslashreplace")
            raise StartError(f"The argument '{shown}' is not valid UTF-8.") from None


async def perform(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run one command to its end and return the exit code."""
    # Each command imports its own modules: the bot does not need the simulated Discord, and
    # `check` must be able to report a package that is not installed.
    match arguments.command:
        case "run":
            from bot.cli.run import run_bot

            await run_bot(settings)
        case "demo":
            # The page shows what the bot does, and the simulation causes warnings that mean nothing
            # here. LOG_LEVEL=DEBUG shows all.
            if settings.log_level != "DEBUG":
                logging.getLogger().setLevel(logging.ERROR)
            from bot.cli.demo import run_demo

            await run_demo(settings)
        case "check":
            from bot.cli.check import check

            return await check(settings, deep=arguments.deep)
        case "backup":
            from bot.cli.backup import back_up

            return await back_up(settings, arguments.file)
        case "restore":
            from bot.cli.backup import restore_backup

            return await restore_backup(settings, arguments.file)
        case "models":
            from bot.cli import models

            match arguments.action:
                case "list":
                    await models.list_models(settings)
                case "download":
                    await models.download(settings, arguments.name)
                case "remove":
                    await models.remove(settings, arguments.name)
        case "render" | "imagine" as command:
            from bot.cli.render import RenderOptions, render

            redraws = command == "render"
            await render(
                settings,
                RenderOptions(
                    sources=(arguments.source, *arguments.reference) if redraws else (),
                    prompt=arguments.prompt,
                    out=arguments.out,
                    shape="square" if redraws else arguments.size,
                    negative_prompt=arguments.negative_prompt,
                    strength=arguments.strength if redraws else None,
                    steps=arguments.steps,
                    guidance=arguments.guidance,
                    seed=arguments.seed,
                ),
            )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, set up logging and run. An expected error is one sentence and exit code 1."""
    given = sys.argv[1:] if argv is None else argv
    try:
        check_encoding(given)
        arguments = parser().parse_args(given)
        settings = load_settings()
        if model := getattr(arguments, "model", None):
            settings = settings.with_model(model)
    except StartError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    if settings.hf_home is not None:
        # The names of models are resolved with the files in the hub's cache.
        os.environ["HF_HOME"] = str(settings.hf_home.expanduser().resolve())
    secrets = (settings.discord_token, settings.hf_token)
    set_up(
        settings.log_level,
        [secret.get_secret_value() for secret in secrets if secret],
        settings.log_format,
    )
    # `check` reports them itself.
    for sentence in unknown_names() if arguments.command != "check" else ():
        log.warning(sentence)
    try:
        return asyncio.run(perform(arguments, settings))
    except (StartError, UserError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except InferenceError as error:
        print(explain(error), file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception:
        # Python would print the traceback as it is, secrets included.
        log.critical("the bot ended because of a bug", exc_info=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
