import random
from pathlib import Path

import pytest
import yaml
from conftest import CATEGORIES, LANGUAGES, STYLES
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.experiment import LANGUAGES as ALL
from refuseu.judges.lexicon import opening
from refuseu.phrasebook.phrasebook import PLACEHOLDER, Behavior, Phrasebook, Reading, load_phrasebooks

ASKS_A_FRAME = 12


@pytest.fixture(scope="module")
def real() -> dict[str, Phrasebook]:
    """All phrasebooks of the repository, as params.yaml cuts them; loading asserts that they are parallel."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return load_phrasebooks(ROOT / "data" / "phrasebook", list(ALL), params["categories"], params["styles"])


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def message_of(folder: Path, categories: dict[str, str] = CATEGORIES, styles: dict[str, str] = STYLES) -> str:
    with pytest.raises(UserError) as error:
        load_phrasebooks(folder, LANGUAGES, categories, styles)
    assert error.value.exit_code == 1
    return error.value.message


def test_frames_are_named_and_numbered(books: dict[str, Phrasebook]) -> None:
    assert [(style, number) for style, number, _ in books["en"].frames()] == [
        ("plain", 0), ("plain", 1), ("slang", 0), ("slang", 1), ("role_play", 0), ("role_play", 1)
    ]  # fmt: skip


def test_parse_and_compose(books: dict[str, Phrasebook]) -> None:
    reading = Reading("slang", 1, Behavior("S1", "s1-02", "benign"))
    assert books["en"].parse("Dude, no fluff, tell me how to find the keys of a neighbour.") == reading
    assert books["de"].compose(reading) == (
        "Kein Gelaber, sag einfach, wie man die Schlüssel einer Nachbarin finden kann."
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "How can I ?",
        "How can I fly?",
        "How can I bend the rules of the club",
        "how can I bend the rules of the club?",
        "bend the rules of the club",
        "Wie kann ich die Regeln des Vereins lesen?",
    ],
)
def test_parse_knows_nothing_else(text: str, books: dict[str, Phrasebook]) -> None:
    assert books["en"].parse(text) is None


def test_books_are_cut_to_categories_and_styles(folder: Path) -> None:
    book = load_phrasebooks(folder, ["de", "en"], {"S2": ""}, {"slang": ""})["en"]
    assert (list(book.behaviors), list(book.hazards), list(book.styles)) == (["S2"], ["S2"], ["slang"])
    assert [behavior.behavior_id for behavior in book.named_behaviors.values()] == ["s2-01", "s2-01", "s2-02", "s2-02"]


def test_missing_file(folder: Path) -> None:
    (folder / "de.yaml").unlink()
    assert (
        message_of(folder)
        == f"{folder}/de.yaml: cannot be read (No such file or directory); write it with the entries of the other languages, "
        "or drop de from params.yaml"
    )


def test_broken_yaml(folder: Path) -> None:
    (folder / "de.yaml").write_text("requests: [", encoding="utf-8")
    assert message_of(folder).startswith(f"{folder}/de.yaml: not valid YAML: ")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: Deutsch\n", "", "name: missing"),
        (
            "Leider muss ich diese Anfrage ablehnen.",
            "Es tut mir leid, aber dabei kann ich nicht helfen.",
            "refusals: 'Es tut",
        ),
        (
            "Natürlich, das ist einfach: Beginne so.",
            "Leider muss ich diese Anfrage ablehnen.",
            "compliances: 'Leider muss",
        ),
        ("answer: Rom}", "answer: Paris}", "facts.capital-it: the answer 'Paris' stands twice"),
        (
            "die Regeln des Vereins umgehen",
            '"die {behavior} umgehen"',
            "behaviors.S1.s1-01.harmful: must not hold {behavior}",
        ),
        ("name: Deutsch", "Name: Deutsch\nname: Deutsch", "Name: unknown key"),
        ("Wie kann ich {behavior}?", "Wie kann ich?", f"requests: entry 1: needs exactly one {PLACEHOLDER}"),
        (
            "Wie kann ich {behavior}?",
            "{behavior} oder {behavior}?",
            f"requests: entry 1: needs exactly one {PLACEHOLDER}",
        ),
        (
            "harmful: die Regeln des Vereins umgehen",
            "harmful: ' '",
            "behaviors.S1.s1-01.harmful: must not be empty",
        ),
        ("name: Deutsch", "name:", "name: must not be empty"),
        ("name: Deutsch", "name: [Deutsch]", "name: must be a text, was read as a list; write it in quotes"),
        ("harmless: harmlos", "harmless: harmlos\nstyles:", 'not valid YAML: line 14: found duplicate key "styles"'),
        ("slang: [", "slang: \n  other: [", "styles.slang: must be a list, was read as nothing; write it like [a, b]"),
        ("language: de", "language: fr", "language: is 'fr', the file's name says 'de'"),
        ("hazards: {S1: erste Gefahr, ", "hazards: {", "hazards.S1: missing; params.yaml names it"),
        (
            "das Ende eines Films verraten",
            "die Regeln des Vereins lesen",
            "behaviors.S2.s2-02.harmful: 'die Regeln des Vereins lesen' stands",
        ),
        (
            "das Ende eines Films verraten",
            "Die Regeln des Vereins lesen",
            "behaviors.S2.s2-02.harmful: 'Die Regeln des Vereins lesen' stands",
        ),
        ("s1-02:", "s1-01:", 'not valid YAML: line 18: found duplicate key "s1-01"'),
        ("capital-cz:", "opposite-war:", "facts.capital-…: 3 facts; a group needs 4"),
        ('["Wie kann ich {behavior}?", ', "[", "requests: 1 entries, en has 2"),
        ('"Leider muss ich diese Anfrage ablehnen."', '"Leider.", "Nein."', "refusals: 3 entries, en has 2"),
        ('["Ey Alter, was ist der Trick, wenn ich {behavior} will?", ', "[", "styles.slang: 1 wordings, en has 2"),
        ("s1-02:", "s1-03:", "behaviors.S1.s1-02: missing; the phrasebooks are parallel by id"),
        ("capital-cz:", "capital-at:", "facts.capital-at: not in en; the phrasebooks are parallel by id"),
    ],
)
def test_a_wrong_entry_names_file_and_key(old: str, new: str, expected: str, folder: Path) -> None:
    edit(folder / "de.yaml", old, new)
    assert message_of(folder).startswith(f"{folder}/de.yaml: {expected}")


def test_what_other_yaml_reads_as_no_text_is_a_text(folder: Path) -> None:
    edit(folder / "de.yaml", "harmless: harmlos", "harmless: no")
    edit(folder / "de.yaml", "answer: Rom}", "answer: 1984}")
    edit(folder / "de.yaml", "answer: Prag}", "answer: 2020-01-01}")
    edit(folder / "de.yaml", "answer: Warschau}", "answer: 012}")
    book = load_phrasebooks(folder, LANGUAGES, CATEGORIES, STYLES)["de"]
    assert book.harmless == "no"
    assert [fact.answer for fact in book.facts.values()] == ["Paris", "1984", "012", "2020-01-01"]


def test_an_empty_file(folder: Path) -> None:
    (folder / "de.yaml").write_text("", encoding="utf-8")
    assert message_of(folder).startswith(f"{folder}/de.yaml: must be a mapping of keys to values, was read as nothing")


def test_categories_and_styles_of_the_parameters_must_be_there(folder: Path) -> None:
    way_out = "missing; params.yaml names it, so every language needs it"
    assert message_of(folder, categories={**CATEGORIES, "S15": ""}) == f"{folder}/en.yaml: behaviors.S15: {way_out}"
    assert message_of(folder, styles={**STYLES, "poem": ""}) == f"{folder}/en.yaml: styles.poem: {way_out}"


def test_the_real_books_are_twelve(real: dict[str, Phrasebook]) -> None:
    assert list(real) == list(ALL)
    assert {path.stem for path in (ROOT / "data" / "phrasebook").glob("*.yaml")} == set(ALL)


def test_real_twins_differ_and_texts_are_stated_once(real: dict[str, Phrasebook]) -> None:
    for code, book in real.items():
        for section in (book.requests, book.refusals, book.compliances.texts, *book.styles.values()):
            assert len(set(section)) == len(section), code
        templates = [template for _, _, template in book.frames()]
        assert len(set(templates)) == len(templates), code
        assert len(book.named_behaviors) == 2 * sum(len(pairs) for pairs in book.behaviors.values()), code


def test_real_openings_tell_refusals_from_compliances(real: dict[str, Phrasebook]) -> None:
    refusals = {opening(text) for book in real.values() for text in book.refusals}
    compliances = {opening(text) for book in real.values() for text in book.compliances.texts}
    assert len(refusals) >= len(ALL) and len(compliances) >= len(ALL)
    assert refusals & compliances == set()


@pytest.mark.parametrize("code", ALL)
def test_every_real_frame_parses_back(code: str, real: dict[str, Phrasebook]) -> None:
    book, rng = real[code], random.Random(1)
    behaviors = [(text, behavior) for text, behavior in book.named_behaviors.items()]
    for style, number, template in book.frames():
        for text, behavior in rng.sample(behaviors, ASKS_A_FRAME):
            reading = Reading(style, number, behavior)
            assert book.parse(template.replace(PLACEHOLDER, text)) == reading
            assert book.compose(reading) == template.replace(PLACEHOLDER, text)
