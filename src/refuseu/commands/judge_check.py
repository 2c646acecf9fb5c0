"""How often judges agree with people: ``make judge-check FILE=labelled.csv JUDGES='phrases lexicon'``.

A judge is named as the profile's section label names it (the adjudicator by its kind), or by its kind. A kind that asks a
model asks the profile's model of the same name. The name 'panel' is the profile's whole panel, as it decides in the evaluation:
each of its judges, and what they agree on, else the adjudicator's ruling. Models run where the machine says (REFUSEU_MACHINE).

The file has the columns lang, question, answer, reply (refusal or compliance) and, where known, harm (harmful or safe). What a
model reasoned before its answer is not judged. An answer that a judge cannot parse, or does not report on, counts as no
agreement and is shown apart. Sensitivity is the share of the refusals (harmful answers) that are found, specificity the share
of the compliances (safe answers).

The last table shows how often a judge is turned: compliances of the phrasebook, in the languages of the file, are judged alone
and with text beside them that begs for another verdict.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click
from pydantic import TypeAdapter

from refuseu.core.environment import enter
from refuseu.core.errors import UserError
from refuseu.core.faults import validated
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.engines.machine import load_machine
from refuseu.engines.registry import EngineFactory
from refuseu.experiment import LANGUAGES
from refuseu.judges.injections import INJECTIONS, injected
from refuseu.judges.panel import PANEL, Decision, Panel, build_panel, verdicts
from refuseu.judges.registry import KINDS, AnyJudge, settings_class
from refuseu.judges.settings import JudgeSettings, ModelJudgeSettings, Resources
from refuseu.judges.verdict import Exchange, Harm, Judge, Reply, Verdict
from refuseu.llm.reasoning import split
from refuseu.parameters import Parameters, load_all
from refuseu.phrasebook.phrasebook import Phrasebook, load_phrasebooks
from refuseu.results.markdown import NO_VALUE, Table, shown, span
from refuseu.sources.languages import language_code
from refuseu.sources.sheets import read_rows
from refuseu.statistics.agreement import coefficients
from refuseu.statistics.rates import wilson
from refuseu.store.rows import Store
from refuseu.text.normal import plain

REFUSALS = Path("data/refusals")
PHRASEBOOK = Path("data/phrasebook")
PROMPTS = Path("data/prompts")
CONFIDENCE = 0.95
COLUMNS = ["lang", "question", "answer", "reply"]
CLASSES = {"reply": (Reply.REFUSAL, Reply.COMPLIANCE), "harm": (Harm.HARMFUL, Harm.SAFE)}
"""What people label, and the two labels that it may have. Sensitivity is about the first."""
WAY_OUT = f"it needs the columns {', '.join(COLUMNS)} and, where known, harm"
ALL = "all"
UNTOLD = "unparsed"
"""What a verdict counts as that is neither of the two labels."""


@dataclass(frozen=True)
class Labelled:
    """An answer, and what people say of it."""

    exchange: Exchange
    reply: str
    harm: str
    """Empty where nobody labelled it."""


def read_labelled(path: Path) -> list[Labelled]:
    """The labelled answers of a CSV file.

    Raises:
        UserError: naming file and line, for a missing column, a language that is not among ours, or another label.
    """
    labelled = []
    for line, row in read_rows(path, COLUMNS, WAY_OUT, optional=["harm"]):
        row |= {name: plain(row[name]) for name in CLASSES} | {"lang": language_code(row["lang"]) or row["lang"]}
        problem = _problem(row)
        if problem:
            raise UserError(f"{path}: line {line}: {problem}")
        _, answer = split(row["answer"])
        exchange = Exchange(row["lang"], row["question"], answer)
        labelled.append(Labelled(exchange, row["reply"], row["harm"]))
    if not labelled:
        raise UserError(f"{path}: holds no answer; {WAY_OUT}")
    return labelled


def _problem(row: dict[str, str]) -> str | None:
    if row["lang"] not in LANGUAGES:
        return f"language {row['lang']!r} is none of {', '.join(LANGUAGES)}"
    for name, labels in CLASSES.items():
        known = row[name] in labels or (name == "harm" and not row[name])
        if not known:
            return f"{name} {row[name]!r} is none of {', '.join(labels)}"
    return None


def table(labelled: Sequence[Labelled], said: dict[str, list[Verdict]], column: str) -> Table:
    """One line for each judge and language, and one for all languages, over the answers that have a label in ``column``."""
    shares = ["accuracy (%)", "sensitivity (%)", "specificity (%)"]
    header = ["judge", "language", "n", *shares, "AC1", "kappa", "unparsed (%)"]
    return Table(
        header, [line for name, each in said.items() for line in _lines(name, labelled, each, column)], names=2
    )


def _lines(judge: str, labelled: Sequence[Labelled], verdicts: list[Verdict], column: str) -> Iterator[list[str]]:
    pairs = [
        (each.exchange.lang, getattr(each, column), str(getattr(verdict, column)))
        for each, verdict in zip(labelled, verdicts, strict=True)
        if getattr(each, column)
    ]
    present = {lang for lang, _, _ in pairs}
    for lang in [*(each for each in LANGUAGES if each in present), ALL]:
        rows = [(label, verdict) for code, label, verdict in pairs if lang in (code, ALL)]
        yield [judge, lang, str(len(rows)), *_measures(rows, *CLASSES[column])]


def _measures(rows: list[tuple[str, str]], positive: str, negative: str) -> list[str]:
    """Accuracy, sensitivity, specificity, AC1, kappa and unparsed share of (label, verdict) rows, as cells."""
    right = [label == verdict for label, verdict in rows]
    told = [verdict if verdict in (positive, negative) else UNTOLD for _, verdict in rows]
    found = coefficients([[label for label, _ in rows], told], (positive, negative, UNTOLD))
    return [
        _share(right),
        _share([verdict == positive for label, verdict in rows if label == positive]),
        _share([verdict == negative for label, verdict in rows if label == negative]),
        *(shown(each, ".2f") for each in (found.ac1, found.kappa)),
        _share([verdict == UNTOLD for verdict in told]),
    ]


def turned(alone: dict[str, list[Verdict]], injected: dict[str, dict[str, list[Verdict]]]) -> Table:
    """One line for each judge and injection, over the answers that the judge calls harmful ``alone``."""
    lines = []
    for judge, before in alone.items():
        for name, said in injected.items():
            then = [now.harm for was, now in zip(before, said[judge], strict=True) if was.harm is Harm.HARMFUL]
            shares = [_share([harm is other for harm in then]) for other in (Harm.SAFE, Harm.UNPARSED)]
            lines.append([judge, name, str(len(then)), *shares])
    return Table(["judge", "injected", "n", "turned to safe (%)", "unparsed (%)"], lines, names=2)


def _share(holds: list[bool]) -> str:
    """Percent and Wilson's interval at 95%."""
    if not holds:
        return NO_VALUE
    return f"{shown(100 * sum(holds) / len(holds))} ({span(*wilson(sum(holds), len(holds), CONFIDENCE))})"


@dataclass(frozen=True)
class Judges:
    """The judges that can be measured. Parameters, phrasebooks and machine are read when a first judge needs them."""

    profile: str | None
    """The profile whose judges are measured; ``None`` for the one that params.yaml names."""

    def named(self, name: str) -> Judge:
        """Build a judge by its name on the profile's panel, or by its kind.

        Raises:
            UserError: for a name that is neither, for a kind that needs more than the profile's model of its name, and when a
                file or a model that the judge needs is missing.
        """
        by_rule = name in KINDS and not issubclass(settings_class(name), ModelJudgeSettings)
        settings = self._of_kind({"kind": name}) if by_rule else self._members.get(name)
        return (settings or self._of_kind({"kind": name, "model": name})).build(self._resources)

    def injected(self, languages: Collection[str], number: int) -> list[tuple[Exchange, dict[str, Exchange]]]:
        """Return ``number`` answers of each language that has a phrasebook, alone and with what is injected."""
        books = self._books if number else {}
        return list(injected({code: book for code, book in books.items() if code in languages}, number))

    def panel(self) -> Panel:
        """Build the profile's panel, as the evaluation has it.

        Raises:
            UserError: when a file or a model that one of it needs is missing.
        """
        return build_panel(self._parameters.label, self._resources)

    def identities(self) -> dict[str, str]:
        """What each model is that was opened, by its name in the profile."""
        return self._engines.identities() if "_engines" in vars(self) else {}

    @property
    def _resources(self) -> Resources:
        return Resources(lambda: self._books, lambda model: self._engines.named(model), PROMPTS, REFUSALS)

    def _of_kind(self, entry: dict[str, str]) -> JudgeSettings:
        name = entry["kind"]
        if name not in KINDS:
            raise UserError(
                f"judge {name!r} is none of the kinds {', '.join(KINDS)}, nor of the judges of the profile "
                f"{self._parameters.profile}, which are {', '.join([*self._members, PANEL])}; name one of them, or another "
                "profile (make: PROFILE=paper-8b)"
            )
        way_out = f"describe the judge in the section label of profiles/{self._parameters.profile}.yaml"
        return validated(TypeAdapter[JudgeSettings](AnyJudge), entry, f"judge {name!r}", way_out)

    @cached_property
    def _parameters(self) -> Parameters:
        return load_all(profile=self.profile)

    @cached_property
    def _members(self) -> dict[str, JudgeSettings]:
        """The settings of all members of the profile's panel, by their names in tables."""
        label = self._parameters.label
        return {**label.judges, **label.adjudicators, **label.shadow_judges}

    @cached_property
    def _books(self) -> dict[str, Phrasebook]:
        parameters = self._parameters
        return load_phrasebooks(PHRASEBOOK, list(LANGUAGES), parameters.categories, parameters.styles)

    @cached_property
    def _engines(self) -> EngineFactory:
        return EngineFactory(self._parameters.models, load_machine(), Store(), "judge-check")


def rulings(decisions: Sequence[Decision]) -> Iterator[str]:
    """Yield a sentence on how often the adjudicator of a panel decided; nothing without a panel."""
    if decisions:
        ruled = sum(not each.agreed for each in decisions)
        yield f"{PANEL}: the judges differ on {ruled} of {len(decisions)} answers, which the adjudicator decided."


def notes(judges: dict[str, Judge], labelled: Sequence[Labelled]) -> Iterator[str]:
    """Yield a sentence for each judge that is not officially made for a language of the file."""
    present = [lang for lang in LANGUAGES if any(each.exchange.lang == lang for each in labelled)]
    for name, languages in Panel(judges, {}).uncovered(present).items():
        yield f"{name} is not officially made for {', '.join(languages)}."


@click.command(help=__doc__)
@click.argument("labelled", type=click.Path(path_type=Path))
@click.option(
    "--judge", "names", multiple=True, default=["phrases"], show_default=True, help="May be given several times."
)
@click.option("--profile", help="The profile whose judges are named; without it the one that params.yaml names.")
@click.option(
    "--injections",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Compliances a language that texts are injected into; 0 leaves that out.",
)
def main(labelled: Path, names: tuple[str, ...], profile: str | None, injections: int) -> None:
    tolerate_encodings()
    answers = read_labelled(labelled)
    known = Judges(profile)
    judges = {name: known.named(name) for name in dict.fromkeys(names) if name != PANEL}
    panel = known.panel() if PANEL in names else None
    said, decisions = verdicts(judges, panel, [each.exchange for each in answers])
    tampered = known.injected({each.exchange.lang for each in answers}, injections)
    for column in CLASSES:
        if any(getattr(each, column) for each in answers):
            say(f"### {column}\n\n{table(answers, said, column).markdown()}\n")
    if tampered:
        alone, _ = verdicts(judges, panel, [exchange for exchange, _ in tampered])
        begging = {name: verdicts(judges, panel, [each[name] for _, each in tampered])[0] for name in INJECTIONS}
        say(f"### injections\n\n{turned(alone, begging).markdown()}\n")
    models = (f"{name}: {identity}" for name, identity in known.identities().items())
    for note in (*rulings(decisions), *notes(judges | (panel.voters if panel else {}), answers), *models):
        say(note)


if __name__ == "__main__":
    enter("refuseu.commands.judge_check")
    main()
