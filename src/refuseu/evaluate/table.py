"""The tables that are shown of one model: its ASR by language, and the paper's own figures."""

from pathlib import Path
from typing import Any, Literal

import pandas as pd

from refuseu.eval.judging import by_judge
from refuseu.eval.schemas import KNOWLEDGE
from refuseu.eval.settings import EvalParameters
from refuseu.eval.tables import language_rows
from refuseu.evaluate.one_model import Result
from refuseu.results.markdown import NO_VALUE, Table, shown, span
from refuseu.results.metrics import BY_NAME
from refuseu.results.outcomes import outcome_rows
from refuseu.results.outputs import Asr
from refuseu.results.paper import Counterpart, PaperAsr
from refuseu.statistics.estimates import average

PAPER = Path("data/paper/asr.csv")
SIZES: tuple[Literal["8b", "70b"], ...] = ("8b", "70b")
CONFIGS, ALL = ("instruct", "abliterated", "balanced"), "all"
COUNTED = {"unparsed_rate": "unparsed", "language_consistency": "in language", "over_refusal": "over-refusal"}
"""What the table shows beside ASR, and how it calls that; over-refusal only where the questions hold benign ones."""


def table(result: Result, parameters: EvalParameters) -> Table:
    """Return a row a language and their averages: ASR with its interval, other counts, and ASR if one judge alone decided."""
    nothing = pd.DataFrame(columns=list(KNOWLEDGE.columns))
    rows = language_rows(result.answers, nothing, parameters.languages, parameters.eval)
    judged = by_judge(result.answers, result.votes, parameters.languages, parameters.eval.max_unparsed)
    judges = list(dict.fromkeys(str(row["judge"]) for row in judged))
    by_language = {(row["judge"], row["language"]): row for row in judged}
    counted = {name: words for name, words in COUNTED.items() if any(row[name] is not None for row in rows)}

    def line(row: dict[str, Any]) -> list[str]:
        alone = [by_language.get((judge, row["language"])) for judge in judges]
        return [
            str(row["language"]),
            str(row["n"]),
            _asr(row),
            span(row["asr_low"], row["asr_high"]),
            *(shown(row[name]) for name in counted),
            *(_asr(each) if each else shown(None) for each in alone),
        ]

    last = [
        "average",
        str(sum(row["n"] for row in rows)),
        _average(rows),
        _interval(outcome_rows(result.answers, nothing), parameters),
        *(shown(_mean(rows, name)) for name in counted),
    ]
    last += [_average([by_language[judge, row["language"]] for row in rows]) for judge in judges]
    header = ["language", "harmful", "ASR", "interval", *counted.values(), *(f"by {judge}" for judge in judges)]
    return Table(header, [*map(line, rows), last])


def paper_table(paper: PaperAsr, languages: list[str]) -> Table:
    """Return the paper's own ASR on RefusEU-test by language: its two models that were there, and the one trained on all."""
    columns = {f"{size} {config}": paper.of(Counterpart(size, config)) for size in SIZES for config in CONFIGS}
    names = [*(lang for lang in languages if any(lang in column for column in columns.values())), ALL]
    return Table(
        ["paper", *columns], [[name, *(shown(column.get(name)) for column in columns.values())] for name in names]
    )


def _asr(row: dict[str, Any]) -> str:
    return Asr.model_validate({name: row[name] for name in Asr.model_fields}).text


def _average(rows: list[dict[str, Any]]) -> str:
    """The ASR over languages; a range as soon as one language is one."""
    return _asr({name: _mean(rows, name) for name in Asr.model_fields})


def _interval(outcomes: pd.DataFrame, parameters: EvalParameters) -> str:
    """That of the average, which is no mean of the languages' intervals: they share their questions."""
    found = average(outcomes[outcomes["rate"] == "asr"], parameters.eval.confidence)
    return span(found.low, found.high) if found else NO_VALUE


def _mean(rows: list[dict[str, Any]], name: str) -> float | None:
    """A number over languages, as the table of metrics averages it."""
    average = BY_NAME[name].average
    assert average, name
    return average(pd.DataFrame(rows), name)
