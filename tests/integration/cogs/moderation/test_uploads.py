"""No path posts a picture that was not checked: every upload of a long random conversation is
compared with what the real classifier saw."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageColor
from simcord.backend.errors import SetupError

from bot.images.compose import BACKGROUND, GAP, LABEL_HEIGHT
from bot.images.picture import Picture
from bot.jobs.job import JobState
from bot.moderation.detectors.classifier import ClassifierProcess
from tests.support.moderation.discord import (
    BAD,
    BAD_WORD,
    ModeratedServer,
    Painter,
    open_moderated_server,
)
from tests.support.pictures import file_of, photo
from tests.support.simulated_discord import buttons_of
from tests.support.simulated_users import press

ACTIONS = 60
ORDINARY, ADULT = 0.5, 1.0
SIDE = 16
# The mean difference of 8-bit values between a picture and its compressed, scaled copy.
SAME = 6.0
SOURCES = [(f"{seed}.png", file_of(photo(256, 192, seed=seed))) for seed in range(6)]
PROMPTS = ["a fox", "a boat at night", BAD_WORD]
MASK = ("mask.png", file_of(Image.linear_gradient("L")))
# One request of each kind; random ones follow.
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("imagine", {"prompt": "a boat"}),
    ("edit", {"instruction": "in winter", "image": SOURCES[0], "image_2": SOURCES[1]}),
    ("img2img", {"prompt": "a fox", "image": SOURCES[2], "structure": SOURCES[3]}),
    ("img2img", {"prompt": "a fox", "image": SOURCES[3], "mask": MASK, "show_part": True}),
    ("img2img", {"prompt": "a fox", "image": SOURCES[4], "mask": MASK}),
]


@dataclass
class Upload:
    """A file that the bot sent to a channel."""

    channel_id: int
    name: str
    data: bytes


def thumbnail(image: Image.Image) -> NDArray[Any]:
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float64)


def parts(upload: Upload) -> list[NDArray[Any]]:
    """The pictures in an uploaded file: one, the two of an animation that goes from one to the
    other and back, or the cells of a sheet with labels."""
    file = Image.open(io.BytesIO(upload.data))
    frames = getattr(file, "n_frames", 1)
    if frames > 1:
        first = thumbnail(file)
        file.seek(frames // 2)
        return [first, thumbnail(file)]
    image = file.convert("RGB")
    if not is_background(image, 0, GAP // 2):
        return [thumbnail(image)]
    columns = next(n for n in (3, 2) if is_background(image, *gap_after_cell(image, n)))
    rows = 1 if upload.name.startswith("before-after") else 2
    width = cell_width(image, columns)
    height = (image.height - GAP) // rows - LABEL_HEIGHT - GAP
    return [
        thumbnail(image.crop((x, y, x + width, y + height)))
        for x in range(GAP, image.width - width, width + GAP)
        for y in range(GAP, image.height - height, height + LABEL_HEIGHT + GAP)
    ]


def cell_width(image: Image.Image, columns: int) -> int:
    return (image.width - GAP) // columns - GAP


def gap_after_cell(image: Image.Image, columns: int) -> tuple[int, int]:
    """The pixels from left to right between the first two of so many columns."""
    end = GAP + cell_width(image, columns)
    return end + 1, end + GAP - 1


def is_background(image: Image.Image, left: int, right: int) -> bool:
    """Whether these columns of pixels are empty, as between the cells of a sheet."""
    strip = np.asarray(image.crop((left, 0, right, image.height)), np.float64)
    return bool(np.abs(strip - ImageColor.getrgb(BACKGROUND)).max() <= 3)


class Recorder:
    """What the classifier saw, and what the bot uploaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[NDArray[Any]] = []
        self.scores: list[float] = []
        self.uploads: list[Upload] = []
        score = ClassifierProcess.score

        async def recorded(process: ClassifierProcess, picture: Picture) -> float:
            found = await score(process, picture)
            size = (picture.width, picture.height)
            self.seen.append(thumbnail(Image.frombytes("RGB", size, picture.pixels)))
            self.scores.append(found)
            return found

        monkeypatch.setattr(ClassifierProcess, "score", recorded)

    def watch(self, server: ModeratedServer) -> None:
        cdn = server.sim.env.backend.cdn
        store = cdn.store_attachment

        def stored(id_: int, channel_id: int, name: str, data: bytes, text: str | None) -> Any:
            self.uploads.append(Upload(channel_id, name, data))
            return store(id_, channel_id, name, data, text)

        cdn.store_attachment = stored  # type: ignore[assignment,method-assign]

    def score_of(self, part: NDArray[Any]) -> float | None:
        """The highest score among the checked pictures that look like this one."""
        scores = [
            score
            for seen, score in zip(self.seen, self.scores, strict=True)
            if np.abs(seen - part).mean() < SAME
        ]
        return max(scores, default=None)


async def act(server: ModeratedServer, rng: random.Random) -> None:
    """One thing that a member does."""
    user = rng.choice([server.alice, server.bob])
    channel = rng.choice([server.channel, server.adult])
    answers = [
        message
        for message in channel.history(viewer=user)
        if message.author.bot and buttons_of(message)
    ]
    kinds = ["ask", "ask", "other", "press", "press", "press", "press"]
    kind = rng.choice([*kinds, "history", "favourites", "show"])
    if kind == "other":
        command, options = rng.choice(REQUESTS)
        words = "instruction" if command == "edit" else "prompt"
        changed: dict[str, Any] = {words: rng.choice(PROMPTS)}
        if "image" in options:
            changed["image"] = rng.choice([*SOURCES, BAD])
        await user.slash(channel, command, **options | changed)
    elif kind == "ask":
        await user.slash(
            channel,
            "img2img",
            prompt=rng.choice(PROMPTS),
            image=rng.choice([*SOURCES, BAD]),
            count=rng.choice([1, 1, 2]),
            private=rng.random() < 0.2,
        )
    elif kind == "press" and answers:
        message = rng.choice(answers)
        custom_id = rng.choice(list(buttons_of(message).values()))
        if not custom_id.startswith(("redraw:edit", "redraw:use", "redraw:cancel")):
            await user.click(message, custom_id=custom_id)
    elif kind in ("history", "favourites"):
        await user.slash(channel, kind)
    else:
        jobs = await server.services.store.jobs_of(user.id)
        if jobs:
            await user.slash(channel, "show", id=rng.choice(jobs).id)
    await server.sim.settled()


async def test_every_uploaded_picture_was_checked_for_its_channel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(monkeypatch)
    rng = random.Random(2)
    # Slow enough that previews are shown.
    engine = Painter(step_seconds=0.01)
    models = ("noise", "noise-edit")
    async with open_moderated_server(tmp_path, engine, models=models) as server:
        await server.open_log(age_restricted_threshold=ADULT)
        gallery = server.sim.env.guild.create_text_channel("gallery")
        await server.services.store.guild_settings.set_gallery(server.guild_id, gallery.id)
        recorder.watch(server)
        for command, options in REQUESTS:
            await server.alice.slash(server.channel, command, **options)
            await server.sim.settled()
        await server.redraw()
        message = server.sim.last
        for label in ("Depth", "Larger", "Try styles", "Share"):
            await press(server.sim, server.alice, message, label)
        await server.alice.slash(server.channel, "history")
        # The animation is two buttons away from its picture.
        for label in ("Before/after", "As an animation"):
            message = (await press(server.sim, server.alice, message, label)).response.message
        for _ in range(ACTIONS):
            try:
                await act(server, rng)
            except (SetupError, discord.NotFound):
                # The button's message was deleted meanwhile.
                continue
        jobs = await server.services.store.jobs_of(server.alice.id)
    sent_by_members = {data for _, data in [*SOURCES, BAD]}
    uploads = [
        upload
        for upload in recorder.uploads
        # Moderators see what was refused, as small spoilers.
        if upload.channel_id != server.log.id and upload.data not in sent_by_members
    ]
    limits = {server.adult.id: ADULT}
    scores = []
    for upload in uploads:
        for part in parts(upload):
            score = recorder.score_of(part)
            assert score is not None, upload.name
            assert score <= limits.get(upload.channel_id, ORDINARY), upload.name
            scores.append(score)
    # The conversation had pictures of each kind, so that the test could have failed.
    names = " ".join(upload.name for upload in uploads)
    for kind in ("redraw-", "preview", "thumbnail", "before-after", "wipe", "depth", "large"):
        assert kind in names, kind
    assert max(scores) > 0.5
    channels = {upload.channel_id for upload in recorder.uploads}
    assert {server.log.id, gallery.id, server.channel.id, server.adult.id} <= channels
    delivered = [job for job in jobs if job.state is JobState.DELIVERED]
    assert {job.task for job in delivered} == {"img2img", "edit", "text2img"}
    assert {job.layout for job in delivered} >= {"grid", "part"}
    assert any(job.references for job in delivered)
    assert any(job.structure for job in delivered)
    assert any(job.mask for job in delivered)
