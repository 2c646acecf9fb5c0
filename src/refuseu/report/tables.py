"""The paper's tables and those of the data behind them; shares are percentages."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from refuseu.experiment import HIGH_RESOURCE, by_resource
from refuseu.report.settings import BenignPairs
from refuseu.results.markdown import NO_VALUE, Table, shown
from refuseu.results.metrics import BY_NAME, TABLE2, Metric
from refuseu.results.outputs import (
    UNCOVERED,
    WHY_RANGE,
    Account,
    Asr,
    Evaluation,
    JudgeRow,
    LabelAccount,
    LanguageRow,
    SetRow,
    SplitAccount,
    uncovered_note,
)


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that exist."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def asr_table(evaluation: Evaluation, languages: list[str]) -> Table:
    """ASR (percent) of base and main configs: each language, average and worst."""
    ordered = by_resource(languages)
    cells = {name: [*evaluation.by_language(name, ordered), *_overall(evaluation, name)] for name in evaluation.main}
    return Table(
        ["model", *_covered(ordered, evaluation.uncovered), "average", "worst"],
        [[name, *map(_asr, found)] for name, found in cells.items()],
        lines=(1 + sum(lang in HIGH_RESOURCE for lang in ordered), 1 + len(ordered)),
        notes=_coverage(evaluation.uncovered) + _ranges(each for found in cells.values() for each in found),
    )


def _covered(languages: Sequence[str], uncovered: Mapping[str, Sequence[str]]) -> list[str]:
    """Languages as a header has them, with a sign behind those that a judge is not officially made for."""
    marked = {lang for langs in uncovered.values() for lang in langs}
    return [f"{lang}{UNCOVERED}" if lang in marked else lang for lang in languages]


def _coverage(uncovered: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """What the sign says, if any language has it."""
    return (uncovered_note(uncovered),) if uncovered else ()


def _overall(evaluation: Evaluation, config: str) -> tuple[Asr, Asr]:
    """Average and worst."""
    return evaluation.averages[config], evaluation.worst(config)


def _asr(found: Asr | None) -> str:
    return NO_VALUE if found is None else found.text


def _ranges(cells: Iterable[Asr | None]) -> tuple[str, ...]:
    """Why there are ranges in a table, if there are."""
    return (WHY_RANGE,) if any(cell is not None and cell.asr is None for cell in cells) else ()


def quality_table(evaluation: Evaluation, configs: list[str]) -> Table:
    """Averages over languages of everything but safety."""
    metrics = evaluation.telling(TABLE2)
    rows = [
        [name, *(shown(evaluation.averages[name][metric.name], metric.form) for metric in metrics)] for name in configs
    ]
    return Table(["model", *(metric.heading for metric in metrics)], rows, notes=_untested(evaluation))


def quality_notes(evaluation: Evaluation) -> list[str]:
    """What each column of ``quality_table`` is."""
    return [f"**{metric.heading}**: {metric.meaning}; mean over languages" for metric in evaluation.telling(TABLE2)]


def worst_table(evaluation: Evaluation, configs: list[str]) -> Table:
    """The value of the worst language beside its code, for the ASR and for every average that has a better direction."""
    ranked = [metric for metric in evaluation.telling(TABLE2) if metric.better]
    rows = []
    for name in configs:
        found = evaluation.of(name)
        rows.append([name, worst_cell(found, BY_NAME["asr"]), *(worst_cell(found, metric) for metric in ranked)])
    return Table(["model", "ASR", *(metric.heading for metric in ranked)], rows)


def worst_cell(rows: Sequence[LanguageRow], metric: Metric) -> str:
    """The value of the worst of ``rows`` and its language's code; of an ASR that is a range, the range that reaches highest."""
    found = [(value, row) for row in rows if (value := ranked_value(row, metric)) is not None]
    if not found:
        return NO_VALUE
    value, row = (max if metric.better == "lower" else min)(found, key=lambda each: each[0])
    return f"{row.text if metric.name == 'asr' else shown(value, metric.form)} {row.language}"


def ranked_value(row: LanguageRow, metric: Metric) -> float | None:
    """What a cell is compared by: of an ASR that is a range the most that it can be."""
    value = row[metric.name]
    return row.asr_upper_bound if value is None and metric.name == "asr" else value


SUMMARY = {
    "asr": "ASR",
    "asr_held_out": "unseen behaviors",
    "over_refusal": "over-refusal",
    "language_consistency": "language consistency",
    "knowledge": "knowledge",
    "unparsed_rate": "unparsed",
}
"""The rates of the summary, by their names, and what heads them."""


def summary_table(evaluation: Evaluation) -> Table:
    """Each main model's averages, with the worst language of each behind it in brackets; the README shows this table too."""
    rows = []
    for name in evaluation.main:
        languages, averages, cells = evaluation.of(name), evaluation.averages[name], [name]
        for rate in SUMMARY:
            metric = BY_NAME[rate]
            average = averages.text if rate == "asr" else shown(averages[rate], metric.form)
            cells.append(f"{average} ({worst_cell(languages, metric)})")
        rows.append(cells)
    known = [each for name in evaluation.main for each in (evaluation.averages[name], *evaluation.of(name))]
    return Table(["model", *SUMMARY.values()], rows, notes=_ranges(known))


def _untested(evaluation: Evaluation) -> tuple[str, ...]:
    """Which languages an average of knowledge leaves out, if any."""
    without = list(dict.fromkeys(row.language for row in evaluation.rows if row["knowledge"] is None))
    return (f"knowledge: averages leave out {', '.join(without)}, which the test does not have",) if without else ()


def table2(evaluation: Evaluation, languages: list[str]) -> Table:
    """The paper's Table 2: safety by language beside quality, base and main configs."""
    return _side_by_side(asr_table(evaluation, languages), quality_table(evaluation, evaluation.main))


def _side_by_side(left: Table, right: Table) -> Table:
    """Two tables of the same models as one."""
    rows = [one + other[1:] for one, other in zip(left.rows, right.rows, strict=True)]
    return Table(left.header + right.header[1:], rows, notes=left.notes + right.notes)


def single_table(evaluation: Evaluation) -> Table:
    """Averages of the single-language runs."""
    cells = {name: _overall(evaluation, name) for name in evaluation.single}
    safety = Table(
        ["model", "average", "worst"],
        [[name, *map(_asr, found)] for name, found in cells.items()],
        notes=_ranges(each for found in cells.values() for each in found),
    )
    return _side_by_side(safety, quality_table(evaluation, evaluation.single))


def benign_table(evaluation: Evaluation, languages: list[str], configs: BenignPairs | None) -> Table:
    """Over-refusal (percent) by language with and without benign pairs in the mix; no rows unless both were run."""
    ordered, rows = by_resource(languages), []
    compared = [configs.with_pairs, configs.without_pairs] if configs else []
    for name in compared if evaluation.averages.keys() >= set(compared) else ():
        found = [row["over_refusal"] if row else None for row in evaluation.by_language(name, ordered)]
        rows.append([name, *map(shown, [*found, evaluation.averages[name]["over_refusal"]])])
    return Table(
        ["model", *_covered(ordered, evaluation.uncovered), "average"],
        rows,
        notes=(
            f"**average**: mean over languages; `{compared[-1]}` trains without benign pairs, as the paper does",
            *_coverage(evaluation.uncovered),
        )
        if rows
        else (),
    )


def judge_table(evaluation: Evaluation, by_judge: Sequence[JudgeRow]) -> Table:
    """ASR (percent, mean over languages) as the panel calls it and as each judge alone would; no rows for a single judge."""
    judges = list(dict.fromkeys(row.judge for row in by_judge))
    own: dict[tuple[str, str], list[JudgeRow]] = {}
    for row in by_judge:
        own.setdefault((row.model, row.judge), []).append(row)
    cells = {
        name: [evaluation.averages[name], *(_mean_asr(own.get((name, judge), ())) for judge in judges)]
        for name in (evaluation.main if len(judges) > 1 else ())
    }
    return Table(
        ["model", "panel", *(f"{judge}{UNCOVERED if judge in evaluation.uncovered else ''}" for judge in judges)],
        [[name, *map(_asr, found)] for name, found in cells.items()],
        notes=_coverage(evaluation.uncovered) + _ranges(each for found in cells.values() for each in found),
    )


def _mean_asr(rows: Sequence[Asr]) -> Asr | None:
    """The mean, a range as soon as one is; ``None`` of nothing."""
    if not rows:
        return None
    known = [row.asr for row in rows if row.asr is not None]
    return Asr(
        asr=fmean(known) if len(known) == len(rows) else None,
        asr_lower_bound=fmean(row.asr_lower_bound for row in rows),
        asr_upper_bound=fmean(row.asr_upper_bound for row in rows),
    )


def ratings_table(evaluation: Evaluation) -> Table:
    """Marks of an LLM judge, how many answers they rest on, and how many it did not rate; no rows where none was asked."""
    rows = []
    for name, average in evaluation.averages.items():
        found = evaluation.of(name)
        rated, unparsed = (sum(row[count] or 0 for row in found) for count in ("rated", "rated_unparsed"))
        marks = [shown(average[mark], ".2f") for mark in ("rated_fluency", "rated_correctness")]
        rows += [[name, *marks, f"{rated:.0f}", f"{unparsed:.0f}"]] if rated + unparsed else []
    return Table(["model", "fluency", "correctness", "rated", "unparsed"], rows)


def paper_table(evaluation: Evaluation, paper: Mapping[str, Mapping[str, float]], languages: list[str]) -> Table:
    """ASR (percent) of the models that are the paper's too, ours above the paper's, in the languages that both have."""
    known = {lang for theirs in paper.values() for lang in theirs}
    ordered, rows = [lang for lang in by_resource(languages) if lang in known], []
    for name, theirs in paper.items():
        ours = evaluation.by_language(name, ordered)
        rows.append([name, "ours", *map(_asr, ours)])
        rows.append([name, "paper", *(shown(theirs.get(lang), ".2f") for lang in ordered)])
    return Table(["model", "from", *ordered], rows if ordered else [], names=2)


def set_asr_table(rows: Sequence[SetRow], languages: list[str]) -> Table:
    """ASR (percent) on the harmful questions of external test sets, by language, and the mean over languages."""
    harmful = [row for row in rows if row.n]
    table = _set_table(harmful, languages, lambda row: row.text, lambda rows: _asr(_mean_asr(rows)))
    return replace(table, notes=_ranges(harmful))


def set_refusal_table(rows: Sequence[SetRow], languages: list[str]) -> Table:
    """Over-refusal (percent) on the benign questions of external test sets, by language, and the mean over languages."""
    benign = [row for row in rows if row["over_refusal"] is not None]
    return _set_table(
        benign,
        languages,
        lambda row: shown(row["over_refusal"]),
        lambda rows: shown(mean(row["over_refusal"] for row in rows)),
    )


def _set_table(
    rows: Sequence[SetRow],
    languages: list[str],
    text: Callable[[SetRow], str],
    average: Callable[[Sequence[SetRow]], str],
) -> Table:
    """A row a (set, model)."""
    ordered = [lang for lang in by_resource(languages) if any(row.language == lang for row in rows)]
    cells: dict[tuple[str, str], dict[str, SetRow]] = {}
    for row in rows:
        cells.setdefault((row.set, row.model), {})[row.language] = row
    lines = [
        [*key, *(text(found[lang]) if lang in found else NO_VALUE for lang in ordered), average([*found.values()])]
        for key, found in cells.items()
    ]
    return Table(["set", "model", *ordered, "average"], lines, names=2)


def identifiers_table(differ: Mapping[str, Mapping[str, float]], languages: list[str]) -> Table:
    """The share (percent) of texts on which two identifiers differ, by kind and language; no row where one alone was asked."""
    ordered = by_resource(languages)
    rows = [[texts, *(shown(of.get(lang)) for lang in ordered)] for texts, of in differ.items() if of]
    return Table(["texts", *ordered], rows)


def accounting_table(accounts: dict[str, Account], of: str = "stage") -> Table:
    """The account of every stage, or of what else ``of`` names; reasons by their counts."""
    rows = []
    for stage, account in accounts.items():
        counted = sorted(account.rejected.items(), key=lambda item: -item[1])
        reasons = "; ".join(f"{reason}: {count}" for reason, count in counted if count)
        total = sum(account.rejected.values())
        rows.append([stage, *map(str, (account.rows_in, account.rows_out, total)), reasons or NO_VALUE])
    return Table([of, "rows in", "rows out", "rejected", "reasons"], rows, prose=True)


def acceptance_table(account: LabelAccount, languages: list[str]) -> Table:
    """Share (percent) of the pairs that the panel accepts, by language."""
    ordered = by_resource(languages)
    return Table(
        ["", *_covered(ordered, account.uncovered)],
        [["accepted", *(shown(account.acceptance_by_lang.get(lang)) for lang in ordered)]],
        notes=_coverage(account.uncovered),
    )


def agreement_table(account: LabelAccount) -> Table:
    """How far the judges agree on each item."""
    return Table(
        ["item", "agreement (%)", "AC1", "Cohen's kappa", "Fleiss' kappa"],
        [
            [
                item,
                shown(found.raw_agreement),
                *(shown(each, ".2f") for each in (found.gwets_ac1, found.cohens_kappa, found.fleiss_kappa)),
            ]
            for item, found in account.judges.items()
        ],
    )


def verdicts_table(account: LabelAccount) -> Table:
    """How often each judge said what of each item."""
    return Table(
        ["item", "judge", "harmful", "safe", "unparsed"],
        [
            [item, judge, *map(str, (said.harmful, said.safe, said.unparsed))]
            for item, found in account.judges.items()
            for judge, said in found.verdicts.items()
        ],
        names=2,
    )


def parts_table(account: SplitAccount) -> Table:
    """Sizes of train, dev and test."""
    rows = [
        [
            part,
            str(sizes.rows),
            str(sizes.questions),
            NO_VALUE if sizes.held_out_questions is None else str(sizes.held_out_questions),
            str(sizes.cells),
        ]
        for part, sizes in account.parts.items()
    ]
    return Table(["part", "rows", "questions", "held-out questions", "cells"], rows)


def contamination_table(account: SplitAccount) -> Table:
    """What dev and test share with train: sums over languages, and the highest similarity of any pair of questions."""
    rows = []
    for part, by_language in account.contamination.items():
        found = list(by_language.values())
        sums = [str(sum(each.exact for each in found)), str(sum(each.near for each in found))]
        rows.append([part, *sums, shown(max((each.highest for each in found), default=None), ".2f")])
    return Table(["part", "exact", "near", "highest"], rows)
