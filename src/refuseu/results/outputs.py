"""What the stages wrote under ``metrics/`` and ``plots/``, as the report, the figures and the cards need it.

A file of another shape is refused where it is read, so that nothing behind this module looks for a missing key. The numbers of
the evaluation are those of the table ``metrics.METRICS``; other keys that nobody here needs are not looked at. Shares are
percentages.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model

from refuseu.core.errors import UserError
from refuseu.core.faults import validated
from refuseu.core.files import read_json
from refuseu.mixes import SINGLE
from refuseu.results.markdown import NO_VALUE, escape, shown, span
from refuseu.results.metrics import AVERAGED, METRICS, OF_A_LANGUAGE, Metric
from refuseu.results.outcomes import RATES

WHY_RANGE = "a range: more than `eval.max_unparsed` of the answers could not be judged; the ASR lies anywhere in it"
"""Said wherever a range is shown; Markdown."""
UNCOVERED = "†"
"""Stands behind a language that a judge is not officially made for, wherever numbers rest on its verdicts."""


def uncovered_note(uncovered: Mapping[str, Sequence[str]]) -> str:
    """Which judge is not officially made for which languages, as Markdown; ``uncovered`` is languages by judge."""
    where = "; ".join(f"{escape(judge)} in {', '.join(langs)}" for judge, langs in uncovered.items())
    return f"{UNCOVERED}: rests on verdicts in languages that a judge is not officially made for, so read with care: {where}"


class Record(BaseModel):
    """A row, or a section of a file; a text is no number, and neither is NaN."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class Asr(Record):
    """An attack success rate, or the range that it lies in."""

    asr: float | None
    """``None`` where too many answers could not be judged for a single number."""
    asr_lower_bound: float
    """The rate if every answer that could not be judged were no success."""
    asr_upper_bound: float
    """The rate if each of them were one."""

    @property
    def text(self) -> str:
        """The rate in percent with one decimal, or both ends of the range."""
        return span(self.asr_lower_bound, self.asr_upper_bound) if self.asr is None else shown(self.asr)


Measured = TypeVar("Measured", bound="Measurements")


class Measurements(Asr):
    """An attack success rate beside other numbers of the table of metrics."""

    def __getitem__(self, metric: str) -> float | None:
        """The number of the metric of this name; ``None`` where there was nothing to count."""
        number: float | None = getattr(self, metric)
        return number


def with_numbers(
    metrics: Iterable[Metric], estimated: Iterable[Metric] = ()
) -> Callable[[type[Measured]], type[Measured]]:
    """Give a record a field for each of ``metrics`` that it does not declare itself, and three more for those ``estimated``."""
    names = [metric.name for metric in metrics]
    names += [f"{metric.name}_{of}" for metric in estimated for of in ("low", "high", "seed_sd")]

    def extended(record: type[Measured]) -> type[Measured]:
        fields: dict[str, Any] = {name: (float | None, ...) for name in names if name not in record.model_fields}
        return create_model(record.__name__, __base__=record, __module__=__name__, __doc__=record.__doc__, **fields)

    return extended


@with_numbers(OF_A_LANGUAGE)
class LanguageRow(Measurements):
    """One model in one language."""

    model: str
    """The model's name."""
    language: str
    n: int
    """Harmful questions asked."""
    asr_low: float
    asr_high: float
    """The interval of ``asr``; around the whole range where there is no ``asr``."""
    uncovered_by: list[str]
    """Judges that are not officially made for the language."""


@with_numbers(AVERAGED, RATES)
class Averages(Measurements):
    """One model's averages over languages; ``None`` where there is nothing to average."""

    seeds: int
    """How many trainings the averages are over."""
    asr_low: float
    asr_high: float
    """The interval of ``asr``; around the whole range where there is no ``asr``."""


class CategoryRow(Asr):
    """One model's answers to questions of one hazard category."""

    model: str
    category: str


class StyleRow(Asr):
    """One model's answers to questions of one attack style."""

    model: str
    style: str


class TransferRow(Asr):
    """One model that was trained on one language, in one language of evaluation."""

    trained_on: str
    evaluated_in: str


class JudgeRow(Asr):
    """One model in one language, if one judge alone decided."""

    model: str
    judge: str
    """Its name; of another reading than the one that votes, with that reading."""


class SeedRow(Record):
    """One seed of one model in one language; shares in percent, ``None`` where there was nothing to count."""

    model: str
    seed: int
    language: str
    asr_lower_bound: float
    """ASR as it is published: what could not be judged is no success."""
    over_refusal: float | None
    language_consistency: float | None


class Difference(Record):
    """A difference (points) of averages over languages, with its interval and what would have been noticed."""

    rate: str
    """The metric's name."""
    model: str
    difference: float
    low: float
    high: float
    p_holm: float
    seed_sd: float | None
    """Of one seed's difference; ``None`` where nothing was trained more than once."""
    smallest_detectable: float
    """The smallest true difference that would have been noticed with a power of 80%."""
    told_apart: bool
    clusters: str
    """What the variance is clustered by."""


class DifferenceRow(Difference):
    """One model less the reference in one rate."""

    reference: str
    complete_cases: float | None
    """The same without the questions of which an outcome of either is not known."""


class UnseenRow(Difference):
    """One model on questions of which training did not hold something, less itself on the others; percent and points."""

    unseen_of: Literal["behavior", "frame"]
    seen: float | None
    unseen: float | None


class AgreementRow(Record):
    """How far the judges agree on one rate of one model in one language; rates in percent."""

    rate: Literal["asr", "over_refusal"]
    model: str
    language: str
    n: int
    """Questions, each counted once over seeds."""
    panel: float
    """The rate as published."""
    by_judge: dict[str, float]
    """The rate if one judge alone decided."""
    lowest: float
    highest: float
    agreement: float
    """Raw agreement."""
    ac1: float | None
    kappa: float | None
    """``None`` where all verdicts are the same."""
    panel_outside: bool
    """The panel's rate is above or below that of every judge."""
    judges_apart: bool
    low_agreement: bool


class DisagreementRow(Record):
    """An answer, by its ids, of a cell (model, language) in which the judges agree least on harm."""

    model: str
    seed: int
    question_id: str
    language: str
    verdicts: dict[str, str]
    """By judge."""
    panel: str
    """The panel's verdict."""
    unanimous: float
    """Share (percent) of the cell's answers of which all judges say the same."""
    alike: int
    """How many answers of the cell have these very verdicts."""
    disputed: int
    """How many have different ones."""


@with_numbers(metric for metric in METRICS if metric.sets)
class SetRow(Measurements):
    """One model's answers to the questions of one external test set, in one language."""

    set: str
    """The set's name in ``eval.sets``."""
    model: str
    language: str
    n: int
    """Harmful questions asked; 0 where the set has none."""

    @property
    def text(self) -> str:
        """As of any ASR; a dash where nothing harmful was asked."""
        return super().text if self.n else NO_VALUE


class SearchRow(Record):
    """One iteration of the search; shares and BLEU from 0 to 1."""

    iteration: int
    coverage: float
    mean_fitness: float
    qd_score: float
    self_bleu: float
    acceptance: float


class CurveRow(Record):
    """One logging step of a training."""

    step: int
    loss: float
    """In nats."""
    reward_margin: float
    """In nats times beta."""
    reward_accuracy: float
    """A share from 0 to 1."""


class Account(Record):
    """How many rows came into a stage and out of it, and why the others were rejected."""

    rows_in: int
    rows_out: int
    rejected: dict[str, int]


class QuestionAccount(Account):
    """The account of the questions, and where they are from."""

    made_by: Literal["search", "generator", "published"] | None = None
    """``None`` in an account that an earlier version wrote."""


class TranslateAccount(Account):
    """The account of the questions in each language."""

    identifiers_differ: dict[str, float] = {}
    """By language, the share (percent) of questions on which py3langid and fastText differ; none where py3langid identifies."""


class Evaluated(Record):
    """Which models and judges were asked, and which questions of external sets."""

    models: dict[str, dict[str, str]]
    """By evaluated model and seed, its identity: where its weights are from, and what computes with them."""
    sets: dict[str, Account]
    """By external test set, how many of its questions were asked."""
    identifiers_differ: dict[str, float] = {}
    """As ``TranslateAccount`` has it, of the answers to our own questions."""


class VerdictCounts(Record):
    """How often a judge said what."""

    harmful: int
    safe: int
    unparsed: int


class Agreement(Record):
    """How the judges agree on what they saw; ``None`` also in an account that an earlier version wrote."""

    raw_agreement: float | None = None
    """Share (percent) of pairs of judges that say the same."""
    gwets_ac1: float | None = None
    cohens_kappa: float | None
    fleiss_kappa: float | None
    verdicts: dict[str, VerdictCounts]
    """By judge."""


class LabelAccount(Account):
    uncovered: dict[str, list[str]]
    """By judge, the languages that it is not officially made for."""
    acceptance_by_lang: dict[str, float]
    judges: dict[str, Agreement]
    """By what the judges saw."""
    filters: dict[str, dict[str, dict[str, int]]] = {}
    """By kind and language, the pairs that are left: ``asked``, and after each filter in turn."""
    complied: dict[str, float | None] = {}
    """By language, the share (percent) of all harmful questions that the base answered harmfully."""


class Part(Record):
    """How large one part of the split is."""

    rows: int
    questions: int
    held_out_questions: int | None
    """``None`` where nobody knows what is asked for."""
    cells: int


class Overlap(Record):
    """What one language of a part shares with train."""

    exact: int
    near: int
    highest: float
    """Greatest similarity of two questions, from 0 to 1."""


class Mix(Record):
    """Rows of a training mix, and how many of them are benign."""

    rows: int
    benign: int


class SplitAccount(Account):
    parts: dict[str, Part]
    contamination: dict[str, dict[str, Overlap]]
    """By part and language."""
    mixes: dict[str, Mix]
    """By config."""
    by_language: dict[str, dict[str, int]] = {}
    """By language, the harmful questions of each step from ``questions`` to ``test`` and ``train``."""
    complied: dict[str, dict[str, float | None]] = {}
    """As ``LabelAccount`` has it, of the questions that are ``complete`` and of those in ``test``."""


Content = TypeVar("Content")


def read(path: Path, shape: TypeAdapter[Content], stage: str) -> Content:
    """Read the JSON file ``path`` that ``stage`` wrote.

    Raises:
        UserError: when it is missing, is not JSON, or has another shape.
    """
    return validated(shape, read_json(path), path, way_out(path, stage))


def expect(names: Iterable[str], found: Collection[str], path: Path, stage: str) -> None:
    """Make sure that a file that ``stage`` wrote has an entry for each of ``names``; ``found`` are those it has.

    Raises:
        UserError: for the first name that it has not, as after a config was added and this stage not run.
    """
    for name in names:
        if name not in found:
            raise UserError(f"{path}: {name}: missing; {way_out(path, stage)}")


def way_out(path: Path, stage: str) -> str:
    return f"'git restore {path}' brings back the last one in Git, 'dvc repro {stage}' makes it anew"


def main_models(models: Iterable[str]) -> list[str]:
    """The base and the main configs, each once, in the order given: all models but those of a single language."""
    return [name for name in dict.fromkeys(models) if not name.startswith(SINGLE)]


@dataclass(frozen=True)
class Evaluation:
    """All models as they were evaluated; the same models stand in both fields, the base first."""

    averages: dict[str, Averages]
    """By model."""
    rows: list[LanguageRow]

    @classmethod
    def read(cls, averages: Path, rows: Path) -> Self:
        """Read ``plots/eval/averages.json`` and ``plots/eval.json``.

        Raises:
            UserError: also when a model stands in one of the two files alone.
        """
        found = cls(
            read(averages, TypeAdapter(dict[str, Averages]), "eval"), read(rows, TypeAdapter(list[LanguageRow]), "eval")
        )
        alone = sorted(found.averages.keys() ^ {row.model for row in found.rows})
        if alone:
            raise UserError(
                f"{averages} and {rows}: only one of them has the model {alone[0]!r}; {way_out(rows.parent, 'eval')}"
            )
        return found

    @property
    def main(self) -> list[str]:
        """The base and the main configs."""
        return main_models(self.averages)

    @property
    def single(self) -> list[str]:
        """The configs that train on one language."""
        return [name for name in self.averages if name not in self.main]

    def of(self, model: str) -> list[LanguageRow]:
        """The rows of one model."""
        return [row for row in self.rows if row.model == model]

    @property
    def uncovered(self) -> dict[str, list[str]]:
        """By judge, the languages that it is not officially made for."""
        found: dict[str, dict[str, None]] = {}
        for row in self.rows:
            for judge in row.uncovered_by:
                found.setdefault(judge, {})[row.language] = None
        return {judge: list(langs) for judge, langs in found.items()}

    def telling(self, metrics: Iterable[Metric]) -> list[Metric]:
        """Those of ``metrics`` that tell something of this run: not the same in every row as the metric beside them."""
        return [
            metric
            for metric in metrics
            if not metric.beside or any(row[metric.name] != row[metric.beside] for row in self.rows)
        ]

    def by_language(self, model: str, languages: Sequence[str]) -> list[LanguageRow | None]:
        """The rows of one model in the order of ``languages``; ``None`` where it was not evaluated."""
        found = {row.language: row for row in self.of(model)}
        return [found.get(lang) for lang in languages]

    def worst(self, model: str) -> Asr:
        """The highest ASR of any language, a range as soon as one language's is."""
        rows = self.of(model)
        return Asr(
            asr=self.averages[model]["asr_worst"],
            asr_lower_bound=max(row.asr_lower_bound for row in rows),
            asr_upper_bound=max(row.asr_upper_bound for row in rows),
        )
