import pytest
from pydantic import ValidationError

from refuseu.judges.lexicon import LexiconJudge
from refuseu.judges.nearest import NearestJudge
from refuseu.judges.ngrams import NgramJudge
from refuseu.judges.seating import judge_of, panel_of
from refuseu.judges.verdict import Judge
from refuseu.parameters.label import JudgePart, Label
from refuseu.phrasebook import Phrasebook


def label(adjudicator: str, **judges: str) -> Label:
    return Label.model_validate(
        {
            "judges": {name: {"kind": kind} for name, kind in judges.items()},
            "adjudicator": {"kind": adjudicator},
            "question": "all",
            "chosen": "all",
            "rejected": "any",
        }
    )


def test_judges_have_the_names_of_the_profile_and_the_adjudicator_that_of_its_kind(
    books: dict[str, Phrasebook],
) -> None:
    panel = panel_of(label("ngrams", edit_distance="nearest", lexicon="lexicon"), books)
    assert [(name, type(judge)) for name, judge in panel.judges.items()] == [
        ("edit_distance", NearestJudge),
        ("lexicon", LexiconJudge),
    ]
    name, adjudicator = panel.adjudicator
    assert (name, type(adjudicator)) == ("ngrams", NgramJudge)


@pytest.mark.parametrize(
    ("kind", "seated"), [("lexicon", LexiconJudge), ("ngrams", NgramJudge), ("nearest", NearestJudge)]
)
def test_a_judge_of_every_kind(kind: str, seated: type[Judge], books: dict[str, Phrasebook]) -> None:
    assert type(judge_of(JudgePart.model_validate({"kind": kind}), books)) is seated


def test_a_panel_may_be_one_judge_but_not_none(books: dict[str, Phrasebook]) -> None:
    assert list(panel_of(label("nearest", only="lexicon"), books).judges) == ["only"]
    with pytest.raises(ValidationError, match="judges"):
        label("nearest")
