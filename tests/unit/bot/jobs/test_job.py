"""The values that follow from a job's fields: steps, prompts, pictures, settings with an effect."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bot.jobs.job import Job, JobState, Reference, Variant, new_job_id
from bot.jobs.options import options_for, options_of
from bot.models import ConfiguredModels
from inference import ALL_OPTIONS, ModelEntry, Option, Task
from tests.support.jobs import job

FULL = job(
    "1" * 64,
    source_name="cat.png",
    source_channel_id=20,
    references=(
        Reference(stored="2" * 64, width=8, height=8, name="hat", channel_id=21),
        Reference(stored="3" * 64, width=8, height=8, name="", channel_id=None),
    ),
    mask="4" * 64,
    structure="5" * 64,
    depth="6" * 64,
    variants=(
        Variant(seed=1, strength=0.5, result="7" * 64),
        Variant(seed=2, strength=0.5),
        Variant(seed=3, strength=0.25),
    ),
)


def test_an_id_is_eight_random_bytes() -> None:
    ids = {new_job_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch("[0-9a-f]{16}", id_) for id_ in ids)


@pytest.mark.parametrize(
    ("steps", "strength", "taken"),
    [(10, 1.0, 10), (10, 0.55, 5), (10, 0.1, 1), (10, 0.05, 1), (0, 0.5, 1), (2, 0.5, 1)],
)
def test_a_variant_takes_its_share_of_the_steps_and_at_least_one(
    steps: int, strength: float, taken: int
) -> None:
    assert job(steps=steps).steps_of(Variant(seed=0, strength=strength)) == taken


def test_the_steps_of_all_variants_add_up_and_those_made_cost_nothing_more() -> None:
    assert FULL.total_steps == 5 + 5 + 2
    assert FULL.missing == (1, 2)
    # The references are read in every step, too.
    assert FULL.cost == (5 + 2) * (16 * 8 + 2 * 8 * 8)


def test_a_variant_of_a_sheet_has_prompts_and_a_label_of_its_own() -> None:
    plain = Variant(seed=0, strength=0.5)
    styled = replace(plain, style="Ink", prompt="an ink fox", negative_prompt="")
    one = job(prompt="a fox", negative_prompt="blue")
    assert [one.prompt_of(each) for each in (plain, styled)] == ["a fox", "an ink fox"]
    assert [one.negative_prompt_of(each) for each in (plain, styled)] == ["blue", ""]
    assert [each.label for each in (plain, styled)] == ["0.5", "Ink"]


def test_the_prompts_are_shown_as_the_user_wrote_them() -> None:
    styled = job(
        prompt="an ink fox", negative_prompt="fog", user_prompt="a fox", user_negative_prompt=""
    )
    assert (styled.shown_prompt, styled.shown_negative_prompt) == ("a fox", "")
    plain = job(prompt="a fox", negative_prompt="fog")
    assert (plain.shown_prompt, plain.shown_negative_prompt) == ("a fox", "fog")


def test_a_job_names_its_pictures() -> None:
    assert FULL.sources == ("1" * 64, "2" * 64, "3" * 64)
    assert FULL.uploads == (*FULL.sources, "4" * 64, "5" * 64)
    assert FULL.pictures == {str(n) * 64 for n in range(1, 8)}
    assert FULL.source_channel_ids == {20, 21}
    assert FULL.source_names == "cat.png, hat"
    text = job(None, source_name="", variants=FULL.variants[1:])
    assert (text.sources, text.uploads, text.source_names) == ((), (), "")
    assert text.pictures == set()


def test_no_more_pictures_are_made_of_a_finished_job() -> None:
    assert {state for state in JobState if state.finished} == {
        JobState.DELIVERED,
        JobState.FAILED,
        JobState.CANCELLED,
    }


OPTIONS: list[tuple[str, Task, frozenset[Option]]] = [
    ("sd2-depth", "img2img", ALL_OPTIONS | {"part", "mask", "structure"}),
    ("sd2-depth", "text2img", ALL_OPTIONS - {"strength"}),
    ("sd2-depth", "edit", ALL_OPTIONS - {"strength"} | {"mask"}),
    ("sdxl-turbo", "img2img", frozenset({"strength", "mask"})),
    ("sdxl-turbo", "text2img", frozenset()),
    # The catalogue does not have a model in a folder of the operator's.
    ("/models/own", "img2img", ALL_OPTIONS),
    ("/models/own", "text2img", ALL_OPTIONS - {"strength"}),
]


@pytest.mark.parametrize(("model", "task", "options"), OPTIONS)
def test_the_settings_with_an_effect_depend_on_the_model_and_the_task(
    model: str, task: Task, options: frozenset[Option]
) -> None:
    one: Job = job(model=model, task=task)
    assert options_of(one) == options
    assert options_for(task, frozenset({"guidance"})) == {"guidance"}


def test_a_configured_model_decides_about_the_settings_of_its_jobs() -> None:
    own = ModelEntry(name="own", source="", licence="", options=frozenset({"mask"}))
    models = ConfiguredModels([own])
    assert models.options_of(job(model="own", task="edit")) == {"mask"}
    assert models.options_of(job(model="sdxl-turbo")) == {"strength", "mask"}
