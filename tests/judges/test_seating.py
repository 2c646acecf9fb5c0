from pathlib import Path

import pytest
from profile_texts import PROMPTS, opener, read
from pydantic import TypeAdapter, ValidationError

from refuseu.errors import UserError
from refuseu.judges.chat import ChatJudge
from refuseu.judges.divided import DividedJudge
from refuseu.judges.lexicon import LexiconJudge
from refuseu.judges.llama_guard import LlamaGuardJudge
from refuseu.judges.nearest import NearestJudge
from refuseu.judges.ngrams import NgramJudge
from refuseu.judges.phrases import PhrasesJudge
from refuseu.judges.polyguard import PolyGuardJudge
from refuseu.judges.qwen3guard import Qwen3GuardJudge
from refuseu.judges.seating import judge_of, panel_of
from refuseu.judges.verdict import Judge
from refuseu.parameters.label import JudgePart, Label
from refuseu.phrasebook import Phrasebook

REFUSALS = PROMPTS.parent / "refusals"


def label(adjudicator: str, **judges: str) -> Label:
    """Parts by their kinds, or as a profile writes them."""
    return Label.model_validate(
        {
            "judges": {name: part(text) for name, text in judges.items()},
            "adjudicator": part(adjudicator),
            "question": "all",
            "chosen": "all",
            "rejected": "any",
        }
    )


def part(text: str) -> object:
    return read(text) if text.startswith("{") else {"kind": text}


def test_judges_have_the_names_of_the_profile_and_the_adjudicator_that_of_its_kind(
    books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    seats = label("ngrams", edit_distance="nearest", guard="{kind: polyguard, model: local}")
    panel = panel_of(seats, books, opener(tmp_path), PROMPTS, REFUSALS)
    assert [(name, type(judge)) for name, judge in panel.judges.items()] == [
        ("edit_distance", NearestJudge),
        ("guard", PolyGuardJudge),
    ]
    ((name, adjudicator),) = panel.adjudicators.items()
    assert (name, type(adjudicator)) == ("ngrams", NgramJudge)


@pytest.mark.parametrize(
    ("text", "seated"),
    [
        ("{kind: lexicon}", LexiconJudge),
        ("{kind: ngrams}", NgramJudge),
        ("{kind: nearest}", NearestJudge),
        ("{kind: phrases}", PhrasesJudge),
        ("{kind: phrases, questions: {kind: lexicon}}", DividedJudge),
        ("{kind: llama-guard-3, model: local}", LlamaGuardJudge),
        ("{kind: polyguard, model: local}", PolyGuardJudge),
        ("{kind: qwen3guard, model: local, strict: false}", Qwen3GuardJudge),
        ("{kind: chat, model: served}", ChatJudge),
    ],
)
def test_a_judge_of_every_kind(text: str, seated: type[Judge], books: dict[str, Phrasebook], tmp_path: Path) -> None:
    described: JudgePart = TypeAdapter(JudgePart).validate_python(read(text))
    assert type(judge_of(described, books, opener(tmp_path), PROMPTS, REFUSALS)) is seated


@pytest.mark.parametrize("text", ["{kind: polyguard, model: nobody}", "{kind: chat, model: nobody}"])
def test_a_model_that_the_profile_does_not_have_is_one_sentence(
    text: str, books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=r"^models.nobody: the profile has no such model .* it has base, local, served$"
    ):
        panel_of(label("nearest", one=text), books, opener(tmp_path), PROMPTS, REFUSALS)


def test_a_prompt_that_is_not_there_is_one_sentence(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    seats = label("{kind: chat, model: served}", one="lexicon")
    with pytest.raises(UserError, match=r"adjudicator.md: prompt file cannot be read .*; 'git restore"):
        panel_of(seats, books, opener(tmp_path), tmp_path, REFUSALS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{kind: qwen3guard, model: local}", "strict"),
        ("{kind: polyguard}", "model"),
        ("{kind: lexicon, model: local}", "model"),
        ("{kind: oracle}", "oracle"),
    ],
)
def test_a_judge_needs_what_its_kind_needs_and_no_more(text: str, expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        label("nearest", one=text)


def test_a_panel_may_be_one_judge_but_not_none(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    assert list(panel_of(label("nearest", only="lexicon"), books, opener(tmp_path), PROMPTS, REFUSALS).judges) == [
        "only"
    ]
    with pytest.raises(ValidationError, match="judges"):
        label("nearest")
