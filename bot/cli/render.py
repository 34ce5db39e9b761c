"""`python -m bot render | imagine`: one request through intake, worker and encoder, without
Discord."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
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
from bot.images.shapes import Shape, size_of
from bot.intake import Intake, IntakeLimits
from bot.jobs.job import new_job_id
from bot.jobs.options import options_for
from inference import ImageRequest, ImageResult, ModelEntry, Option, Task, find_model
from inference import Picture as ReferencePicture
from inference import Progress as Step


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderOptions:
    """The command's arguments; None means the model's default.

    Without `sources` the picture is drawn from text, with this `shape`. Several sources are edited
    together.
    """

    sources: Sequence[Path]
    prompt: str
    out: Path
    shape: Shape = "square"
    negative_prompt: str = ""
    strength: float | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None


async def render(settings: Settings, options: RenderOptions) -> None:
    """Make one picture, write it to a file and show a progress bar.

    Raises:
        StartError: the model cannot do it, a source cannot be read, or the result cannot be
            written. What can be checked is checked before the model is loaded.
        SourceError: a source cannot be decoded.
        InferenceError: the model failed.
    """
    model = find_model(settings.model)
    task = _task(options, model)
    _check_options(options, task, model)
    if options.out.suffix.lower() not in SUFFIXES:
        raise StartError(f"{options.out} ends in none of {', '.join(SUFFIXES)}.")
    if not options.out.parent.is_dir():
        raise StartError(f"{options.out} cannot be written: there is no such folder.")
    request = await _request(settings, options, task, model)
    result = await _run(settings, request)
    made = Picture(result.pixels, result.width, result.height)
    try:
        options.out.write_bytes(save_as(made, options.out.suffix, from_text=not options.sources))
    except OSError as error:
        raise StartError(f"{options.out} cannot be written: {error.strerror}.") from error
    notice = notice_of("en", model.name)
    steps = counted(result.steps_run, "step", "steps")
    print(  # noqa: T201 - the command's output
        f"{options.out}: {result.width} × {result.height}, {steps}, "
        f"seed {request.seed}, {result.timings.total:.1f} s" + (f"\n{notice}" if notice else "")
    )


def _task(options: RenderOptions, model: ModelEntry) -> Task:
    """The task of the command: one picture is redrawn, else edited; several are edited.

    Raises:
        StartError: the model does not have the task.
    """
    count = len(options.sources)
    if not count:
        if "text2img" not in model.tasks:
            raise StartError(f"The model {model.name} cannot draw from text.")
        return "text2img"
    if count == 1 and "img2img" in model.tasks:
        return "img2img"
    if "edit" not in model.tasks:
        raise StartError(
            f"The model {model.name} reads one picture in one request, and you gave {count}."
            if "img2img" in model.tasks
            else f"The model {model.name} can only draw from text: use `imagine`."
        )
    if count > model.max_references:
        raise StartError(
            f"The model {model.name} reads at most {model.max_references} pictures in one request, "
            f"and you gave {count}."
        )
    return "edit"


def _check_options(options: RenderOptions, task: Task, model: ModelEntry) -> None:
    """Check that the model has every setting that is given.

    Raises:
        StartError: it lacks one.
    """
    given: dict[Option, bool] = {
        "strength": options.strength is not None,
        "guidance": options.guidance is not None,
        "negative_prompt": bool(options.negative_prompt),
    }
    available = options_for(task, model.options)
    for option, is_given in given.items():
        if is_given and option not in available:
            flag = f"--{option.replace('_', '-')}"
            raise StartError(f"The model {model.name} has no setting {flag}: leave it out.")


async def _request(
    settings: Settings, options: RenderOptions, task: Task, model: ModelEntry
) -> ImageRequest:
    pictures = await _pictures(settings, options.sources, model)
    width, height = size_of(model, options.shape)
    if pictures:
        width, height = pictures[0].width, pictures[0].height
    strength = model.strength if options.strength is None else options.strength
    return ImageRequest(
        id=new_job_id(),
        pixels=pictures[0].pixels if pictures else b"",
        width=width,
        height=height,
        references=tuple(
            ReferencePicture(pixels=each.pixels, width=each.width, height=each.height)
            for each in pictures[1:]
        ),
        prompt=options.prompt,
        negative_prompt=options.negative_prompt,
        strength=strength if task == "img2img" else 1.0,
        steps=options.steps or model.steps,
        guidance_scale=model.guidance_scale if options.guidance is None else options.guidance,
        seed=secrets.randbelow(2**32) if options.seed is None else options.seed,
    )


async def _pictures(
    settings: Settings, sources: Sequence[Path], model: ModelEntry
) -> list[Picture]:
    """The pictures in these files, at sizes of the model."""
    contents = []
    for source in sources:
        try:
            contents.append(source.read_bytes())
        except OSError as error:
            raise StartError(f"{source} cannot be read: {error.strerror}.") from error
    if not contents:
        return []
    async with Intake(IntakeLimits.from_settings(settings)) as intake:
        return [
            await intake.from_bytes(
                data, pixels=model.pixels, multiple=model.multiple, sizes=model.sizes
            )
            for data in contents
        ]


async def _run(settings: Settings, request: ImageRequest) -> ImageResult:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # Progress goes to standard error; the result's line alone goes to standard output.
    console = Console(stderr=True, quiet=not sys.stderr.isatty())
    async with local_service(settings.with_model(settings.model)) as service:
        await wait_ready(service, console)
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("Drawing", total=None)

            def show(step: Step) -> None:
                bar.update(task, completed=step.step, total=step.total)

            return await service.generate(request, show)
