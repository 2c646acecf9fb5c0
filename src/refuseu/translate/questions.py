"""Brings questions into every language: translated, or as people or models wrote them in each language.

A translation is checked by language identification and back-translation chrF, a question that was written in its language by
language identification alone.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from refuseu.core.progress import track
from refuseu.experiment import PIVOT
from refuseu.tables.schemas import REJECTION, TRANSLATION
from refuseu.tables.writing import account
from refuseu.text.identification import Identifier
from refuseu.text.normal import composed, plain
from refuseu.translate.translators import Translator

UNTRANSLATED, WRONG_LANGUAGE, LOW_CHRF = "not translated", "wrong language", "back-translation differs"
REPEATED = "equal to another question"


def translate(
    questions: pd.DataFrame, identifier: Identifier, translator: Translator, min_chrf: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Translate every English question into every language.

    Args:
        questions: the questions in English (``schemas.QUESTION``).
        identifier: tells the languages, into which the questions are brought; English is one like the others.
        translator: translates there and back.
        min_chrf: lowest chrF (0-100) of the back-translation with which a translation is kept.

    Returns:
        The translations that are kept (``schemas.TRANSLATION``) and the rejections (``schemas.REJECTION``): together one row
        for each question and language.
    """
    languages = identifier.languages
    by_language = [
        _translated(questions, lang, translator, identifier, min_chrf)
        for lang in track(languages, len(languages), "translate", "language")
    ]
    return _divided(by_language)


def take_written(questions: pd.DataFrame, identifier: Identifier) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take every question as it was written in its language; nothing is translated, so there is no chrF.

    Args:
        questions: the questions in each language (``schemas.QUESTION``).
        identifier: tells the languages.

    Returns:
        As ``translate``, with one row for each question. A text that another question of its language holds already, whatever
        the case and white space, is rejected.
    """
    return _divided([_checked(questions[questions["lang"] == lang], lang, identifier) for lang in identifier.languages])


def in_languages(questions: pd.DataFrame, languages: list[str], written: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    """Return the questions in each language (``schemas.QUESTION``), as others wrote them.

    Args:
        questions: the questions in English; their ids name the slots.
        languages: codes of the languages.
        written: the text of each slot in each language, by id and language.
    """
    return pd.concat(
        [
            questions.assign(lang=lang, text=[written[question_id, lang] for question_id in questions["question_id"]])
            for lang in languages
        ],
        ignore_index=True,
    )


def _divided(by_language: list[pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = pd.concat(by_language, ignore_index=True)
    kept, rejected = table[table["reason"].isna()], table[table["reason"].notna()]
    return kept[list(TRANSLATION.columns)], rejected[list(REJECTION.columns)]


def _checked(questions: pd.DataFrame, lang: str, identifier: Identifier) -> pd.DataFrame:
    """The questions of one language, with the reason as in ``_translated``."""
    identified = [identifier.identify(text) for text in questions["text"]]
    repeated = questions["text"].map(plain).duplicated()
    return questions.assign(
        lang_restricted=[each.restricted for each in identified],
        lang_free=[each.free for each in identified],
        chrf=float("nan"),
        reason=[
            WRONG_LANGUAGE if each.restricted != lang else REPEATED if again else None
            for each, again in zip(identified, repeated, strict=True)
        ],
    )


def _translated(
    questions: pd.DataFrame, lang: str, translator: Translator, identifier: Identifier, min_chrf: float
) -> pd.DataFrame:
    """All questions in one language, with the reason why a translation is not kept; the reason is ``None`` where it is kept."""
    from sacrebleu.metrics import CHRF

    originals = list(questions["text"])
    texts = translator.translate(originals, PIVOT, lang)
    back = iter(translator.translate([text for text in texts if text], lang, PIVOT))
    returned = [next(back) if text else None for text in texts]
    chrf = CHRF()
    scores = [
        chrf.sentence_score(composed(each or ""), [composed(text)]).score
        for each, text in zip(returned, originals, strict=True)
    ]
    identified = [identifier.identify(text or "") for text in texts]
    return questions.assign(
        lang=lang,
        text=texts,
        lang_restricted=[each.restricted for each in identified],
        lang_free=[each.free for each in identified],
        chrf=scores,
        reason=[
            _reason(text, each.restricted == lang, score >= min_chrf)
            for text, each, score in zip(texts, identified, scores, strict=True)
        ],
    )


def _reason(text: str | None, right_language: bool, faithful: bool) -> str | None:
    if not text:
        return UNTRANSLATED
    if not right_language:
        return WRONG_LANGUAGE
    return None if faithful else LOW_CHRF


def summary(rows_in: int, kept: pd.DataFrame, rejected: pd.DataFrame, languages: list[str]) -> dict[str, Any]:
    """Return the account of the stage, into which ``rows_in`` rows came, with two numbers for each language.

    ``chrf`` is the mean chrF (0-100) of the translations that are kept; no language has one where nothing was translated.
    ``identified_free`` is the share of them (percent) whose language is identified correctly among all languages that the
    identifier knows.
    """
    by_language = kept.groupby("lang")
    return {
        **account(rows_in, kept, rejected, languages),
        "chrf": by_language["chrf"].mean().dropna().to_dict(),
        "identified_free": (100 * (kept["lang_free"] == kept["lang"]).groupby(kept["lang"]).mean()).to_dict(),
    }
