"""Lists what the pipelines of diffusers can do, for processes that do not import torch.

`python -m inference.pipelines.classes` writes `inference/pipeline_classes.json`. A test compares
the file with the installed version.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from diffusers.pipelines.auto_pipeline import (
    AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
    AUTO_INPAINT_PIPELINES_MAPPING,
    AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
)

FILE = Path(__file__).parents[1] / "pipeline_classes.json"

PARAMETERS = {
    "strength": "strength",
    "negative_prompt": "negative_prompt",
    "guidance": "guidance_scale",
}


def capabilities() -> dict[str, dict[str, list[str]]]:
    """Name of a pipeline's class → its tasks → the settings that they have.

    The automatic pipelines load a class for one task also from a repository that names the class
    for another one.
    """
    models: dict[str, str] = {}
    for mapping in (
        AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
        AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
        AUTO_INPAINT_PIPELINES_MAPPING,
    ):
        for model, kind in mapping.items():
            models.setdefault(kind.__name__, model)
    found = {name: _tasks(model) for name, model in sorted(models.items())}
    return {name: tasks for name, tasks in found.items() if tasks}


def _tasks(model: str) -> dict[str, list[str]]:
    tasks = {}
    if (kind := AUTO_IMAGE2IMAGE_PIPELINES_MAPPING.get(model)) is not None:
        settings = _settings(kind)
        tasks["img2img" if "strength" in settings else "edit"] = settings
    if (kind := AUTO_TEXT2IMAGE_PIPELINES_MAPPING.get(model)) is not None:
        tasks["text2img"] = [each for each in _settings(kind) if each != "strength"]
    return tasks


def _settings(kind: type[Any]) -> list[str]:
    """The settings that a pipeline's call takes."""
    accepted = inspect.signature(kind.__call__).parameters
    settings = [name for name, parameter in PARAMETERS.items() if parameter in accepted]
    if "true_cfg_scale" in accepted and "negative_prompt" in settings:
        # The negative prompt has an effect only with that scale, which requests do not have.
        settings.remove("negative_prompt")
    return settings


def main() -> None:
    """Write the file."""
    FILE.write_text(json.dumps(capabilities(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
