"""A text is the same text however its letters are put together: whatever compares texts says the same of both forms."""

import unicodedata
from functools import cache
from pathlib import Path

import pytest
from playing import PlayedEngine
from published_set import pairs_of, published_row, write_set
from repository import ROOT

from refuseu.core.files import read_yaml
from refuseu.eval.bigrams import BigramFluency
from refuseu.experiment import LANGUAGES
from refuseu.judges.lexicon import LexiconJudge
from refuseu.judges.nearest import NearestJudge
from refuseu.judges.ngrams import NgramJudge
from refuseu.judges.phrases import PhrasesJudge, load_refusal_phrases
from refuseu.judges.verdict import Exchange, Judge
from refuseu.llm.protocol import Sampling, user
from refuseu.llm.writing import written
from refuseu.phrasebook.phrasebook import Phrasebook, load_phrasebooks
from refuseu.rainbow_teaming.archive import bleu, self_bleu
from refuseu.rainbow_teaming.questions import question_id
from refuseu.respond.answers import PublishedAnswers, Question
from refuseu.sources.published import PublishedSet
from refuseu.sources.settings import Published
from refuseu.store.rows import Store
from refuseu.text.identification import Identifier, is_english
from refuseu.text.near_duplicates import similar_pairs
from refuseu.text.normal import composed, plain, writable
from refuseu.translate.questions import translate
from refuseu.translate.translators import PhrasebookTranslator

ACCENTED = ["fr", "pt", "pl", "cs", "sk", "lt", "lv"]


def apart(text: str) -> str:
    """The text with each accent as a character of its own (NFD)."""
    return unicodedata.normalize("NFD", text)


@cache
def books() -> dict[str, Phrasebook]:
    parameters = read_yaml(ROOT / "params.yaml", "")
    return load_phrasebooks(ROOT / "data/phrasebook", ["en", *ACCENTED], parameters["categories"], parameters["styles"])


def question(lang: str) -> str:
    """A question of the phrasebook with an accent in it."""
    book = books()[lang]
    found = (book.requests[0].replace("{behavior}", text) for text in book.named_behaviors)
    return next(text for text in found if apart(text) != text)


def accented(texts: list[str]) -> list[str]:
    return [text for text in texts if apart(text) != text]


def test_the_two_forms_of_a_name_are_one() -> None:
    assert composed(apart("Żaneta Łoś")) == "Żaneta Łoś"
    assert plain(apart("  ŻANETA\u00a0Łoś ")) == plain("żaneta łoś")
    # The capital folds to a letter and a sign, and these are one letter again.
    assert plain("ǰ") == plain("J\u030c") == "ǰ"


@pytest.mark.parametrize(("text", "fits"), [("Żółć 🙂", True), ("\ud83d", False), ("a\udc00b", False), ("a\0b", False)])
def test_halves_of_characters_and_nul_are_no_text(text: str, fits: bool) -> None:
    assert writable(text) == fits


@pytest.mark.parametrize("judge", [LexiconJudge, NgramJudge, NearestJudge])
@pytest.mark.parametrize("lang", ACCENTED)
def test_a_judge_of_the_miniature_says_the_same_of_both_forms(lang: str, judge: type[NgramJudge]) -> None:
    judges = _judge(judge)
    book = books()[lang]
    exchanges = [
        Exchange(lang, question(lang), answer) for answer in accented([*book.refusals, *book.compliances.texts])
    ]
    assert exchanges
    twins = [Exchange(lang, apart(each.question), apart(each.answer or "")) for each in exchanges]
    verdicts = judges.judge(twins)
    assert verdicts == judges.judge(exchanges)
    assert {each.reply.value for each in verdicts} <= {"refusal", "compliance"}


@cache
def _judge(kind: type[NgramJudge]) -> Judge:
    return kind(books())


@pytest.mark.parametrize("lang", ACCENTED)
def test_phrases_says_the_same_of_both_forms(lang: str) -> None:
    judge = PhrasesJudge(load_refusal_phrases(ROOT / "data/refusals", LANGUAGES))
    answers = accented([*books()[lang].refusals, *books()[lang].compliances.texts])
    one, other = (judge.judge([Exchange(lang, "?", form(text)) for text in answers]) for form in (composed, apart))
    assert one == other


@pytest.mark.parametrize("lang", ACCENTED)
def test_fluency_is_the_same_in_both_forms(lang: str) -> None:
    answers = accented(books()[lang].refusals)
    assert BigramFluency(books()).scores([Exchange(lang, "?", apart(each)) for each in answers]) == [5.0] * len(answers)


def test_the_language_of_both_forms_is_the_same() -> None:
    identifier = Identifier(list(books()))
    short = [
        word for lang in ACCENTED for text in books()[lang].refusals for word in text.split() if apart(word) != word
    ]
    assert [identifier.identify(apart(word)) for word in short] == [identifier.identify(word) for word in short]
    # As separate signs, accents are no letters, and this would be in ASCII to nine letters of ten.
    odd = "The " + "é" * 6 + " is a word of the people and so on and on, they say."
    assert is_english(apart(odd), Identifier(["en"])) == is_english(odd, Identifier(["en"]))


def test_near_duplicates_and_questions_are_found_in_both_forms(books: dict[str, Phrasebook]) -> None:
    text = "Wie schön ist die Küche für Gäste?"
    assert similar_pairs([apart(text)], [text], 1.0) == [(0, 0, 1.0)]
    assert question_id(apart(text)) == question_id(text)
    assert bleu(apart(text), text) == pytest.approx(1.0)
    assert self_bleu([apart(text), text], 2, 1) == pytest.approx(1.0)


def test_a_model_that_repeats_its_prompt_in_the_other_form_wrote_nothing() -> None:
    conversation = user("Umformulieren: Wie schön ist die Küche?")
    engine = PlayedEngine(apart("Wie schön ist die Küche?"))
    assert written(engine, [conversation], Sampling(8), "question") == [None]


def test_the_phrasebook_translates_both_forms() -> None:
    translator = PhrasebookTranslator(books())
    asked = question("pl")
    english = translator.translate([asked], "pl", "en")
    assert english != [None]
    assert translator.translate([apart(asked)], "pl", "en") == english


def test_a_back_translation_in_the_other_form_is_faithful() -> None:
    import pandas as pd

    text = "What is a naïve café, a cliché, a façade, a piñata?"

    class There:
        def translate(self, texts: list[str], source: str, target: str) -> list[str]:
            return [apart(each) for each in texts]

    questions = pd.DataFrame(
        [
            dict.fromkeys(("question_id", "kind", "group_id", "category", "style", "behavior_id", "frame_id"), "x")
            | {"text": text}
        ]
    ).assign(lang="en")
    kept, _ = translate(questions, Identifier(["en"]), There(), 100.0)  # type: ignore[arg-type]
    assert list(kept["chrf"]) == [100.0]
    assert list(kept["text"]) == [apart(text)]  # and stays as it came


def test_a_published_set_knows_its_questions_in_both_forms(tmp_path: Path) -> None:
    asked = "Jak żółć działa?"
    rows = [published_row("q", lang, question=asked, chosen="Nie.") for lang in ("en", "pl")]
    rows[1]["rejected"][0]["content"] = apart(asked)
    write_set(tmp_path / "mine", pairs_of(rows, rows), ending=".jsonl")
    found = PublishedSet(Published(source="mine"), tmp_path, ["en", "pl"], Store(tmp_path / "rows.sqlite"))
    assert PublishedAnswers(found).refuse([Question("train-q", "pl", apart(asked))]) == ["Nie."]


def test_a_file_of_texts_is_read_in_one_form(tmp_path: Path) -> None:
    (tmp_path / "pl.yaml").write_text(apart("refusals: [Żółć]\n"), encoding="utf-8")
    assert read_yaml(tmp_path / "pl.yaml", "", texts=True) == {"refusals": ["Żółć"]}
