"""Writes what the evaluation found: the tables, the averages and the rows behind the plots."""

from collections.abc import Mapping
from pathlib import Path

from refuseu.core.files import write_json
from refuseu.eval import tables
from refuseu.eval.answers import Scored
from refuseu.eval.schemas import ANSWER, KNOWLEDGE, SET_ANSWER, VOTE
from refuseu.eval.sets import set_rows
from refuseu.eval.settings import EvalParameters
from refuseu.tables.writing import write_table


def write_results(
    scored: Scored,
    uncovered: Mapping[str, list[str]],
    parameters: EvalParameters,
    folder: Path,
    metrics: Path,
    rows: Path,
    plots: Path,
) -> None:
    """Write the tables below ``folder``, the averages, the rows a (model, language), and all others below ``plots``.

    ``uncovered`` is what the panel says of languages that a judge does not officially cover.
    """
    write_table(scored.answers, folder / "answers.parquet", ANSWER)
    write_table(scored.votes, folder / "votes.parquet", VOTE)
    write_table(scored.knowledge, folder / "knowledge.parquet", KNOWLEDGE)
    write_table(scored.sets, folder / "sets.parquet", SET_ANSWER)
    table = tables.language_rows(scored.answers, scored.knowledge, parameters.languages, parameters.eval)
    write_json(tables.averages(table), metrics)
    write_json(tables.with_coverage(table, uncovered), rows)
    for name, content in tables.plots(scored.answers, scored.votes, scored.knowledge, table, parameters).items():
        write_json(content, plots / f"{name}.json")
    write_json(set_rows(scored.sets, parameters), plots / "sets.json")
