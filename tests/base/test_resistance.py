from pathlib import Path

import numpy as np
import pytest

from refuseu.base.resistance import Resistance, Spread, Table, read_table
from refuseu.core.errors import UserError
from refuseu.core.files import read_yaml
from refuseu.experiment import LANGUAGES, PLAIN, Kind
from refuseu.phrasebook.phrasebook import Behavior, Phrasebook, Reading, load_phrasebooks

ROOT = Path(__file__).parents[2]
OWN = ROOT / "data/base/resistance.yaml"
ALIKE = Table(languages={"de": 0.5, "lt": 0.3}, styles={}, spread=Spread(category=0, behavior=0, frame=0))


@pytest.fixture(scope="module")
def english() -> Phrasebook:
    params = read_yaml(ROOT / "params.yaml", "")
    return load_phrasebooks(ROOT / "data/phrasebook", ["en"], params["categories"], params["styles"])["en"]


def decisions(resistance: Resistance, language: str, plain: bool = False) -> np.ndarray:
    """Whether each harmful question is answered: behaviors x frames, plain ones or those of attack styles."""
    book = resistance.book
    frames = [(style, number) for style, number, _ in book.frames() if (style == PLAIN) == plain]
    behaviors = [
        Behavior(category, behavior_id, Kind.HARMFUL)
        for category, pairs in book.behaviors.items()
        for behavior_id in pairs
    ]
    return np.array([[resistance.complies(language, Reading(*frame, each)) for frame in frames] for each in behaviors])


def test_each_language_answers_its_share(english: Phrasebook) -> None:
    for seed in (1, 2):
        resistance = Resistance(read_table(OWN), english, seed)
        for language in ("lt", "pl"):
            assert decisions(resistance, language).mean() == pytest.approx(resistance.share(language), abs=0.02)


def test_languages_and_styles_are_known(english: Phrasebook) -> None:
    table = read_table(OWN)
    assert set(table.languages) <= set(LANGUAGES)
    assert set(table.styles) <= {style for style, _, _ in english.frames()}


def test_plain_requests_are_mostly_refused(english: Phrasebook) -> None:
    resistance = Resistance(read_table(OWN), english, 1)
    assert 0 < np.mean([decisions(resistance, language, plain=True) for language in ("en", "lt", "pl")]) < 0.1


def test_a_question_is_decided_once_whatever_is_asked_before_it(english: Phrasebook) -> None:
    table = read_table(OWN)
    first, again = Resistance(table, english, 1), Resistance(table, english, 1)
    english_first = decisions(first, "en")
    decisions(again, "lt")
    assert (decisions(again, "en") == english_first).all()
    assert (decisions(first, "lt") != english_first).any()
    assert (decisions(Resistance(table, english, 2), "en") != english_first).any()


def test_what_is_refused_in_one_language_is_mostly_refused_in_others(english: Phrasebook) -> None:
    resistance = Resistance(read_table(OWN), english, 1)
    one, other = decisions(resistance, "en"), decisions(resistance, "lv")
    for axis in (0, 1):
        assert np.corrcoef(one.mean(axis), other.mean(axis))[0, 1] > 0.9
    alike = Resistance(ALIKE, english, 1)
    one, other = decisions(alike, "de"), decisions(alike, "lt")
    for axis in (0, 1):
        assert abs(np.corrcoef(one.mean(axis), other.mean(axis))[0, 1]) < 0.4


@pytest.mark.parametrize("effect", ["category", "behavior", "frame"])
def test_each_effect_is_as_wide_as_the_table_says(effect: str, english: Phrasebook) -> None:
    table = ALIKE.model_copy(update={"spread": ALIKE.spread.model_copy(update={effect: 50.0})})
    shares = decisions(Resistance(table, english, 1), "de")
    by_effect = {
        "category": shares.reshape(14, -1).mean(1),
        "behavior": shares.mean(1),
        "frame": shares.mean(0),
    }[effect]
    assert np.isin(np.round(by_effect), (0, 1)).all()
    assert (np.abs(by_effect - 0.5) > 0.4).mean() > 0.8


def test_a_style_adds_its_effect(english: Phrasebook) -> None:
    table = ALIKE.model_copy(update={"styles": {"slang": 4.0}})
    shares = decisions(Resistance(table, english, 1), "de").mean(0).reshape(10, 4).mean(1)
    styled = dict(zip(english.styles, shares, strict=True))
    others = np.mean([share for style, share in styled.items() if style != "slang"])
    assert np.log(styled["slang"] / (1 - styled["slang"])) - np.log(others / (1 - others)) == pytest.approx(4, abs=0.5)
    assert decisions(Resistance(table, english, 1), "de").mean() == pytest.approx(0.5, abs=0.02)


def test_a_language_that_is_not_listed_has_the_mean_of_the_others(english: Phrasebook) -> None:
    resistance = Resistance(ALIKE, english, 1)
    assert resistance.share("xx") == pytest.approx(0.4)
    assert decisions(resistance, "xx").mean() == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(("share", "answered"), [(1e-9, 0.0), (1 - 1e-9, 1.0)])
def test_a_language_may_answer_nearly_all_or_nothing(share: float, answered: float, english: Phrasebook) -> None:
    table = ALIKE.model_copy(update={"languages": {"de": share}})
    assert decisions(Resistance(table, english, 1), "de").mean() == answered


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  lt: ", "  lt: 1", "languages.lt: must be less than 1"),
        ("  slang: -0.6", "  slang: much", "styles.slang: must be a valid number"),
        ("  frame: 1.5", "  frame: -1.5", "spread.frame: must be greater than or equal to 0"),
        ("  frame: 1.5", "  wording: 1.5", "spread.wording: unknown key"),
    ],
)
def test_a_wrong_entry_is_named(old: str, new: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "resistance.yaml"
    text = OWN.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_table(path)
    assert error.value.message.startswith(f"{path}: ")
    assert expected in error.value.message


def test_a_missing_table_says_how_to_get_it_back(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"resistance\.yaml.*git restore"):
        read_table(tmp_path / "resistance.yaml")
