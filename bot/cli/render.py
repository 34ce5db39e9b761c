"""`python -m bot render`: one request through intake, worker and encoder, without Discord."""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bot.cli.inference_service import local_service
from bot.cli.progress import wait_ready
from bot.config import Settings
from bot.errors import StartError
from bot.i18n.plurals import counted
from bot.i18n.translate import notice_of
from bot.images.encode import SUFFIXES, save_as
from bot.images.picture import Picture
from bot.intake import Intake, IntakeLimits
from bot.jobs.job import new_job_id
from inference import ImageRequest, find_model
from inference import Progress as Step


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderOptions:
    """The command's arguments; None means the model's default."""

    source: Path
    prompt: str
    out: Path
    negative_prompt: str = ""
    strength: float | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None


async def render(settings: Settings, options: RenderOptions) -> None:
    """Redraw one file, write the result to another and show a progress bar.

    Raises:
        StartError: the source cannot be read, or the result cannot be written. What can be
            checked is checked before the model is loaded.
        SourceError: the source cannot be decoded.
        InferenceError: the model failed.
    """
    model = find_model(settings.model)
    if options.out.suffix.lower() not in SUFFIXES:
        raise StartError(f"{options.out} ends in none of {', '.join(SUFFIXES)}.")
    if not options.out.parent.is_dir():
        raise StartError(f"{options.out} cannot be written: there is no such folder.")
    try:
        data = options.source.read_bytes()
    except OSError as error:
        raise StartError(f"{options.source} cannot be read: {error.strerror}.") from error
    async with Intake(IntakeLimits.from_settings(settings)) as intake:
        picture = await intake.from_bytes(
            data, pixels=model.pixels, multiple=model.multiple, sizes=model.sizes
        )
    request = ImageRequest(
        id=new_job_id(),
        pixels=picture.pixels,
        width=picture.width,
        height=picture.height,
        prompt=options.prompt,
        negative_prompt=options.negative_prompt,
        strength=model.strength if options.strength is None else options.strength,
        steps=options.steps or model.steps,
        guidance_scale=model.guidance_scale if options.guidance is None else options.guidance,
        seed=secrets.randbelow(2**32) if options.seed is None else options.seed,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # Progress goes to standard error; the result's line alone goes to standard output.
    console = Console(stderr=True, quiet=not sys.stderr.isatty())
    async with local_service(settings.with_model(settings.model)) as service:
        await wait_ready(service, console)
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("Redrawing", total=None)

            def show(step: Step) -> None:
                bar.update(task, completed=step.step, total=step.total)

            result = await service.generate(request, show)
    made = Picture(result.pixels, result.width, result.height)
    try:
        options.out.write_bytes(save_as(made, options.out.suffix))
    except OSError as error:
        raise StartError(f"{options.out} cannot be written: {error.strerror}.") from error
    notice = notice_of("en", model.name)
    steps = counted(result.steps_run, "step", "steps")
    print(  # noqa: T201 - the command's output
        f"{options.out}: {result.width} × {result.height}, {steps}, "
        f"seed {request.seed}, {result.timings.total:.1f} s" + (f"\n{notice}" if notice else "")
    )
