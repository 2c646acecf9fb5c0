import random

import pytest
import yaml
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.experiment import LANGUAGES
from refuseu.phrasebook.phrasebook import PLACEHOLDER, load_phrasebooks
from refuseu.text import identification
from refuseu.text.identification import Identified, Identifier, is_english

SAMPLE = 60
"""Questions a language."""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Leider muss ich diese Anfrage ablehnen, denn sie wäre gefährlich.", "de"),
        ("Unfortunately I have to decline this request, because it is dangerous.", "en"),
        ("Malheureusement, je dois refuser cette demande, car elle est dangereuse.", "fr"),
    ],
)
def test_plain_sentences(text: str, code: str) -> None:
    assert Identifier(list(LANGUAGES)).identify(text) == Identified(code, code)


@pytest.mark.parametrize("text", ["", " ", "1, 2, 3 ...", "<|?|>"])
def test_a_text_without_letters_is_in_no_language(text: str) -> None:
    assert Identifier(["en", "de"]).identify(text) == Identified("", "")


def test_a_language_out_of_the_project_shows_in_the_free_answer() -> None:
    identified = Identifier(["en", "de"]).identify("Мне очень жаль, но я не могу ответить на этот вопрос.")
    assert identified.free == "ru"
    assert identified.restricted in ("en", "de")


def test_restricted_to_one_language_there_is_no_other() -> None:
    assert Identifier(["lv"]).identify("Unfortunately I have to decline this request.") == Identified("lv", "en")


@pytest.mark.parametrize("text", ["Leider muss ich diese Anfrage ablehnen.", "Мне очень жаль.", "123 !", ""])
def test_the_restricted_question_alone_has_the_same_answer(text: str) -> None:
    identifier = Identifier(["en", "de"])
    assert identifier.restricted(text) == identifier.identify(text).restricted


def test_a_text_that_comes_again_is_looked_at_once_and_not_all_texts_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identification, "KEPT", 2)
    looked_at: list[str] = []

    class FakeModel:
        labels = ("en",)

        def classify(self, text: str) -> tuple[str, float]:
            looked_at.append(text)
            return "en", 0.0

    monkeypatch.setattr(identification, "_load", lambda languages: FakeModel())
    identifier = Identifier(["en"])
    assert {identifier.restricted(text) for text in "aabbaacab"} == {"en"}
    assert looked_at == list("abcb")


def test_a_language_that_the_identifier_cannot_tell_is_named() -> None:
    with pytest.raises(UserError, match=r"py3langid has no language 'nb', .* use a code of its 140: ace, af, am, "):
        Identifier(["en", "nb"])


def test_identifiers_do_not_share_their_languages() -> None:
    text = "Leider muss ich diese Anfrage ablehnen, denn sie wäre gefährlich."
    assert [Identifier(codes).identify(text).restricted for codes in (["en"], ["en", "de"], ["en"])] == [
        "en",
        "de",
        "en",
    ]


def test_at_least_99_percent_of_the_phrasebooks_texts_are_right() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    books = load_phrasebooks(ROOT / "data" / "phrasebook", list(LANGUAGES), params["categories"], params["styles"])
    identifier, rng = Identifier(list(LANGUAGES)), random.Random(1)
    right = []
    for code, book in books.items():
        frames, behaviors = [template for _, _, template in book.frames()], list(book.named_behaviors)
        questions = [rng.choice(frames).replace(PLACEHOLDER, rng.choice(behaviors)) for _ in range(SAMPLE)]
        right += [
            identifier.identify(text).restricted == code
            for text in [*questions, *book.refusals, *book.compliances.texts]
        ]
    assert len(right) >= 12 * SAMPLE
    assert sum(right) / len(right) >= 0.99


def test_english_is_english_in_latin_letters() -> None:
    identifier = Identifier(list(LANGUAGES))
    assert is_english("Yo, what's the trick to bend the rules, innit?", identifier)
    assert is_english("Is it naïve to ask for a café's rules?", identifier)
    assert not is_english("كيف يمكنني تجاوز قواعد النادي", identifier)
    assert not is_english("Comment puis-je contourner les règles du club ?", identifier)
    assert not is_english("", identifier)
