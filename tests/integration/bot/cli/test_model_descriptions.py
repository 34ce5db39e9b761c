"""The tasks of repositories without a catalogue entry are known before they are downloaded."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.cli.inference_service import fetch_descriptions
from bot.config import Settings
from inference import find_model
from tests.support.hub.fake_hub import REPOSITORY, FakeHub
from tests.support.hub.in_process import use_hub

INDEX = '{"_class_name": "PixArtAlphaPipeline", "_diffusers_version": "0.42.0"}'


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeHub]:
    """A hub with a pipeline that only draws from text."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "model_index.json").write_text(INDEX)
    hub = FakeHub(folder)
    # The function sets variables of the hub's client, for good.
    monkeypatch.setattr(os, "environ", dict(os.environ))
    async with hub.open():
        use_hub(hub, tmp_path / "cache", monkeypatch)
        yield hub


def settings(tmp_path: Path, model: str = REPOSITORY) -> Settings:
    return Settings(_env_file=None, model=model, data_dir=tmp_path)


async def test_the_tasks_of_a_repository_are_known_before_its_download(
    hub: FakeHub, tmp_path: Path
) -> None:
    assert find_model(REPOSITORY).tasks == ("img2img",)
    await fetch_descriptions(settings(tmp_path))
    assert find_model(REPOSITORY).tasks == ("text2img",)
    assert hub.downloaded == {"model_index.json"}
    hub.requests.clear()
    await fetch_descriptions(settings(tmp_path))
    assert hub.requests == []


async def test_without_the_hub_the_log_says_that_the_tasks_are_not_known(
    hub: FakeHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub.refuse = (404, "RepoNotFound")
    with caplog.at_level(logging.WARNING):
        await fetch_descriptions(settings(tmp_path))
    assert "it is not known what some/model can do: it is offered for redrawing" in caplog.text
    assert find_model(REPOSITORY).tasks == ("img2img",)


async def test_a_model_of_the_catalogue_needs_no_description(hub: FakeHub, tmp_path: Path) -> None:
    await fetch_descriptions(settings(tmp_path, "sd2-depth"))
    assert hub.requests == []
