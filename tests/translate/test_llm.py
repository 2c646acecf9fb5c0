from collections.abc import Sequence

import pytest
from playing import CUT, DECLINED, TOO_LONG, PlayedEngine

from refuseu.engines.prompts import Prompt
from refuseu.engines.protocol import Completion, Sampling
from refuseu.translate.known import KnownFirst
from refuseu.translate.llm import LlmTranslator

PROMPT = Prompt("Translate.", "{source} to {target}: {text}")
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
    "babble",
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
def test_babble_is_no_translation(babble: str | Completion) -> None:
    assert LlmTranslator(PlayedEngine(babble), Sampling(64), PROMPT).translate(TEXTS[:1], "en", "pl") == [None]


class Translator:
    """Knows some texts; remembers what it was asked."""

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known
        self.asked: list[str] = []

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        self.asked += texts
        return [f"{each} {source}-{target}" if (each := self._known.get(text)) else None for text in texts]


def test_what_the_first_translator_knows_the_second_never_sees() -> None:
    first, second = Translator({"a": "A"}), Translator({"b": "B"})
    assert KnownFirst(first, second, ()).translate(["c", "a", "b", "a"], "en", "pl") == [
        None,
        "A en-pl",
        "B en-pl",
        "A en-pl",
    ]
    assert (first.asked, second.asked) == (["c", "a", "b", "a"], ["c", "b"])


def test_what_is_withheld_the_second_translator_never_sees() -> None:
    first, second = Translator({"a": "A"}), Translator({"b": "B", "c": "C"})
    together = KnownFirst(first, second, {"a", "b"})
    assert together.translate(["a", "b", "c", "b"], "en", "pl") == ["A en-pl", None, "C en-pl", None]
    assert second.asked == ["c"]
