"""One tiny depth-to-image pipeline for the tests of a process; each test gets it as it was built.

Building a pipeline and fitting its preview takes longer than most requests of a test.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch

from inference.families.depth2img import Depth2ImgModel
from inference.families.latent_preview import LatentPreview
from inference.pipelines import random_tiny


@contextmanager
def shared_model(**options: Any) -> Iterator[Depth2ImgModel]:
    """A new model with the shared pipeline. `options` are those of `Depth2ImgModel`.

    Afterwards the pipeline's objects have the attributes, hooks and weights that they had before.
    """
    pipe, projection = _built()
    with _restored(pipe):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LatentPreview, "_fit", lambda *_: projection)
            model = Depth2ImgModel(pipe, **options)
        yield model


@cache
def _built() -> tuple[Any, tuple[torch.Tensor, torch.Tensor]]:
    """The pipeline, and the projection that is fitted to it."""
    pipe: Any = random_tiny.build()
    preview = LatentPreview(pipe)
    return pipe, (preview._weights, preview._bias)


@contextmanager
def _restored(pipe: Any) -> Iterator[None]:
    parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    modules = [module for part in parts for module in part.modules()]
    objects = [pipe, pipe.image_processor, *pipe.components.values(), *modules]
    attributes = [(vars(each), dict(vars(each))) for each in objects]
    # Hooks, parameters and submodules are in dictionaries of each module.
    attributes += [
        (value, dict(value))
        for module in modules
        for value in vars(module).values()
        if type(value) in (dict, OrderedDict)
    ]
    tensors = [each for part in parts for each in (*part.parameters(), *part.buffers())]
    values = [(each, each.data, each.data.clone()) for each in tensors]
    yield
    for present, before in attributes:
        present.clear()
        present.update(before)
    for tensor, data, value in values:
        tensor.data = data
        data.copy_(value)
