"""Writes what the evaluation found: the tables, the averages and the rows behind the plots."""

from pathlib import Path

import pandas as pd

from refuseu.evaluation import tables
from refuseu.evaluation.sets import apart, set_rows
from refuseu.files.writing import write_json
from refuseu.parameters.eval import EvalParameters
from refuseu.records.answer import ANSWER
from refuseu.records.knowledge import KNOWLEDGE
from refuseu.records.set_answer import SET_ANSWER
from refuseu.records.writing import write_table


def write_results(
    answers: pd.DataFrame,
    knowledge: pd.DataFrame,
    parameters: EvalParameters,
    folder: Path,
    metrics: Path,
    rows: Path,
    plots: Path,
) -> None:
    """Write the tables below ``folder``, the averages, the rows a (model, language), and all others below ``plots``.

    ``answers`` are scored and those to all questions, ours and the sets'; ``knowledge`` are rows of ``records.KNOWLEDGE``.
    """
    own, of_sets = apart(answers)
    write_table(own, folder / "answers.parquet", ANSWER)
    write_table(of_sets, folder / "sets.parquet", SET_ANSWER)
    write_table(knowledge, folder / "knowledge.parquet", KNOWLEDGE)
    table = tables.language_rows(own, knowledge, parameters.languages, parameters.eval)
    write_json(tables.averages(table), metrics)
    write_json(table, rows)
    for name, content in tables.plots(own, table, parameters).items():
        write_json(content, plots / f"{name}.json")
    write_json(set_rows(of_sets, parameters), plots / "sets.json")
