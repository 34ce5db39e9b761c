"""Measures with the pocket model how well a part is redrawn and the rest is kept.

    python -m tests.benchmarks.parts --pictures 40

Fixed seeds. For `background` the prompt names another background colour, of `PAIRS`; for `any
background` each of eight hues on white and on black. For `foreground` the prompt names a tint, and
the source shows the object in grey; for `coloured foreground` it shows the object in its own
colours. The small VAE normalises over the whole picture, so that the kept latents shift the part's
new colours. `PAIRS` are colours that were reached even while the kept latents were those of the
source in all steps. A pixel is outside the part where its mask is below a half, inside
above nine tenths. Prints JSON: the largest and the mean absolute difference to the source outside
the part, of 255, and the share of pictures whose inside has the requested colour: for a background
the nearest of the twelve colours, for a tint the nearest hue of the three that are requested. With
`exact hue` it is the nearest of the eight `HUES`. The control is the same
requests without a part, measured inside the same masks: a colour that the model does not reach
there says nothing about parts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

from inference.engine.loop import SteppedEngine
from inference.engine.policy import BatchPolicy
from inference.families.depth2img import Depth2ImgModel
from inference.models import POCKET
from inference.types import ImageRequest, ImageResult, Part
from inference.worker.messages import Event, Failed, Stop, Submit
from tests.integration.inference.pocket_sheet import Sheet

STEPS, GUIDANCE, STRENGTH = 16, 3.0, 1.0
# The source's background, and the colour that is asked for.
PAIRS = (
    ("black", "blue"),
    ("red", "orange"),
    ("black", "green"),
    ("white", "pink"),
    ("black", "purple"),
    ("white", "red"),
    ("black", "teal"),
    ("red", "yellow"),
)
# The background, and the tint that is asked for: three hues that are far from one another.
TINTS = (
    ("white", "red"),
    ("black", "green"),
    ("white", "purple"),
    ("black", "red"),
    ("white", "green"),
    ("black", "purple"),
)
# All colours of the vocabulary that have a hue of their own.
HUES = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink")
OUTSIDE, INSIDE = 127, 230
ANY_PAIRS = tuple((ground, hue) for ground in ("white", "black") for hue in HUES)
SETTINGS = ("background", "any background", "foreground", "coloured foreground")


def pocket_model() -> Depth2ImgModel:
    """The bundled model in float32 on the CPU."""
    from diffusers import StableDiffusionDepth2ImgPipeline

    pipe: Any = StableDiffusionDepth2ImgPipeline.from_pretrained(POCKET)
    pipe.set_progress_bar_config(disable=True)
    return Depth2ImgModel(pipe)


def run_all(model: Depth2ImgModel, wanted: Sequence[ImageRequest]) -> dict[str, ImageResult]:
    """The results of all requests, made by one engine."""
    results: dict[str, ImageResult] = {}

    def report(event: Event) -> None:
        match event:
            case ImageResult():
                results[event.id] = event
            case Failed(error=error):
                raise error
        if len(results) == len(wanted):
            engine.post(Stop())

    policy = BatchPolicy(row_limit=16, request_limit=16)
    engine = SteppedEngine(model, report, policy)
    for request in wanted:
        engine.post(Submit(request))
    engine.run()
    return results


def article(word: str) -> str:
    """The word with its article."""
    return f"an {word}" if word[0] in "aeiou" and word != "unicorn" else f"a {word}"


def in_grey(sheet: Sheet, picture: Image.Image, word: str) -> Image.Image:
    """The picture of an object with the object in grey."""
    grey, mask = picture.convert("L").convert("RGB"), sheet.mask(word, picture.size)
    return Image.composite(grey, picture, Image.fromarray(mask))


def requests(sheet: Sheet, setting: str, number: int) -> Iterator[tuple[ImageRequest, str]]:
    """Requests for a part, each with the colour that the part should get."""
    pairs = {"background": PAIRS, "any background": ANY_PAIRS}.get(setting, TINTS)
    part: Part = "foreground" if pairs is TINTS else "background"
    for index in range(number):
        word = sheet.objects[(index * 3) % len(sheet.objects)]
        ground, colour = pairs[index % len(pairs)]
        source = sheet.picture(word, ground)
        if setting == "foreground":
            source = in_grey(sheet, source, word)
        if part == "background":
            prompt = f"{article(word)} on {article(colour)} background"
        else:
            prompt = f"{article(colour)} {word} on {article(ground)} background"
        yield (
            ImageRequest(
                id=f"{setting} {index}",
                pixels=source.tobytes(),
                width=source.width,
                height=source.height,
                prompt=prompt,
                strength=STRENGTH,
                steps=STEPS,
                guidance_scale=GUIDANCE,
                seed=index,
                part=part,
                return_mask=True,
            ),
            colour,
        )


def nearest_hue(sheet: Sheet, pixels: Any, names: Sequence[str]) -> str:
    """The colour of these names whose hue is nearest to that of the pixels, (N, 3)."""
    lab = rgb2lab(pixels[None] / 255)[0]
    mean = lab[:, 1:].mean(axis=0)
    angles = []
    for name in names:
        target = rgb2lab(np.array(sheet.colours[name])[None, None] / 255)[0, 0, 1:]
        angles.append(float(target @ mean / np.linalg.norm(target)))
    return names[int(np.argmax(angles))]


def nearest_colour(sheet: Sheet, pixels: Any) -> str:
    """The named colour that is nearest to the median of the pixels, (N, 3)."""
    median = np.median(rgb2lab(pixels[None] / 255)[0], axis=0)
    names = list(sheet.colours)
    labs = rgb2lab(np.array([sheet.colours[name] for name in names])[None] / 255)[0]
    return names[int(np.linalg.norm(labs - median, axis=1).argmin())]


def measure(
    model: Depth2ImgModel, sheet: Sheet, setting: str, number: int, *, control: bool = True
) -> dict[str, Any]:
    """The figures of one of `SETTINGS`, by default with those of the control."""
    wanted = list(requests(sheet, setting, number))
    results = run_all(model, [request for request, _ in wanted])
    whole = [replace(request, part="everything", return_mask=False) for request, _ in wanted]
    controls = run_all(model, whole) if control else {}
    tints = list(dict.fromkeys(tint for _, tint in TINTS))

    def colour_of(result: ImageResult, inside: Any, hues: Sequence[str]) -> str:
        pixels = np.frombuffer(result.pixels, np.uint8).reshape(*inside.shape, 3)
        found = pixels[inside].astype(float)
        if setting.endswith("background"):
            return nearest_colour(sheet, found)
        return nearest_hue(sheet, found, hues)

    differences, missed = [], []
    # For each picture: its own and, if measured, that of the control.
    reached: list[list[bool]] = []
    exact: list[list[bool]] = []
    for request, colour in wanted:
        result = results[request.id]
        shape = (request.height, request.width)
        mask = np.frombuffer(result.mask or b"", np.uint8).reshape(shape)
        made = np.frombuffer(result.pixels, np.uint8).reshape(*shape, 3).astype(float)
        own = np.frombuffer(request.pixels, np.uint8).reshape(*shape, 3)
        differences.append(float(np.abs(made - own)[mask <= OUTSIDE].mean()))
        pictures = [result, *([controls[request.id]] if control else [])]
        got = [colour_of(each, mask >= INSIDE, tints) for each in pictures]
        reached.append([each == colour for each in got])
        exact.append([colour_of(each, mask >= INSIDE, HUES) == colour for each in pictures])
        if got[0] != colour:
            missed.append(f"{request.prompt}: {', control '.join(got)}")
    return {
        "pictures": number,
        "largest difference outside": round(max(differences), 2),
        "mean difference outside": round(float(np.mean(differences)), 2),
        "colour reached, and by the control": np.mean(reached, axis=0).round(3).tolist(),
        "exact hue, and of the control": np.mean(exact, axis=0).round(3).tolist(),
        "missed": missed,
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=SETTINGS)
    options = parser.parse_args()
    words = json.loads((POCKET / "vocabulary.json").read_text(encoding="utf-8"))
    sheet = Sheet(words["objects"], words["colours"], words["sample_size"])
    model = pocket_model()
    figures = {name: measure(model, sheet, name, options.pictures) for name in options.settings}
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
