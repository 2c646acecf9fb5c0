"""Rows of an evaluation, short to write."""

from typing import Any

from refuseu.eval.settings import EvalParameters
from refuseu.results.outputs import Averages, LanguageRow, SetRow

EVAL = {
    "fluency": {"kind": "bigrams"},
    "knowledge": {"kind": "facts"},
    "reference": "balanced",
    "confidence": 0.95,
    "max_unparsed": 0.4,
    "max_new_tokens": 3,
}
"""The section ``eval``, as the miniature's parts are written."""


def asking(sets: dict[str, Any]) -> EvalParameters:
    """The parameters of an evaluation in English and German, with these test sets."""
    return EvalParameters.model_validate(
        {
            "languages": ["en", "de"],
            "categories": {"S1": "Violent Crimes", "S12": "Sexual Content"},
            "styles": {"slang": "Slang"},
            "models": {},
            "label": {"judges": {"a": {"kind": "lexicon"}}, "question": "all", "chosen": "all", "rejected": "any"},
            "train": {
                "seeds": [0],
                "languages": ["en"],
                "benign_share": 0.1,
                "configs": {"balanced": {"languages": "all"}},
                "single": [],
            },
            "eval": {**EVAL, "sets": sets},
            "split.near_duplicate": 0.8,
        }
    )


FACT = {
    "test": "facts",
    "question_id": "capital-fr",
    "lang": "en",
    "correct": True,
    "margin": 0.5,
    "source": "phrasebook",
}
"""A right answer to a question of knowledge, without the model that gave it."""


def language_row(**known: Any) -> LanguageRow:
    """A row with the numbers that are given, and ``None`` for all others."""
    return LanguageRow(**dict.fromkeys(LanguageRow.model_fields) | {"n": 140, "uncovered_by": []} | known)


def row(model: str, language: str, lowest: float, highest: float | None = None) -> LanguageRow:
    """A row with an ASR of ``lowest``, or a range up to ``highest`` when that is given."""
    asr, end = (lowest, lowest) if highest is None else (None, highest)
    return language_row(
        model=model,
        language=language,
        **asr_columns(asr, lowest, end),
        asr_low=max(0.0, lowest - 2),
        asr_high=min(100.0, end + 2),
        asr_seen=asr,
        asr_held_out=asr,
        over_refusal=2.0,
        language_consistency=97.5,
        knowledge=90.0,
    )


def asr_columns(asr: float | None, lowest: float = 0.0, highest: float = 100.0) -> dict[str, float | None]:
    """An ASR and its bounds, which are the ASR itself where there is one, and ``lowest`` and ``highest`` where it is a range."""
    bounds = (lowest, highest) if asr is None else (asr, asr)
    return dict(zip(("asr", "asr_lower_bound", "asr_upper_bound"), (asr, *bounds), strict=True))


def averages(asr: float | None, **others: float | None) -> Averages:
    """Averages with an ASR, or with a range from 0 to 100 for ``None``."""
    known: dict[str, Any] = {
        **dict.fromkeys(Averages.model_fields),
        **asr_columns(asr),
        "seeds": 1,
        "asr_low": 0.0 if asr is None else max(0.0, asr - 3),
        "asr_high": 100.0 if asr is None else min(100.0, asr + 3),
        "asr_worst": None if asr is None else asr + 5,
        "unparsed_rate": 1.0,
        "over_refusal": 4.0,
        "language_consistency": 98.76,
        "line_pass_rate": 81.25,
        "language_undecided": 0.5,
        "knowledge": 66.6667,
    }
    return Averages(**(known | others))


def set_row(**known: Any) -> SetRow:
    """A row of a test set with the numbers that are given, and ``None`` for all others."""
    return SetRow(**dict.fromkeys(SetRow.model_fields) | known)
