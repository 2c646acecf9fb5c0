import re
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.eval.rated_prompts import COLUMNS, read_prompts
from refuseu.experiment import LANGUAGES
from refuseu.text.identification import Identifier

SMALL = """
language: en
rephrase: ["Say this more kindly, please: “Shut the door.”", "Put this letter into plainer words for me."]
opinion: ["What do you think about rainy days at the sea?"]
request: ["Ask a neighbour politely to feed your two cats."]
"""


def read(folder: Path, text: str, per_language: int = 3) -> pd.DataFrame:
    (folder / "en.yaml").write_text(text, encoding="utf-8")
    return read_prompts(folder, ["en"], per_language)


def test_prompts_are_taken_from_the_kinds_in_turn(tmp_path: Path) -> None:
    ids = ["rephrase-01", "opinion-01", "request-01", "rephrase-02"]
    for count in (1, 2, 4):
        assert list(read(tmp_path, SMALL, count)["prompt_id"]) == ids[:count]
    row = {"prompt_id": "opinion-01", "lang": "en", "kind": "opinion"}
    table = read(tmp_path, SMALL)
    assert table.to_dict("records")[1] == {**row, "text": "What do you think about rainy days at the sea?"}
    assert list(table.columns) == COLUMNS


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("language: en", "language: de", "language: is 'de', the file's name says 'en'"),
        ("opinion:", "opinions:", "opinion: missing; opinions: unknown key"),
        ('["What do you think about rainy days at the sea?"]', "[]", "opinion: needs at least 1"),
        ('"Put this letter into plainer words for me."', '" "', "rephrase: entry 2: must not be empty"),
        (
            "two cats",
            "{animals}",
            "request: entry 1: holds a bracket as of a placeholder, but is asked as it stands; write the words themselves",
        ),
        (
            "What do you think about rainy days at the sea?",
            "ask a neighbour politely to feed your two cats.",
            "request: entry 1: 'Ask a neighbour politely to feed your two cats.' stands twice; write another prompt",
        ),
        (
            "Put this letter into plainer words for me.",
            "Schreib diesen Brief bitte in einfacheren Worten.",
            "rephrase: entry 2: reads as German, not as English; write it in that language",
        ),
        ("What do you think about rainy days at the sea?", "?!", "opinion: entry 1: has no letter, not as English"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(old: str, new: str, fault: str, tmp_path: Path) -> None:
    assert SMALL.count(old) == 1
    with pytest.raises(UserError) as error:
        read(tmp_path, SMALL.replace(old, new))
    assert error.value.message.startswith(f"{tmp_path}/en.yaml: {fault}")


def test_more_prompts_than_there_are_cannot_be_asked(tmp_path: Path) -> None:
    assert len(read(tmp_path, SMALL, 4)) == 4
    with pytest.raises(UserError) as error:
        read(tmp_path, SMALL, 5)
    assert error.value.message == (
        f"{tmp_path}/en.yaml: holds 4 prompts, eval.rating.prompts_per_language asks for 5; lower it, or write more"
    )


def test_a_language_without_a_file_is_told_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_prompts(tmp_path, ["lv"], 1)
    assert error.value.message == (
        f"{tmp_path}/lv.yaml: cannot be read (No such file or directory); write prompts of each kind in Latvian, as in en.yaml, "
        "or have nothing rated (eval.rating: {kind: none})"
    )


# The files that come with the project.

FOLDER = ROOT / "data/fluency"
LETTERS = {
    "en": "",
    "de": "äöüß",
    "fr": "àâæçèéêëîïôœùûüÿ",
    "it": "àèéìòù",
    "es": "áéíñóúü",
    "pt": "àáâãçéêíóôõú",
    "pl": "ąćęłńóśźż",
    "cs": "áčďéěíňóřšťúůýž",
    "sk": "áäčďéíĺľňóôŕšťúýž",
    "sl": "čšž",
    "lt": "ąčęėįšųūž",
    "lv": "āčēģīķļņšūž",
}
"""Letters beside a-z that words of the language are written with."""
QUOTES = {
    **dict.fromkeys(("en",), "“”"),
    **dict.fromkeys(("fr", "it", "es", "pt"), "«»"),
    **dict.fromkeys(("de", "cs", "sk", "lt"), "„“"),
    **dict.fromkeys(("pl", "lv"), "„”"),
    "sl": "»«",
}
FOUR_SENTENCES = {
    "en": r"four (polite )?sentences",
    "de": r"vier (höflichen |netten )?Sätze",
    "fr": r"quatre phrases",
    "it": r"quattro frasi",
    "es": r"cuatro frases",
    "pt": r"quatro frases",
    "pl": r"czter(y|ech) (uprzejmych |grzecznych )?zda(nia|niach|ń)\b",
    "cs": r"čty(ři|řech|řmi) (zdvořilými )?vět(y|ách|ami)\b",
    "sk": r"štyr(i|och|mi) (zdvorilými )?vet(y|ách|ami)\b",
    "sl": r"štir(i|je|ih|imi) (vljudnimi )?(poved|stavk)",
    "lt": r"ketur(i|is|ių|iais) (mandagiais )?sakini(ai|us|ų|ais)\b",
    "lv": r"četr(i|us|iem|os) (pieklājīgos )?teikum(i|us|iem|os)\b",
}
"""How the language asks for at most four sentences."""


@pytest.fixture(scope="module")
def prompts() -> pd.DataFrame:
    return read_prompts(FOLDER, list(LANGUAGES), 50)


def test_every_language_has_fifty_prompts(prompts: pd.DataFrame) -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(LANGUAGES)
    counts = prompts.groupby(["lang", "kind"]).size()
    assert dict(counts) == {
        (lang, kind): count
        for lang in LANGUAGES
        for kind, count in (("opinion", 17), ("rephrase", 17), ("request", 16))
    }
    with pytest.raises(UserError, match="holds 50 prompts"):
        read_prompts(FOLDER, ["sk"], 51)


def test_no_prompt_stands_in_two_places(prompts: pd.DataFrame) -> None:
    assert prompts[prompts["text"].str.casefold().duplicated(keep=False)].empty


def test_every_prompt_reads_as_its_language_whatever_it_is_compared_with(prompts: pd.DataFrame) -> None:
    identifier = Identifier(list(LANGUAGES))
    found = [identifier.identify(text) for text in prompts["text"]]
    wrong = [
        text
        for text, lang, each in zip(prompts["text"], prompts["lang"], found, strict=True)
        if {each.restricted, each.free} != {lang}
    ]
    assert wrong == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_prompts_are_spelt_and_set_as_their_language_is(lang: str, prompts: pd.DataFrame) -> None:
    opening, closing = QUOTES[lang]
    for text in prompts.loc[prompts["lang"] == lang, "text"]:
        assert unicodedata.is_normalized("NFC", text) and not re.search(r"\s\s|[\"„“”«»]{2}", text), text
        assert set(filter(str.isalpha, text.casefold())) <= {*"abcdefghijklmnopqrstuvwxyz", *LETTERS[lang]}, text
        assert set(text) & set('"„“”«»') <= {opening, closing}, text
        marks = re.sub(f"[^{opening}{closing}]", "", text)
        assert marks == (opening + closing) * (len(marks) // 2), text
        assert re.search(FOUR_SENTENCES[lang], text, re.IGNORECASE), text
        assert 40 <= len(text) <= 350 and text[-1] in f".?!{closing}", text
