"""Brings questions into every language and checks them: language identification and back-translation chrF."""

from collections.abc import Iterable
from typing import Protocol

import pandas as pd

from refuseu.identification import Identifier
from refuseu.phrasebook import Phrasebook
from refuseu.progress import track
from refuseu.taxonomy import PIVOT

UNTRANSLATED, WRONG_LANGUAGE, LOW_CHRF = "not translated", "wrong language", "back-translation differs"


class Translator(Protocol):
    def translate(self, text: str, source: str, target: str) -> str | None:
        """The text in ``target``; ``None`` when it cannot be translated."""


class PhrasebookTranslator:
    """Takes a question apart in one language's phrasebook and puts it together in another's."""

    def __init__(self, books: dict[str, Phrasebook]) -> None:
        self._books = books

    def translate(self, text: str, source: str, target: str) -> str | None:
        reading = self._books[source].parse(text)
        return self._books[target].compose(reading) if reading else None


def translate(
    questions: pd.DataFrame, languages: list[str], translator: Translator, min_chrf: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every English question in every language.

    Returns:
        Translations (``records.TRANSLATION``) and rejections (``records.REJECTION``); together one row for each
        question and language.
    """
    from sacrebleu.metrics import CHRF

    identifier, chrf = Identifier(languages), CHRF()
    kept, rejected = [], []
    for question in track(questions.to_dict("records"), len(questions), "translate", "question"):
        for lang in languages:
            text = translator.translate(question["text"], PIVOT, lang)
            back = translator.translate(text, lang, PIVOT) if text else None
            score = chrf.sentence_score(back or "", [question["text"]]).score
            identified = identifier.identify(text or "")
            reason = _reason(text, identified.restricted == lang, score >= min_chrf)
            if reason:
                rejected.append({"question_id": question["question_id"], "lang": lang, "reason": reason})
            else:
                row = {"lang_restricted": identified.restricted, "lang_free": identified.free, "chrf": score}
                kept.append({**question, "lang": lang, "text": text, **row})
    return _frame(kept, [*questions.columns, "lang_restricted", "lang_free", "chrf"]), _frame(
        rejected, ["question_id", "lang", "reason"]
    )


def _reason(text: str | None, right_language: bool, faithful: bool) -> str | None:
    if not text:
        return UNTRANSLATED
    if not right_language:
        return WRONG_LANGUAGE
    return None if faithful else LOW_CHRF


def _frame(rows: Iterable[dict[str, object]], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=columns)
