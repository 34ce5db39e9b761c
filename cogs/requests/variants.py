"""The variants of a request: several seeds, or a sheet of strengths or styles."""

from __future__ import annotations

from bot.jobs.job import Variant
from bot.styles import Styles
from cogs.requests.draft import GRID_STRENGTHS, MAX_SEED, Draft
from inference import Option


def variants_of(
    draft: Draft, styles: Styles, options: frozenset[Option], *, seed: int, strength: float
) -> tuple[Variant, ...]:
    """The variants of a draft for a model with these `options`. On a sheet, all have the same seed.

    Raises:
        NoSuchStyle: a style of the sheet is not in the list.
    """
    if draft.layout != "grid":
        return tuple(
            Variant(seed=(seed + number) % (MAX_SEED + 1), strength=strength)
            for number in range(draft.pictures)
        )
    if not draft.styles:
        return tuple(Variant(seed=seed, strength=each) for each in GRID_STRENGTHS)
    variants = []
    for name in draft.styles:
        styled = styles.apply(name, draft.prompt, draft.negative_prompt)
        variants.append(
            Variant(
                seed=seed,
                strength=draft.strength or styled.strength or strength,
                style=name,
                prompt=styled.prompt,
                negative_prompt=styled.negative_prompt if "negative_prompt" in options else "",
            )
        )
    return tuple(variants)
