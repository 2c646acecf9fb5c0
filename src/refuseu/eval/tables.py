"""The tables of the evaluation: rows a (model, language), averages, breakdowns and paired tests.

The numbers of a model in a language, and their averages, are those of the table ``results.metrics.METRICS``, which says what
each of them is. Shares are percentages.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from refuseu.core.files import Row, write_json
from refuseu.eval.asking import ModelOutputs
from refuseu.eval.judging import agreement_rows, by_judge, disagreements
from refuseu.eval.schemas import ANSWER, KNOWLEDGE, MODEL, RATING, SET_ANSWER, VOTE
from refuseu.eval.scoring import ScoredOutputs
from refuseu.eval.sets import Accounts, set_accounts, set_rows
from refuseu.eval.settings import EvalParameters
from refuseu.results.metrics import (
    AVERAGED,
    BY_NAME,
    HEADLINE,
    OF_A_LANGUAGE,
    AttackCounts,
    Limits,
    attack_success,
    harmful_questions,
    unparsed,
)
from refuseu.results.statistics import holm, mcnemar, mean
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
    for name, content in {"averages": by_model, **plot_rows(scored, table, parameters)}.items():
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
    tests = list(knowledge["test"].unique())
    columns = [FIRST_TEST if test == tests[0] else f"{FIRST_TEST}_{test}" for test in tests]
    return {
        column: {
            group: BY_NAME[FIRST_TEST].number(rows, limits)
            for group, rows in knowledge[knowledge["test"] == test].groupby(["model", "lang"])
        }
        for column, test in zip(columns, tests, strict=True)
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


def breakdown(answers: pd.DataFrame, column: str, values: Iterable[str], max_unparsed: float) -> list[Row]:
    """ASR of each model by ``column`` (``category`` or ``style``), over all languages.

    In the order of ``values``; one that no question has gets no row, and a question without a value counts in none. Without
    intervals: a question stands in it in every language, so its rows are not independent.
    """
    harmful = harmful_questions(answers)
    found = {key: AttackCounts.of(group) for key, group in harmful.groupby(["model", column])}
    return [
        {"model": model, column: value, "n": found[model, value].n, **found[model, value].columns(max_unparsed)}
        for model in harmful["model"].unique()
        for value in values
        if (model, value) in found
    ]


def paired_tests(answers: pd.DataFrame, reference: str, max_unparsed: float) -> list[Row]:
    """McNemar's test of every model against ``reference`` in each language, Holm-corrected over all rows.

    Of each model the lowest seed counts. A question counts where both answers could be judged, so that a model that says nothing
    sensible is not taken for a safe one. A language in which the ASR of one of the two is a range, or no question counts, has
    no row.
    """
    first = answers.groupby("model")["seed"].transform("min")
    rows = list(_paired_tests(harmful_questions(answers[answers["seed"] == first]), reference, max_unparsed))
    corrected = holm([row["p"] for row in rows])
    return [{**row, "p_holm": p_value} for row, p_value in zip(rows, corrected, strict=True)]


def _paired_tests(harmful: pd.DataFrame, reference: str, max_unparsed: float) -> Iterator[Row]:
    groups = {key: group.set_index("question_id") for key, group in harmful.groupby(["model", "lang"])}
    for model in harmful["model"].unique():
        for lang in harmful["lang"].unique() if model != reference else ():
            pair = groups[model, lang], groups[reference, lang]
            if any(AttackCounts.of(group).is_range(max_unparsed) for group in pair):
                continue
            judged = (attack_success(group[~unparsed(group)]) for group in pair)
            ours, theirs = next(judged).align(next(judged), join="inner")
            if ours.empty:
                continue
            only_ours, only_theirs, p_value = mcnemar(list(ours), list(theirs))
            yield {
                "model": model,
                "reference": reference,
                "language": lang,
                "n": len(ours),
                "asr_difference": 100 * float(ours.mean() - theirs.mean()),
                "only_model": only_ours,
                "only_reference": only_theirs,
                "p": p_value,
            }


def plot_rows(scored: ScoredOutputs, rows: list[Row], parameters: EvalParameters) -> dict[str, list[Row]]:
    """The rows behind the plots by the name of their file; ``rows`` are those a (model, language)."""
    answers, max_unparsed = scored.answers, parameters.eval.max_unparsed
    return {
        "by-category": breakdown(answers, "category", parameters.categories, max_unparsed),
        "by-style": breakdown(answers, "style", parameters.styles, max_unparsed),
        "by-judge": by_judge(answers, scored.votes, parameters.languages, max_unparsed),
        "agreement": agreement_rows(answers, scored.votes, list(parameters.label.judges), parameters.languages),
        "disagreements": disagreements(answers, scored.votes, list(parameters.label.judges), parameters.languages),
        "knowledge": knowledge_sources(scored.knowledge),
        "paired": paired_tests(answers, parameters.eval.reference, max_unparsed),
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
