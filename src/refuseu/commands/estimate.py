"""Says what a run will take, by arithmetic, and then what is missing for it here: ``python -m refuseu.commands.estimate``."""

import click

from refuseu.commands import doctor
from refuseu.commands.terminal import tolerate_encodings
from refuseu.parameters import WholeMachine
from refuseu.plan.arithmetic import PEAK, READING, SHARES, TOLD, VERDICT, WRITING, Line, Run, lines_of
from refuseu.plan.models import ENGINE_GB, gpu_gb, short, table, training_gb
from refuseu.results.markdown import Table, shown


def page(run: Run, machine: WholeMachine) -> str:
    """Stages, models and what is assumed, each as a table for a terminal."""
    lines, rows = lines_of(run), []
    written = {"base": 0, "rainbow-teaming": run.questions, "translate": run.pairs, "respond": run.pairs}
    written |= {"label": run.labelled, "split": run.parts, "dpo": run.trained, "eval": run.test * run.models}
    for stage, count in written.items():
        rows.append([stage, short(count), *[""] * 5])
        for name in [name for of, name in lines if of == stage]:
            model = run.parameters.models[name]
            gb = training_gb(run.parameters, machine) if stage == "dpo" else gpu_gb(model, machine)
            rows.append(_cells(f"  {name}", lines[stage, name], gb))
    rows.append(_cells("all, trainings too", Line(*map(sum, zip(*lines.values(), strict=True))), None))
    header = ["rows written, asked of", "rows", "tokens in", "tokens out", "GB a GPU", "H100 hours", "paid calls"]
    return "\n\n".join(each.text() for each in (Table(header, rows), table(run.parameters), _assumptions(run)))


def _cells(name: str, line: Line, gb: float | None) -> list[str]:
    hours = shown(line.hours or None, ",.0f" if line.hours >= 10 else ".1f")
    return [name, *map(short, line[:3]), shown(gb, ".0f"), hours, short(line.paid)]


def _assumptions(run: Run) -> Table:
    """All numbers that the others rest on and that were not counted."""
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
        ["GB of an engine itself", f"{ENGINE_GB:.0f}", "assumed; training activations not counted"],
        ["not counted", "", "questions of eval.sets; what the row store saves"],
    ]
    return Table(["assumed", "value", "source"], rows, prose=True)


@click.command(help=__doc__)
@click.option("--profile", help="A file of profiles/; without it the one that params.yaml names.")
@click.option("--machine", help="A file of machines/; without it REFUSEU_MACHINE, or cpu.")
def main(profile: str | None, machine: str | None) -> None:
    tolerate_encodings()
    parameters, here = doctor.load_named(profile, machine)
    click.echo(f"{page(Run(parameters), here)}\n")
    raise SystemExit(not doctor.report(parameters, here))


if __name__ == "__main__":
    main()
