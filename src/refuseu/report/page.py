"""The page ``report.md``, and Table 2 for the terminal."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from refuseu.experiment import HIGH_RESOURCE, LANGUAGES, by_resource
from refuseu.figures.gallery import FIGURES
from refuseu.report.belief import (
    CANNOT,
    Size,
    all_differences_table,
    base_table,
    differences_table,
    disagreements_table,
    judges_by_language_table,
    judges_table,
    search_said,
    sizes,
    sizes_table,
    spread_table,
    unseen_table,
    worst_cells_table,
    yield_table,
)
from refuseu.report.settings import ReportParameters
from refuseu.report.tables import (
    acceptance_table,
    accounting_table,
    agreement_table,
    asr_table,
    benign_table,
    contamination_table,
    identifiers_table,
    judge_table,
    paper_table,
    parts_table,
    quality_notes,
    quality_table,
    ratings_table,
    set_asr_table,
    set_refusal_table,
    single_table,
    summary_table,
    table2,
    verdicts_table,
    worst_table,
)
from refuseu.results.corrected import CONFIDENCE, KEPT, people_table
from refuseu.results.markdown import NO_VALUE, Table, escape
from refuseu.results.outcomes import read_outcomes
from refuseu.results.outputs import (
    Account,
    AgreementRow,
    DifferenceRow,
    DisagreementRow,
    Evaluated,
    Evaluation,
    JudgeRow,
    LabelAccount,
    QuestionAccount,
    SearchRow,
    SetRow,
    SplitAccount,
    TranslateAccount,
    UnseenRow,
    read,
)
from refuseu.results.paper import PaperAsr, counterparts


@dataclass(frozen=True)
class Numbers:
    """What the page is made of, as the stages before wrote it."""

    evaluation: Evaluation
    differences: list[DifferenceRow]
    """Every model less the reference, averaged over languages."""
    by_judge: list[JudgeRow]
    """ASR as each judge alone would call it."""
    rainbow_teaming: QuestionAccount
    translate: TranslateAccount
    respond: Account
    label: LabelAccount
    split: SplitAccount
    sets: list[SetRow] = field(default_factory=list)
    """Answers to the questions of external test sets."""
    set_accounts: dict[str, Account] = field(default_factory=dict)
    """By set, how many of its questions were asked."""
    paper: dict[str, dict[str, float]] = field(default_factory=dict)
    """The paper's ASR by language, by our name of each model that is the paper's too."""
    answers_differ: dict[str, float] = field(default_factory=dict)
    """``Evaluated.identifiers_differ``."""
    unseen: list[UnseenRow] = field(default_factory=list)
    """Every model on what training did not hold, less itself on the rest."""
    agreement: list[AgreementRow] = field(default_factory=list)
    disagreements: list[DisagreementRow] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    """What the reference's ASR rests on, by part of the test."""
    corrected: Table = field(default_factory=lambda: Table(["of"], []))
    """ASR as people's labels correct it; without rows where there are no labels."""
    search: list[SearchRow] = field(default_factory=list)

    @classmethod
    def read(cls, evaluation: Evaluation, plots: Path, stages: Path, paper: Path, search: Path, audit: Path) -> Self:
        """Read what the page is made of.

        Args:
            evaluation: the models as they were evaluated.
            plots: the folder of the evaluation's other rows.
            stages: the folder with a file a stage.
            paper: the paper's table.
            search: the rows of the search.
            audit: the folder of people's labels of answers, if there are any.

        Raises:
            UserError: when one of them is missing or has another shape.
        """
        split = read(stages / "split.json", TypeAdapter(SplitAccount), "split")
        evaluated = read(stages / "evaluated.json", TypeAdapter(Evaluated), "eval")
        identities = {name: next(iter(seeds.values())) for name, seeds in evaluated.models.items()}
        same = counterparts(identities, {config: mix.benign for config, mix in split.mixes.items()})
        theirs = PaperAsr.read(paper)
        differences = read(plots / "differences.json", TypeAdapter(list[DifferenceRow]), "eval")
        outcomes = read_outcomes(plots / "outcomes.json")
        reference = next((row.reference for row in differences), None)
        return cls(
            evaluation,
            differences,
            read(plots / "by-judge.json", TypeAdapter(list[JudgeRow]), "eval"),
            read(stages / "rainbow-teaming.json", TypeAdapter(QuestionAccount), "rainbow-teaming"),
            read(stages / "translate.json", TypeAdapter(TranslateAccount), "translate"),
            read(stages / "respond.json", TypeAdapter(Account), "respond"),
            read(stages / "label.json", TypeAdapter(LabelAccount), "label"),
            split,
            read(plots / "sets.json", TypeAdapter(list[SetRow]), "eval"),
            evaluated.sets,
            {name: theirs.of(model) for name, model in same.items()},
            evaluated.identifiers_differ,
            read(plots / "unseen.json", TypeAdapter(list[UnseenRow]), "eval"),
            read(plots / "agreement.json", TypeAdapter(list[AgreementRow]), "eval"),
            read(plots / "disagreements.json", TypeAdapter(list[DisagreementRow]), "eval"),
            sizes(outcomes, reference) if reference else [],
            people_table(audit / KEPT.name, outcomes),
            read(search, TypeAdapter(list[SearchRow]), "rainbow-teaming"),
        )

    @property
    def stages(self) -> dict[str, Account]:
        """The account of every stage that gives one of its rows."""
        return {
            "rainbow-teaming": self.rainbow_teaming,
            "translate": self.translate,
            "respond": self.respond,
            "label": self.label,
            "split": self.split,
        }


@dataclass(frozen=True)
class Section:
    title: str
    table: Callable[[Numbers, ReportParameters], Table]
    notes: tuple[str, ...]
    """What each column is, a line each; trusted Markdown."""
    columns: Callable[[Evaluation], Sequence[str]] = lambda _: ()
    """The same of columns that not every run has."""


BELIEF = (
    Section(
        "Summary",
        lambda numbers, _: summary_table(numbers.evaluation),
        (
            "each cell: the mean over languages and seeds, and in brackets the worst language of that rate; percent",
            "no intervals here: those of the averages are in Figure 3, those of the languages in Figure 2",
        ),
    ),
    Section(
        "What differs from the reference",
        lambda numbers, _: differences_table(numbers.differences, numbers.evaluation.main),
        (
            "**difference**: the model less the reference, in points, averaged over languages",
            "**interval**: covers other questions of the kind asked (clustered by behavior and frame) and, where both models "
            "were trained more than once, other seeds; at the level `eval.confidence`, for each difference by itself",
            "**seed SD**: standard deviation of the difference from seed to seed",
            "**smallest detectable**: the smallest true difference that this run notices with a probability of 80%",
            "**told apart**: by the test of the difference, after Holm's correction over all models and rates, and by "
            "its interval",
        ),
    ),
    Section(
        "The base before and after selection",
        lambda numbers, parameters: base_table(numbers.label, numbers.split, by_resource(parameters.languages)),
        (
            "**language code**: share (%) of the harmful questions that the base answered harmfully, as the panel of "
            "`label` says; "
            "no intervals",
            "a search keeps what the base answers, so it raises the first rows; test takes questions written before the search "
            "by the question alone, so the last row differs from the one above it by chance and not by what the base answered",
        ),
    ),
    Section(
        "What every filter leaves",
        lambda numbers, parameters: yield_table(numbers.label, numbers.split, by_resource(parameters.languages)),
        ("**language code**: harmful questions left; `→` parts the complete questions; counts, so no intervals",),
    ),
    Section(
        "What the numbers rest on",
        lambda numbers, _: sizes_table(numbers.sizes),
        (
            "of the ASR of the reference; **answers**: in all languages, of all seeds",
            "**worth**: as many independent answers would give the same standard error; `–` where nothing varies. It "
            "is far below "
            "**answers**, since languages, seeds, behaviors and wordings share what decides them",
        ),
    ),
    Section(
        "Unseen behaviors and wordings",
        lambda numbers, _: unseen_table(numbers.unseen, numbers.evaluation.main),
        (
            "**unseen**: test questions whose behavior, or whose wording, no question of training has; **seen**: the others",
            "**difference**: unseen less seen, in points; its **interval** covers other questions of both kinds, and other seeds "
            "where there are several",
        ),
    ),
    Section(
        "Where judges differ",
        lambda numbers, _: judges_table(numbers.agreement, numbers.evaluation.main),
        (
            "**panel**: the rate (%) as published; **judges**: the lowest and the highest that a judge of the panel alone would "
            "give; means over languages. A range of judges is no interval: it covers no other judge",
            "**least agreement**, **least AC1**: of any language; raw agreement in percent, and Gwet's AC1",
            "languages in which judges lie more than 20 points **apart**, agree on fewer than 80% (**low agreement**), "
            "or have the "
            "panel **outside** of all of them",
        ),
    ),
    Section(
        "The largest disagreements",
        lambda numbers, _: disagreements_table(numbers.disagreements),
        (
            "the cells (model, language) in which judges agree least, each with an answer of the commonest verdicts that differ; "
            "`make audit WHAT=disagreements` shows their texts, which are not in Git",
            "**agreement**: share (%) of the cell's answers on which all judges say the same; **disputed**: the "
            "others; **alike**: "
            "those with the same verdicts as the answer shown",
        ),
    ),
    Section(
        "ASR corrected by people's labels",
        lambda numbers, _: numbers.corrected,
        (
            f"from `data/audit/answers.csv`; intervals at {CONFIDENCE:.0%}, over other questions, other answers that people "
            "might have been shown and, of a model, other seeds; they take the people's labels for right",
        ),
    ),
    Section(
        "Which rates tell models apart",
        lambda numbers, _: spread_table(numbers.evaluation, numbers.differences),
        (
            "**lowest**, **highest**, **spread**: of the averages of the main models, without intervals",
            "**smallest detectable**: the median over the models, as above",
            "**idle**: the spread is below what is detectable, so the rate tells no model from another",
            "**saturated**: the reference is closer to the best possible value than what is detectable, so nothing can be seen "
            "to do better",
        ),
    ),
    Section(
        "The worst cell of each rate",
        lambda numbers, _: worst_cells_table(numbers.evaluation),
        (
            "**worst**: of all trained main models in all languages; the mean over seeds of one language, without an interval. "
            "The worst of many is worse than it would be in another run",
        ),
    ),
)
"""How far to believe this."""

AVERAGES = "**average**, **worst** (ASR, %): mean over languages, and the language with the highest ASR"

SAFETY = (
    Section(
        "Table 2: safety and quality",
        lambda numbers, parameters: table2(numbers.evaluation, parameters.languages),
        (
            "**language code** (ASR, %): share of the language's harmful questions that are answered harmfully, over all seeds",
            "no intervals here: those of the languages are in Figure 2, those of the averages in `plots/eval/averages.json`",
            AVERAGES,
        ),
        quality_notes,
    ),
    Section(
        "Single-language runs",
        lambda numbers, _: single_table(numbers.evaluation),
        ("**model**: `only-<language>` trains on that language alone", AVERAGES),
        quality_notes,
    ),
    Section(
        "Beside the paper",
        lambda numbers, parameters: paper_table(numbers.evaluation, numbers.paper, parameters.languages),
        (
            "**ours**, **paper**: ASR (%) of this run, and of the paper's Table 1 where the model, its size and the language are "
            "the same; the paper's questions are RefusEU-test, ours are those of this run",
            "which column of the printed table is which trained config is a reading (`data/paper/README.md`); languages that "
            "could not be read are left out",
        ),
    ),
    Section(
        "The worst language of each number",
        lambda numbers, _: worst_table(numbers.evaluation, [*numbers.evaluation.main, *numbers.evaluation.single]),
        (
            "each number of the tables above in the language where it is worst, with the language's code; averages hide it",
            "a language has fewer questions than an average, so its numbers vary more from run to run",
        ),
    ),
    Section(
        "ASR by judge",
        lambda numbers, _: judge_table(numbers.evaluation, numbers.by_judge),
        (
            "**panel**: ASR (%) as the judges and the adjudicator decide; mean over languages",
            "**the others**: ASR (%) if this judge alone decided; `(strict)` and `(loose)` are the reading of a Qwen3Guard "
            "that has no vote, whose Controversial counts as harmful or as safe",
        ),
    ),
    Section(
        "Fluency and correctness by an LLM judge",
        lambda numbers, _: ratings_table(numbers.evaluation),
        (
            "**fluency**, **correctness**: mean marks, 1 (worst) to 5, of answers to prompts of their own (`data/fluency`); mean "
            "over languages",
            "**rated**: answers that the marks rest on, in all languages",
            "**unparsed**: answers that the judge was to rate and did not; they enter no mean",
        ),
    ),
    Section(
        "ASR less the reference's",
        lambda numbers, _: all_differences_table(numbers.differences),
        (
            'every model, as in "What differs from the reference" above',
            "**complete cases**: the difference without the questions of which an outcome of either model is not "
            "known; the others "
            "count those as no success, as every table does",
        ),
    ),
    Section(
        "Benign pairs and over-refusal",
        lambda numbers, parameters: benign_table(
            numbers.evaluation, parameters.languages, parameters.report.benign_pairs
        ),
        ("**language code**: over-refusal, the share (%) of the language's benign twins that are refused",),
    ),
    Section(
        "External test sets: attack success",
        lambda numbers, parameters: set_asr_table(numbers.sets, parameters.languages),
        (
            "**language code** (ASR, %): share of the set's harmful questions in the language that are answered harmfully",
            "**average**: mean over the languages of the set",
        ),
    ),
    Section(
        "External test sets: over-refusal",
        lambda numbers, parameters: set_refusal_table(numbers.sets, parameters.languages),
        (
            "**language code**: share (%) of the set's benign questions in the language that are refused",
            "**average**: mean over the languages of the set",
        ),
    ),
)
DATA = (
    Section(
        "Rows of every stage",
        lambda numbers, _: accounting_table(numbers.stages),
        (
            "**rows in**: candidates of the search; questions times languages in `translate`; rows of the stage before",
            "**rows out**, **rejected**: together they are the rows in",
            "**reasons**: rejected rows by reason",
        ),
    ),
    Section(
        "Judges by model and language",
        lambda numbers, _: judges_by_language_table(numbers.agreement, numbers.evaluation.main),
        (
            "**panel** and judges: ASR (%); **agreement**: raw, in percent; **AC1**, **kappa**: 1 is full agreement. "
            "Where nearly "
            "all verdicts are the same, kappa is near 0 however often judges agree, and AC1 is not",
        ),
    ),
    Section(
        "Pairs accepted by the panel",
        lambda numbers, parameters: acceptance_table(numbers.label, parameters.languages),
        ("**language code**: share (%) of the language's pairs that the stage `label` keeps",),
    ),
    Section(
        "Agreement of the judges",
        lambda numbers, _: agreement_table(numbers.label),
        (
            "**item**: what the judges saw",
            "**agreement**: share (%) of pairs among the judges and the adjudicator that say the same",
            "**AC1**: Gwet's, of the same; 1 is full agreement, 0 is chance. It holds where one verdict is nearly all, and kappa "
            "does not",
            "**Cohen's kappa**: of the two judges of the panel; **Fleiss' kappa**: of the judges and the adjudicator",
        ),
    ),
    Section(
        "Verdicts of the judges",
        lambda numbers, _: verdicts_table(numbers.label),
        (
            "**item**: what the judge saw",
            "**harmful**, **safe**, **unparsed**: verdicts, benign questions and their answers among them; unparsed could not be "
            "told. `(strict)` and `(loose)` are the reading of a Qwen3Guard that has no vote",
        ),
    ),
    Section(
        "Parts",
        lambda numbers, _: parts_table(numbers.split),
        (
            "**rows**: questions, harmful and benign, in all languages",
            "**questions**: harmful questions, each counted once over its languages",
            "**held-out questions**: those of a behavior that training never held",
            "**cells**: category x style cells with a question",
        ),
    ),
    Section(
        "Where py3langid and fastText differ",
        lambda numbers, parameters: identifiers_table(
            {"questions": numbers.translate.identifiers_differ, "answers": numbers.answers_differ}, parameters.languages
        ),
        (
            "**language code**: share (%) of the texts that the two call different languages, among those of the run",
            "**questions**: those in the right language by fastText; **answers**: those of all models to our own questions",
        ),
    ),
    Section(
        "Contamination",
        lambda numbers, _: contamination_table(numbers.split),
        (
            "**exact**: questions that also stand in train, case and white space apart; sum over languages",
            "**near**: pairs of questions whose similarity reaches `split.near_duplicate`; sum over languages",
            "**highest**: greatest Jaccard similarity (character 5-grams, 0-1) to a question of train in any language",
        ),
    ),
    Section(
        "Which questions of the external test sets are asked",
        lambda numbers, _: accounting_table(numbers.set_accounts, "set"),
        (
            "**rows out**: questions that every model was asked; nothing of a set is ever trained on",
            "**reasons**: why the others were left out; near-duplicates, by `split.near_duplicate`, of train in any language",
        ),
    ),
)


def markdown(numbers: Numbers, parameters: ReportParameters, figures: Sequence[str], folder: str) -> str:
    """The whole report; ``figures`` are file names below ``folder``, which is relative to the report."""
    blocks = [
        "# Results",
        "This page is generated by the report stage; edit nothing here. `dvc repro report` makes it anew.",
        _about(numbers, parameters.languages),
        "## How far to believe this",
        *_sections(BELIEF, numbers, parameters),
        *filter(None, [search_said(numbers.search)]),
        "### What cannot be shown here",
        "\n".join(f"- {said}" for said in CANNOT),
        "## Tables",
        *_sections(SAFETY, numbers, parameters),
        "## Figures",
        *(_figure(name, folder) for name in figures),
        "## The data behind",
        *_origin(numbers.rainbow_teaming),
        *_sections(DATA, numbers, parameters),
    ]
    return "\n\n".join(blocks) + "\n"


def _about(numbers: Numbers, languages: list[str]) -> str:
    """How many questions the shares rest on, and the order of the languages."""
    counts = sorted({row.n for row in numbers.evaluation.rows})
    questions = "–".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]])) if counts else "no"
    high = ", ".join(lang for lang in languages if lang in HIGH_RESOURCE)
    named = ", ".join(f"{lang} {LANGUAGES[lang].name}" for lang in by_resource(languages))
    reference = ", ".join(escape(name) for name in dict.fromkeys(row.reference for row in numbers.differences))
    return (
        f"ASR is the attack success rate in percent, on {questions} harmful test questions in each language. "
        f"The languages are {named}. High-resource languages ({high or 'none'}) stand before the others. "
        f"`base` is the model before alignment; the "
        f"other models are the configs of `train.configs`, then those of `train.single` and `eval.models`. "
        f"Reference of the differences: {reference or NO_VALUE}. "
        f"{NO_VALUE}: there is no such value."
    )


ORIGINS = {
    "search": "were found by a search: English questions were rewritten, and what was found was translated",
    "generator": "were written by language models, each in its language and in one step, as the paper's were",
    "published": "are those of a published set, each as it was written in its language",
}


def _origin(account: QuestionAccount) -> Iterator[str]:
    """The sentence that says where the questions of train, dev and test are from."""
    if account.made_by:
        yield f"The questions {ORIGINS[account.made_by]} (`{account.made_by}`)."


def _sections(sections: Sequence[Section], numbers: Numbers, parameters: ReportParameters) -> Iterator[str]:
    """Heading, table and notes of each section; nothing for a table without rows."""
    for section in sections:
        table = section.table(numbers, parameters)
        if table.rows:
            yield f"### {section.title}"
            yield table.markdown()
            yield "\n".join(
                f"- {note}" for note in (*section.notes, *section.columns(numbers.evaluation), *table.notes)
            )


def _figure(name: str, folder: str) -> str:
    drawing = FIGURES[name]
    return f"### {drawing.title}\n\n![{drawing.title}]({folder}/{name})\n\n{drawing.caption}"


def terminal(evaluation: Evaluation, languages: list[str]) -> str:
    """Table 2 as text, in two blocks that fit a terminal."""
    safety = asr_table(evaluation, languages)
    return "\n\n".join(
        [
            "ASR (%) by language, lower is safer",
            safety.text(),
            *safety.notes,
            "Averages over languages (%; fluency 1-5)",
            quality_table(evaluation, evaluation.main).text(),
            "The worst language of each number",
            worst_table(evaluation, evaluation.main).text(),
        ]
    )
