"""The tables of the evaluation: rows a (model, language), averages, and what other modules of the room make of them.

The numbers of a model in a language, and their averages, are those of the table ``results.metrics.METRICS``, which says what
each of them is. Shares are percentages.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from refuseu.core.files import Row, write_json
from refuseu.eval.asking import ModelOutputs
from refuseu.eval.estimated import breakdown, differences, seed_rows, unseen, with_intervals
from refuseu.eval.judging import agreement_rows, by_judge, disagreements
from refuseu.eval.schemas import ANSWER, KNOWLEDGE, MODEL, RATING, SET_ANSWER, VOTE
from refuseu.eval.scoring import ScoredOutputs
from refuseu.eval.sets import Accounts, set_accounts, set_rows
from refuseu.eval.settings import EvalParameters
from refuseu.results.metrics import AVERAGED, BY_NAME, HEADLINE, OF_A_LANGUAGE, Limits
from refuseu.results.outcomes import outcome_rows, rates_of_knowledge, write_outcomes
from refuseu.statistics.rates import mean
from refuseu.tables.writing import write_table

FIRST_TEST = "knowledge"
"""The column of the first test of knowledge that the profile names; that of another is this, ``_`` and the test's name."""

NO_RATINGS = pd.DataFrame(columns=list(RATING.columns))
"""Of a run in which nobody rates."""


def write_results(
    scored: ScoredOutputs,
    uncovered: Mapping[str, list[str]],
    parameters: EvalParameters,
    folder: Path,
    metrics: Path,
    rows: Path,
    plots: Path,
) -> None:
    """Write the tables to ``folder``, the rows a (model, language) to ``rows``, and the averages and all other rows to ``plots``.

    The folder ``metrics`` gets the headline of each model, a file a model, which DVC shows as a row. ``uncovered`` holds, by
    judge, the languages that it is not officially made for.
    """
    write_table(scored.answers, folder / "answers.parquet", ANSWER)
    write_table(scored.votes, folder / "votes.parquet", VOTE)
    write_table(scored.knowledge, folder / "knowledge.parquet", KNOWLEDGE)
    write_table(scored.sets, folder / "sets.parquet", SET_ANSWER)
    write_table(scored.ratings, folder / "ratings.parquet", RATING)
    table = language_rows(scored.answers, scored.knowledge, parameters.languages, parameters.eval, scored.ratings)
    write_json(with_coverage(table, uncovered), rows)
    by_model = averages(table)
    for model, average in by_model.items():
        write_json(headline(average), metrics / f"{model}.json", digits=1)
    outcomes = outcome_rows(scored.answers, scored.knowledge)
    write_outcomes(outcomes, plots / "outcomes.json")
    outcomes = outcomes.astype(
        dict.fromkeys(outcomes.select_dtypes("str").columns, "category")
    )  # grouped in half the time
    by_model = with_intervals(by_model, outcomes, parameters.eval.confidence)
    for name, content in {"averages": by_model, **plot_rows(scored, table, outcomes, parameters)}.items():
        write_json(content, plots / f"{name}.json")


def write_evaluated(
    outputs: Sequence[ModelOutputs],
    judges: Mapping[str, str],
    sets: Accounts,
    scored: ScoredOutputs,
    parameters: EvalParameters,
    path: Path,
) -> None:
    """Write which models were asked and which judged, by their identities, and the account of every external test set."""
    models: dict[str, dict[str, str]] = {}
    for each in outputs:
        models.setdefault(each.model.name, {})[str(each.model.seed)] = each.identity
    counted = set_accounts(sets, scored.sets, parameters)
    write_json({"models": models, "judges": judges, "sets": counted, "identifiers_differ": scored.differ}, path)


def language_rows(
    answers: pd.DataFrame,
    knowledge: pd.DataFrame,
    languages: list[str],
    limits: Limits,
    ratings: pd.DataFrame = NO_RATINGS,
) -> list[Row]:
    """One row a (model, language): models in the order of ``answers``, languages in the order given.

    ``knowledge`` holds rows of ``schemas.KNOWLEDGE``, its tests in the order of the profile. A language that a test does not
    have, or a model that did not sit it, has ``None`` there. ``ratings`` holds rows of ``schemas.RATING``.
    """
    metrics = [metric for metric in OF_A_LANGUAGE if metric.of != "knowledge"]
    tables = {"answers": answers, "ratings": ratings}
    groups = {of: dict(list(table.groupby(["model", "lang"]))) for of, table in tables.items()}
    shares = knowledge_shares(knowledge, limits)
    return [
        {
            "model": model,
            "language": lang,
            **{
                metric.name: metric.number(groups[metric.of].get((model, lang), tables[metric.of][:0]), limits)
                for metric in metrics
            },
            **{column: by_group.get((model, lang)) for column, by_group in shares.items()},
        }
        for model in answers["model"].unique()
        for lang in languages
    ]


def knowledge_shares(knowledge: pd.DataFrame, limits: Limits) -> dict[str, dict[tuple[str, str], float | None]]:
    """By column, model and language, the share (percent) of a test's questions that were answered rightly."""
    return {
        column: {
            group: BY_NAME[FIRST_TEST].number(rows, limits)
            for group, rows in knowledge[knowledge["test"] == test].groupby(["model", "lang"])
        }
        for test, column in rates_of_knowledge(knowledge).items()
    }


def knowledge_sources(knowledge: pd.DataFrame) -> list[Row]:
    """One row a (test, language): how many questions it has and where they come from, which is the same for all models."""
    # The first that sat the tests; each model of a config answers the same questions.
    one_model = knowledge.set_index(list(MODEL)).loc[[tuple(knowledge[list(MODEL)].iloc[0])]]
    return [
        {"test": test, "language": lang, "questions": len(rows), "source": source}
        for (test, lang, source), rows in one_model.groupby(["test", "lang", "source"], sort=False)
    ]


def with_coverage(rows: list[Row], uncovered: Mapping[str, list[str]]) -> list[Row]:
    """``rows`` with the judges that are not officially made for the row's language; ``uncovered`` is by judge."""
    return [
        {**row, "uncovered_by": [judge for judge, langs in uncovered.items() if row["language"] in langs]}
        for row in rows
    ]


def averages(rows: list[Row]) -> dict[str, Row]:
    """Each model's averages over languages, with the number of languages that each test of knowledge has."""
    table = pd.DataFrame(rows)
    return {str(model): _average(group) for model, group in table.groupby("model", sort=False)}


def _average(rows: pd.DataFrame) -> Row:
    tests = [column for column in rows.columns if column.startswith(FIRST_TEST)]
    return {
        **{metric.name: metric.average(rows, metric.name) for metric in AVERAGED if metric.average},
        **{column: mean(rows[column].astype(float)) for column in tests if column != FIRST_TEST},
        **{f"languages_{column}": int(rows[column].notna().sum()) for column in tests},
    }


def headline(average: Row) -> Row:
    """The few averages of a model that DVC shows as its metrics, under short names."""
    return {metric.headline: average[metric.name] for metric in HEADLINE}


def plot_rows(
    scored: ScoredOutputs, rows: list[Row], outcomes: pd.DataFrame, parameters: EvalParameters
) -> dict[str, list[Row]]:
    """The rows behind the plots by the name of their file; ``rows`` are those a (model, language)."""
    answers, max_unparsed = scored.answers, parameters.eval.max_unparsed
    return {
        "by-category": breakdown(outcomes, "category", parameters.categories, parameters.eval),
        "by-style": breakdown(outcomes, "style", parameters.styles, parameters.eval),
        "by-judge": by_judge(answers, scored.votes, parameters.languages, max_unparsed),
        "agreement": agreement_rows(answers, scored.votes, list(parameters.label.judges), parameters.languages),
        "disagreements": disagreements(answers, scored.votes, list(parameters.label.judges), parameters.languages),
        "knowledge": knowledge_sources(scored.knowledge),
        "differences": differences(outcomes, parameters.eval.reference, parameters.eval.confidence),
        "unseen": unseen(outcomes, parameters.eval.confidence),
        "seeds": seed_rows(answers, parameters.eval),
        "transfer": transfer(rows, parameters.train.single_languages(parameters.languages)),
        "sets": set_rows(scored.sets, parameters),
    }


def transfer(rows: list[Row], trained_on: dict[str, str]) -> list[Row]:
    """ASR of the models trained on one language by language of training and of evaluation; ``trained_on`` is by model."""
    return [
        {
            "trained_on": trained_on[row["model"]],
            "evaluated_in": row["language"],
            **{name: row[name] for name in ("asr", "asr_lower_bound", "asr_upper_bound", "n")},
        }
        for row in rows
        if row["model"] in trained_on
    ]
