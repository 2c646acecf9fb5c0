"""The plan as text for a terminal."""

from collections.abc import Iterator, Sequence

from refuseu.commands.parameters import Parameters, WholeMachine
from refuseu.commands.plan.beside import SECTION
from refuseu.commands.plan.hours import FORWARD, PEAK, READING, TRAINED, WRITING
from refuseu.commands.plan.missing import Need
from refuseu.commands.plan.sizes import gpu_gb, size_of
from refuseu.commands.plan.stages import Line
from refuseu.engines.settings import BASE, LocalModel, ServedModel
from refuseu.rainbow_teaming.settings import NoRole
from refuseu.results.markdown import Table, shown


def page(
    parameters: Parameters, machine: WholeMachine, lines: Sequence[Line], kept: str, missing: Sequence[str]
) -> str:
    """Stages, models, what is assumed (of the rows that are kept: ``kept``), and what is missing."""
    need = Need(parameters, machine)
    return "\n\n".join(
        [
            _stages(parameters, machine, lines).text(),
            _models(need).text(),
            "\n".join(f"* {each}" for each in [*_notes(need, kept), *_hours(parameters, machine, lines)]),
            "\n".join(f"Missing: {each}" for each in missing) or "Nothing is missing on this machine.",
        ]
    )


def _stages(parameters: Parameters, machine: WholeMachine, lines: Sequence[Line]) -> Table:
    header = [
        "stage",
        "rows in",
        "rows out",
        "tokens in",
        "tokens out",
        "GB a GPU",
        "GPU hours",
        "paid calls",
        "rows asked of models",
    ]
    rows = [
        [
            line.stage,
            count(line.rows_in),
            count(line.rows_out),
            count(line.tokens_in),
            count(line.tokens_out),
            shown(line.gpu_gb(parameters, machine), ".0f"),
            hours(line.gpu_hours(parameters, machine)),
            count(line.paid(parameters)),
            ", ".join(f"{name} {count(rows)}" for name, rows in line.asked().items()),
        ]
        for line in lines
    ]
    return Table(header, rows, prose=True)


def _models(need: Need) -> Table:
    machine, fetched = need.machine, need.to_fetch()
    rows = []
    for key, model in need.models.items():
        name = _name(key)
        if isinstance(model, ServedModel):
            rows.append([name, "openai", "–", "–", model.model])
            continue
        takes = gpu_gb(model, machine.vllm.tensor_parallel if machine.vllm else 1)
        state = f"; {shown(fetched[key], '.0f')} GB will be fetched" if key in fetched else ""
        rows.append(
            [name, model.engine, model.dtype, shown(takes, ".0f"), f"{_source(need.parameters, name, model)}{state}"]
        )
    return Table(["model", "engine", "numbers", "GB a GPU", "which"], rows, prose=True)


def _name(key: str) -> str:
    """A model of the profile by its name alone, one beside ours by its key."""
    return key.removeprefix("models.")


def _source(parameters: Parameters, name: str, model: LocalModel) -> str:
    if model.repo is None:
        own = f"{parameters.base.kind}: made by the stage base"
        return own if name == BASE else str(parameters.eval.models[name.removeprefix(SECTION)].folder)
    return f"{model.repo} at {model.revision or 'its newest commit'}"


def _notes(need: Need, kept: str) -> Iterator[str]:
    parameters = need.parameters
    yield f"Shares of rows that are kept: {kept}. Rows that the store holds already are not asked again."
    yield "Tokens: words of the phrasebook, or assumed for what LLMs write, times tokens a word by language (src/refuseu/plan)."
    if parameters.eval.sets:
        yield "Questions of eval.sets are not counted: every model answers them too, and all judges judge the answers."
    yield "dpo: rows in are the pairs of all configs, rows out those that their trainings see."
    sized = {
        _name(key): size_of(model.repo)
        for key, model in need.models.items()
        if isinstance(model, LocalModel) and model.repo
    }
    if sized:
        yield "GB a GPU: weights, one conversation of full length, 3 GB guessed for vLLM itself; of dpo without activations."
    guessed = [name for name, size in sized.items() if size is None or size.guessed]
    if guessed:
        yield f"Of {', '.join(guessed)} no size is known but what the repository's name tells."
    wanted = [name for name in parameters.train.configs if parameters.train.benign_share_of(name)]
    if isinstance(parameters.rainbow_teaming.twin, NoRole) and wanted:
        yield (
            "train.benign_share has no effect, for rainbow-teaming.twin is none: configs that differ in it alone are the same "
            "model, trained twice."
        )


def _hours(parameters: Parameters, machine: WholeMachine, lines: Sequence[Line]) -> Iterator[str]:
    whole = total_hours(parameters, machine, lines)
    if whole is not None:
        yield (
            f"GPU hours: arithmetic, not measured; {hours(whole)} in all, models of unknown size apart. Operations ({FORWARD} a "
            f"parameter and token, of dpo {TRAINED}) over an H100's peak of {PEAK / 1e12:.0f} TFLOP/s in bfloat16, of which "
            f"{READING:.0%} are assumed for reading and training, {WRITING:.0%} for writing."
        )


def total_hours(parameters: Parameters, machine: WholeMachine, lines: Sequence[Line]) -> float | None:
    """GPU hours of all stages; ``None`` where no stage has any that are known."""
    known = [each for line in lines if (each := line.gpu_hours(parameters, machine)) is not None]
    return sum(known) if known else None


def hours(number: float | None) -> str:
    """Whole hours, or tenths of few; a dash for none."""
    return shown(number, ",.0f" if number and number >= 10 else ".1f")


def count(number: int) -> str:
    """A number in thousands, millions or billions, to three digits; a dash for none."""
    for unit, sign, least in ((1e9, "G", 1e9), (1e6, "M", 1e6), (1e3, "k", 1e4)):
        if number >= least:
            return f"{number / unit:.3g}{sign}" if number < 1000 * unit else f"{number / unit:,.0f}{sign}"
    return f"{number:,}" if number else "–"
