from pathlib import Path

import pytest
from parameter_files import Content
from planned import changed

from refuseu.commands.plan.shares import MINIATURE, PAPER, PUBLISHED, PUBLISHED_QUESTIONS, REAL_BASE, Shares, shares_of


@pytest.mark.parametrize(
    ("written", "base", "expected"),
    [("phrasebook", "trained", MINIATURE), ("phrasebook", "gguf", REAL_BASE), ("llm", "trained", PAPER)],
)
def test_shares_are_those_of_the_run_that_is_most_like_it(
    written: str, base: str, expected: Shares, tmp_path: Path
) -> None:
    def edit(_: Content, profile: Content) -> None:
        if base == "gguf":
            profile["base"] = {"kind": "gguf"}
        if written == "llm":
            profile["models"]["writer"] = {"engine": "openai", "model": "a-model"}
            profile["rainbow-teaming"]["mutator"] = {"kind": "llm", "model": "writer", "max_new_tokens": 9}

    assert shares_of(changed(tmp_path, edit)) is expected


@pytest.mark.parametrize(("rejected", "expected"), [("published", PUBLISHED), ("base", PUBLISHED_QUESTIONS)])
def test_all_of_a_published_set_is_kept_where_every_text_is_its_own(
    rejected: str, expected: Shares, tmp_path: Path
) -> None:
    def edit(_: Content, profile: Content) -> None:
        profile["rainbow-teaming"].update(mutator={"kind": "published"}, twin={"kind": "none"})
        profile["translate"]["translator"] = {"kind": "published"}
        profile["respond"].update(refuser={"kind": "published"}, rejected=rejected)

    assert shares_of(changed(tmp_path, edit)) is expected


def test_the_run_of_the_real_model_in_four_languages_and_the_count_in_12() -> None:
    assert REAL_BASE.complete**4 == pytest.approx(101 / 210, abs=0.01)
    assert REAL_BASE.complete**12 == pytest.approx(1 / 12, abs=0.03)
