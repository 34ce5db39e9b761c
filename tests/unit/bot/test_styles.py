"""The shipped styles, and those of the bundled model."""

from __future__ import annotations

from bot.styles import Styles
from inference import unknown_words


def test_the_bundled_model_knows_every_word_of_its_styles() -> None:
    styles = Styles.shipped_for("pocket")
    assert len(styles.names) >= 6
    for name in styles.names:
        styled = styles.apply(name, "a fox", "")
        assert unknown_words("pocket", styled.prompt) == (), name
        assert styled.prompt.startswith("a fox on ")


def test_other_models_have_the_general_styles() -> None:
    assert "Watercolour" in Styles.shipped_for("sd2-depth").names
    assert "Watercolour" not in Styles.shipped_for("pocket").names
