"""What the factory of several models says about models that are not on the disk."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from huggingface_hub import constants

from inference.models import find_model
from inference.pool.build import build_engine
from inference.worker.messages import WorkerConfig


def test_the_start_names_the_models_that_are_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    config = WorkerConfig(
        entry=find_model("noise"),
        others=(find_model("pocket"), find_model("sd15")),
        device="cpu",
        cache_dir=tmp_path,
        factory_options={"model_factory": "tests.support.faults:build_engine"},
    )
    caplog.set_level(logging.INFO, logger="inference.pool.build")
    build_engine(config, lambda _: None)
    assert caplog.messages == ["sd15 is not on the disk: it is downloaded when it is needed"]
