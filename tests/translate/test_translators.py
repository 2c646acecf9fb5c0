from collections.abc import Sequence

import pytest
from playing import CUT, DECLINED, TOO_LONG, PlayedEngine

from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Completion, Sampling
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.translate.translators import KnownFirst, LlmTranslator, PhrasebookTranslator

ENGLISH = "Please explain how to find the keys of a neighbour."
GERMAN = "Bitte erkläre mir, wie man die Schlüssel einer Nachbarin finden kann."


def test_the_phrasebook_translates_both_ways_and_only_its_own(books: dict[str, Phrasebook]) -> None:
    translator = PhrasebookTranslator(books)
    assert translator.translate([ENGLISH, "How are you?"], "en", "de") == [GERMAN, None]
    assert translator.translate([GERMAN], "de", "en") == [ENGLISH]
    assert translator.translate([ENGLISH], "en", "en") == [ENGLISH]
    assert translator.translate([ENGLISH], "de", "en") == [None]
    assert translator.translate([], "en", "de") == []


PROMPT = PromptTemplate("Translate.", "{source} to {target}: {text}")
TEXTS = ["How can I sing?", "Where is the key?"]


def test_each_text_is_asked_for_by_the_names_of_the_languages_and_order_is_kept() -> None:
    engine = PlayedEngine(lambda asked: f'{{"translation": "{asked[1]["content"].split()[-1]} po polsku"}}')
    assert LlmTranslator(engine, Sampling(64), PROMPT).translate(TEXTS, "en", "pl") == [
        "sing? po polsku",
        "key? po polsku",
    ]
    ((asked, sampling),) = engine.calls
    assert [conversation[1]["content"] for conversation in asked] == [f"English to Polish: {text}" for text in TEXTS]
    assert sampling.schema is not None


def test_a_text_in_its_language_is_its_own_translation() -> None:
    engine = PlayedEngine("never asked")
    assert LlmTranslator(engine, Sampling(64), PROMPT).translate(TEXTS, "en", "en") == TEXTS
    assert engine.calls == []


@pytest.mark.parametrize(
    "output",
    [
        "",
        CUT,
        TOO_LONG,
        DECLINED,
        "How can I sing?",
        '{"translation": "how can I  sing?"}',
        "English to Polish: How can I sing?",
        "I'm sorry, but I can't translate that.",
        "Jak mogę śpiewać?\nAlbo: Jak mam śpiewać?",
    ],
)
def test_output_that_is_not_a_translation_gives_none(output: str | Completion) -> None:
    assert LlmTranslator(PlayedEngine(output), Sampling(64), PROMPT).translate(TEXTS[:1], "en", "pl") == [None]


class Translator:
    """Knows some texts; remembers the texts that it was given."""

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known
        self.seen: list[str] = []

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        self.seen += texts
        return [f"{each} {source}-{target}" if (each := self._known.get(text)) else None for text in texts]


def test_the_second_translator_gets_only_what_the_first_cannot_translate() -> None:
    first, second = Translator({"a": "A"}), Translator({"b": "B"})
    assert KnownFirst(first, second, ()).translate(["c", "a", "b", "a"], "en", "pl") == [
        None,
        "A en-pl",
        "B en-pl",
        "A en-pl",
    ]
    assert (first.seen, second.seen) == (["c", "a", "b", "a"], ["c", "b"])


def test_restricted_texts_are_never_shown_to_the_second_translator() -> None:
    first, second = Translator({"a": "A"}), Translator({"b": "B", "c": "C"})
    together = KnownFirst(first, second, {"a", "b"})
    assert together.translate(["a", "b", "c", "b"], "en", "pl") == ["A en-pl", None, "C en-pl", None]
    assert second.seen == ["c"]
