"""Says what a run will take, by arithmetic, and then what is missing for it here: ``python -m refuseu.commands.estimate``."""

import re
from collections import Counter
from dataclasses import dataclass

import click

from refuseu.commands import doctor
from refuseu.core.errors import UserError
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.llm.settings import BASE
from refuseu.parameters import WholeMachine
from refuseu.plan.arithmetic import (
    CPU,
    H100,
    PEAK,
    READING,
    SHARES,
    TOLD,
    VERDICT,
    WRITING,
    Line,
    Run,
    Work,
    gpus_at_work,
    gpus_taken,
    hours_here,
    paid,
    unknown,
    work_of,
    work_of_a_seed,
    work_of_models,
)
from refuseu.plan.models import ENGINE_GB, gpu_gb, host_gb, model_of, short, size_in, table, training_gb
from refuseu.results.markdown import Table, shown

MILLION = 1e6
"""Tokens that a price is for."""
EMPTY = {"", "–"}
LONGEST = 20
"""Letters that names of configs may take."""


@dataclass(frozen=True)
class Prices:
    """What the user pays, in any currency; ``None`` where the user did not say."""

    gpu: float | None = None
    """An hour of a GPU."""
    read: float | None = None
    """A million tokens that a paid model reads."""
    written: float | None = None
    """A million tokens that it writes."""


@dataclass(frozen=True)
class Cost:
    """One thing that is paid for; ``price`` is for ``unit`` of it, ``None`` where the user did not say."""

    what: str
    amount: float
    unit: float
    price: float | None
    more: str = ""
    """``≥`` where the amount leaves something out."""

    @property
    def money(self) -> float | None:
        return None if self.price is None else self.price * self.amount / self.unit


class Estimate:
    """What a run takes of a machine, as tables for a terminal."""

    def __init__(self, run: Run, machine: WholeMachine, prices: Prices) -> None:
        self.run, self.machine, self.prices = run, machine, prices
        self.work = work_of(run)
        self.gpus = gpus_taken(run, machine, self.work)

    def page(self) -> str:
        tables = (
            self.stages(),
            self.models(),
            self.costs(),
            table(self.run.parameters, self.machine),
            self.assumptions(),
        )
        return "\n\n".join(each.text() for each in tables if each.rows)

    def stages(self) -> Table:
        """Rows that each stage writes, and what it asks of which model."""
        run, rows = self.run, []
        written = {"base": 0, "rainbow-teaming": run.found, "translate": run.pairs, "respond": run.pairs}
        written |= {"label": run.labelled, "split": run.parts, "dpo": run.trained, "eval": run.test * run.models}
        for stage, count in written.items():
            rows.append([stage, short(count), *[""] * 6])
            for name in [name for of, name in self.work if of == stage]:
                part = {(stage, name): self.work[stage, name]}
                gb = [self._gb(stage, name), host_gb(run.parameters, self.machine) if stage == "dpo" else None]
                rows.append([f"  {name}", *_counts(part), *(shown(each, ".0f") for each in gb), *self._times(part)])
        rows.append(["total asked", *_counts(self.work), "", "", *self._times(self.work)])
        header = ["rows written, asked of", "rows", "tokens in", "tokens out", "GB a GPU", "host GB"]
        return _without_empty_columns(Table([*header, "H100 time", "time here"], rows))

    def _gb(self, stage: str, name: str) -> float | None:
        """GB of each GPU; ``None`` where none works, and where the model's size is not known."""
        if not gpus_at_work(self.run, self.machine, stage, name):
            return None
        if stage in ("base", "dpo"):
            return training_gb(self.run.parameters, self.machine)
        return gpu_gb(model_of(self.run.parameters, name), self.machine)

    def _times(self, work: Work) -> list[str]:
        """Of one H100, unless CPUs do all of the run, and by the clock here; ``≥`` where some model's are not known."""
        more = "≥ " if unknown(self.run, work) else ""
        h100 = None if self.gpus == 0 else Line.sum(work.values()).hours(H100) or None
        return [more + time if (time := duration(each)) else "–" for each in (h100, self._clock(work))]

    def _clock(self, work: Work) -> float | None:
        """Hours here; ``None`` too where the machine does not run the whole run, of which a part says nothing."""
        return None if self.gpus is None else hours_here(self.run, self.machine, work)

    def models(self) -> Table:
        """What one model of each mix costs, and all of one more seed; mixes whose models cost the same stand in one row."""
        train, languages = self.run.parameters.train, self.run.parameters.languages
        models = Counter(model.name for model in train.runs)
        same: dict[tuple[str, ...], list[str]] = {}
        for name, work in work_of_models(self.run).items():
            of_a_mix = (str(len(train.languages_of(name, languages))), str(models[name]))
            same.setdefault((*of_a_mix, *self._cells(work)), []).append(name)
        rows = [[_few(names), *cells] for cells, names in same.items()]
        rows.append(["one more seed", "", str(len(train.configs)), *self._cells(work_of_a_seed(self.run))])
        header = ["a model of", "languages", "models", "pairs", "H100: dpo", "H100: all", "time here", "paid calls"]
        return _without_empty_columns(Table([*header, "money"], rows))

    def _cells(self, work: Work) -> list[str]:
        training = {("dpo", BASE): work["dpo", BASE]}
        return [
            short(work["dpo", BASE].rows),
            self._times(training)[0],
            *self._times(work),
            short(sum(line.rows for line in paid(self.run, work).values())),
            _total(self._costs(work)),
        ]

    def costs(self) -> Table:
        """What is paid for, and how much money it is by the user's prices."""
        costs = self._costs(self.work)
        rows = [[each.what, each.more + short(each.amount), money(each.price), money(each.money)] for each in costs]
        rows.append(["total", "", "", _total(costs)])
        header = ["paid for", "amount", "price an hour, a million tokens", "money"]
        return _without_empty_columns(Table(header, rows if rows[-1][-1] else rows[:-1]))

    def _costs(self, work: Work) -> list[Cost]:
        """GPU hours, and the tokens of paid models. All GPUs of the machine are paid for all of the time."""
        clock, more = self._clock(work), "≥ " if unknown(self.run, work) else ""
        hours = Cost("H100 hours", Line.sum(work.values()).hours(H100), 1, self.prices.gpu, more)
        if self.gpus and clock:
            what = f"GPU hours ({self.gpus} for {duration(clock)})"
            hours = Cost(what, self.gpus * clock, 1, self.prices.gpu, more)
        costs = [] if self.gpus == 0 else [hours]
        for name, line in paid(self.run, work).items():
            costs += [
                Cost(f"{name}: calls", line.rows, 0, None),
                Cost(f"{name}: tokens in", line.read, MILLION, self.prices.read),
                Cost(f"{name}: tokens out", line.written, MILLION, self.prices.written),
            ]
        return costs

    def assumptions(self) -> Table:
        """All numbers that the others rest on and that were not counted."""
        run, work = self.run, self.work
        values, source = run.shares
        rows = [[f"share of {what}", f"{share:g}", source] for what, share in zip(SHARES, values, strict=True)]
        rows += [
            ["words of a question, refusal, answer", ", ".join(map(str, run.words)), "phrasebook; of models assumed"],
            ["tokens of a word", f"{run.tokens_per_word:.2f}", "Llama 3.1's tokenizer on the phrasebook"],
            ["tokens of instructions, of a rating", f"{TOLD}, {VERDICT}", "about as in data/prompts"],
            [
                "TFLOP/s of an H100",
                f"{PEAK / 1e12:.0f}",
                f"data sheet; {READING:.0%} reading, {WRITING:.0%} writing assumed",
            ],
            [
                "TFLOP/s of two CPU cores",
                f"{CPU.reading / 1e12:g}, {CPU.writing / 1e12:g}",
                "reading, writing; measured with 135 M parameters",
            ],
            ["GB of an engine itself", f"{ENGINE_GB:.0f}", "assumed; training activations not counted"],
        ]
        if any(size.named for _, name in work if (size := size_in(run.parameters, name))):
            rows.append(["parameters with a ~", "", "by the model's name; its files are out of reach"])
        if nobody := unknown(run, work):
            rows.append(["hours not counted", "", f"of {', '.join(nobody)}, whose size is not known"])
        rows.append(["not counted", "", "loading, judges without a model, eval.sets"])
        rows.append(["not subtracted", "", "what the row store has already"])
        return Table(["assumed", "value", "source"], rows, prose=True)


def _counts(work: Work) -> list[str]:
    return [short(each) for each in Line.sum(work.values())[:3]]


def duration(hours: float | None) -> str:
    """Hours in the unit that suits them, to as many digits as an estimate has; nothing for none."""
    if hours is None:
        return ""
    if hours < 1:
        return f"{3600 * hours:.0f} s" if hours < 1 / 60 else f"{60 * hours:.0f} min"
    return f"{hours:,.0f} h" if hours >= 10 else f"{hours:.1f} h"


def money(value: float | None) -> str:
    """Money or a price; nothing where there is none."""
    return "" if value is None else format(value, ",.0f" if value >= 1000 else ",.2f")


def _few(names: list[str]) -> str:
    """The names, or the first and how many others where they are too long for a table."""
    return whole if len(whole := ", ".join(names)) <= LONGEST else f"{names[0]}, {len(names) - 1} more"


def _total(costs: list[Cost]) -> str:
    """The money of all that has a price, ``≥`` where something has none; nothing where no price was given."""
    known = [each.money for each in costs if each.money is not None]
    less = any(each.more or each.price is None for each in costs if each.unit)
    return ("≥ " if less else "") + money(sum(known)) if known else ""


def _without_empty_columns(whole: Table) -> Table:
    """The table without the columns that would say nothing here."""
    kept = [column for column in range(len(whole.header)) if {row[column] for row in whole.rows} - EMPTY]
    return Table([whole.header[column] for column in kept], [[row[column] for column in kept] for row in whole.rows])


def number(_: click.Context, option: click.Parameter, text: str | None) -> float | None:
    """The price that an option gives.

    Raises:
        UserError: where it is no number that a price can be.
    """
    if text is not None and not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
        variable = option.opts[0].lstrip("-").replace("-", "_").upper()
        raise UserError(f"{variable} ({option.opts[0]}): {text!r} is no price; write digits and a point, as in 2.5")
    return None if text is None else float(text)


@click.command(help=__doc__)
@click.option("--profile", help="A file of profiles/; without it the one that params.yaml names.")
@click.option("--machine", help="A file of machines/; without it REFUSEU_MACHINE, or cpu.")
@click.option("--price-gpu", callback=number, help="Money for an hour of a GPU, as 2.5; any currency.")
@click.option("--price-input", callback=number, help="Money for a million tokens that a paid model reads.")
@click.option("--price-output", callback=number, help="Money for a million tokens that it writes.")
def main(
    profile: str | None,
    machine: str | None,
    price_gpu: float | None,
    price_input: float | None,
    price_output: float | None,
) -> None:
    tolerate_encodings()
    if (price_input is None) != (price_output is None):
        raise UserError("PRICE_INPUT and PRICE_OUTPUT (--price-input, --price-output) go together; give both or none")
    parameters, here = doctor.load_named(profile, machine)
    say(f"{Estimate(Run(parameters), here, Prices(price_gpu, price_input, price_output)).page()}\n")
    raise SystemExit(not doctor.report(parameters, here))


if __name__ == "__main__":
    main()
