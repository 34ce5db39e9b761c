"""Measures with the pocket model whether the borders of tiles are seen, and how calls are shared.

    python -m tests.benchmarks.tiles --pictures 20

Each picture of the reference sheet is enlarged to twice its sides and redrawn in tiles of its own
size, with fixed seeds. The energy of a line is the mean absolute difference of the pixels on its
two sides, of 255. The VAE decodes a latent to 8 × 8 pixels, so that the lines between latents may
differ from other lines: the borders of tiles are compared with the lines between latents that are
at most 32 pixels away and are no borders. As a control, tiles without overlap are redrawn apart and
put side by side. Prints JSON: both energies and their ratio, and the calls of the denoiser for the
requests of three users, one after the other and together.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from bot.images.picture import Picture
from bot.images.upscale import upscale
from inference.engine.loop import SteppedEngine
from inference.engine.policy import BatchPolicy
from inference.families.depth2img import Depth2ImgModel
from inference.models import MODELS, POCKET
from inference.tile_grid import tile_starts
from inference.types import ImageRequest, ImageResult
from inference.worker.messages import Event, Failed, Statistics, Stop, Submit
from tests.benchmarks.parts import article, pocket_model
from tests.integration.inference.pocket_sheet import Sheet

FACTOR, STRENGTH = 2, 0.3
LATENT, NEAR = 8, 32
ROW_LIMIT = 8


def serve(
    model: Depth2ImgModel, wanted: Sequence[ImageRequest]
) -> tuple[dict[str, ImageResult], Statistics]:
    """The results of all requests, made by one engine, and the counts of its calls."""
    results: dict[str, ImageResult] = {}
    counted = Statistics()

    def report(event: Event) -> None:
        nonlocal counted
        match event:
            case ImageResult():
                results[event.id] = event
            case Failed(error=error):
                raise error
            case Statistics():
                counted = event
        if len(results) == len(wanted) and counted.denoiser_calls:
            engine.post(Stop())

    engine = SteppedEngine(model, report, BatchPolicy(row_limit=ROW_LIMIT, request_limit=16))
    for request in wanted:
        engine.post(Submit(request))
    engine.run()
    return results, counted


def requests(sheet: Sheet, number: int) -> Iterator[ImageRequest]:
    """Enlarged pictures of the sheet, of the model's five sizes."""
    entry = MODELS["pocket"]
    colours = list(sheet.colours)
    for index in range(number):
        word = sheet.objects[(index * 5) % len(sheet.objects)]
        ground = colours[index % len(colours)]
        tile = entry.sizes[index % len(entry.sizes)]
        small = sheet.picture(word, ground, tile)
        large, _ = upscale(Picture(small.tobytes(), *tile), FACTOR)
        yield ImageRequest(
            id=f"{index}",
            pixels=large.pixels,
            width=large.width,
            height=large.height,
            prompt=f"{article(word)} on {article(ground)} background",
            strength=STRENGTH,
            steps=entry.steps,
            guidance_scale=entry.guidance_scale,
            seed=index,
            tile=tile,
        )


def pixels_of(result: ImageResult) -> Any:
    """(height, width, 3) as floating-point numbers."""
    shape = (result.height, result.width, 3)
    return np.frombuffer(result.pixels, np.uint8).reshape(shape).astype(float)


def energies(picture: Any, borders: tuple[set[int], set[int]]) -> tuple[list[float], list[float]]:
    """The energies of the borders, (columns, rows), and those of the lines beside them."""
    at, near = [], []
    for axis, lines in zip((1, 0), borders, strict=True):
        steps = np.abs(np.diff(picture, axis=axis)).mean(axis=(1 - axis, 2))
        beside = {
            line
            for border in lines
            for line in range(border - NEAR, border + NEAR + 1, LATENT)
            if 0 < line < picture.shape[axis]
        }
        at += [float(steps[line - 1]) for line in sorted(lines)]
        near += [float(steps[line - 1]) for line in sorted(beside - lines)]
    return at, near


def borders_of(request: ImageRequest) -> tuple[set[int], set[int]]:
    """The columns and rows at which a tile begins or ends, within the picture."""
    assert request.tile is not None
    found = []
    for length, tile in zip((request.width, request.height), request.tile, strict=True):
        starts = tile_starts(length, tile)
        lines = {*starts, *(start + tile for start in starts)} - {0, length}
        found.append(lines)
    return found[0], found[1]


def pasted(model: Depth2ImgModel, request: ImageRequest) -> Any:
    """The picture of tiles without overlap that were redrawn apart."""
    assert request.tile is not None
    width, height = request.tile
    image = Image.frombytes("RGB", (request.width, request.height), request.pixels)
    corners = [
        (x, y) for y in range(0, request.height, height) for x in range(0, request.width, width)
    ]
    wanted = [
        replace(
            request,
            id=f"{x} {y}",
            pixels=image.crop((x, y, x + width, y + height)).tobytes(),
            width=width,
            height=height,
            tile=None,
        )
        for x, y in corners
    ]
    results, _ = serve(model, wanted)
    whole = np.zeros((request.height, request.width, 3))
    for x, y in corners:
        whole[y : y + height, x : x + width] = pixels_of(results[f"{x} {y}"])
    return whole


def ratio(pairs: Sequence[tuple[list[float], list[float]]]) -> dict[str, float]:
    """The mean energies over all pictures, and their ratio."""
    at = float(np.mean([value for lines, _ in pairs for value in lines]))
    near = float(np.mean([value for _, lines in pairs for value in lines]))
    return {"borders": round(at, 3), "beside": round(near, 3), "ratio": round(at / near, 3)}


def seams(model: Depth2ImgModel, sheet: Sheet, number: int) -> dict[str, Any]:
    """The energies of tiles that are blended, and of those that are put side by side."""
    blended, apart = [], []
    for request in requests(sheet, number):
        results, _ = serve(model, [request])
        blended.append(energies(pixels_of(results[request.id]), borders_of(request)))
        assert request.tile is not None
        joints = ({request.tile[0]}, {request.tile[1]})
        apart.append(energies(pasted(model, request), joints))
    return {"pictures": number, "blended": ratio(blended), "side by side": ratio(apart)}


def shared_calls(model: Depth2ImgModel, sheet: Sheet) -> dict[str, Any]:
    """The calls for three users' requests of one size, one after the other and together."""
    first = next(requests(sheet, 1))
    wanted = [replace(first, id=f"user {n}", seed=n) for n in range(3)]
    alone = [serve(model, [request])[1] for request in wanted]
    _, together = serve(model, wanted)
    return {
        "row limit": ROW_LIMIT,
        "one after the other": sum(each.denoiser_calls for each in alone),
        "together": together.denoiser_calls,
        "rows": together.denoiser_rows,
        "rows per call together": round(together.denoiser_rows / together.denoiser_calls, 2),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=20)
    number = parser.parse_args().pictures
    words = json.loads((POCKET / "vocabulary.json").read_text(encoding="utf-8"))
    sheet = Sheet(words["objects"], words["colours"], words["sample_size"])
    model = pocket_model()
    found = {"seams": seams(model, sheet, number), "calls": shared_calls(model, sheet)}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
