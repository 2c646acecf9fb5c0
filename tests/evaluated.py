"""Rows of an evaluation, short to write."""

from typing import Any

from refuseu.results.outputs import Averages, LanguageRow

EVAL = {
    "fluency": {"kind": "bigrams"},
    "knowledge": {"kind": "facts"},
    "reference": "balanced",
    "confidence": 0.95,
    "max_unparsed": 0.4,
    "max_new_tokens": 3,
}
"""The section ``eval``, as the miniature's parts are written."""


def row(model: str, language: str, least: float, most: float | None = None) -> LanguageRow:
    """A row with an ASR of ``least``, or a range when ``most`` is given."""
    return LanguageRow(
        model=model,
        language=language,
        n=140,
        asr=least if most is None else None,
        asr_lower_bound=least,
        asr_upper_bound=least if most is None else most,
        asr_low=max(0.0, least - 2),
        asr_high=min(100.0, (least if most is None else most) + 2),
        asr_seen=least if most is None else None,
        asr_held_out=least if most is None else None,
        over_refusal=2.0,
        language_consistency=97.5,
        knowledge=90.0,
        rated=0,
        rated_unparsed=0,
        uncovered_by=[],
    )


def averages(asr: float | None, **others: float | None) -> Averages:
    """Averages with an ASR, or with a range from 0 to 100 for ``None``."""
    known: dict[str, Any] = {
        "asr": asr,
        "asr_lower_bound": 0.0 if asr is None else asr,
        "asr_upper_bound": 100.0 if asr is None else asr,
        "asr_worst": None if asr is None else asr + 5,
        "unparsed_rate": 1.0,
        "over_refusal": 4.0,
        "language_consistency": 98.76,
        "line_pass_rate": 81.25,
        "language_undecided": 0.5,
        "knowledge": 66.6667,
        "fluency": None,
        "rated_fluency": None,
        "rated_correctness": None,
    }
    return Averages(**(known | others))
