"""The stages of a run, a line each: rows in and out, what models are asked, GPU memory and hours, calls that cost money."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from refuseu.base.settings import TrainedBase
from refuseu.commands.parameters import Parameters, WholeMachine
from refuseu.commands.plan.asks import Ask
from refuseu.commands.plan.flow import Flow
from refuseu.commands.plan.hours import asked_hours, trained_hours
from refuseu.commands.plan.lengths import Lengths
from refuseu.commands.plan.sizes import gpu_gb, training_gb
from refuseu.engines.settings import BASE, LocalModel, ServedModel


@dataclass(frozen=True)
class Line:
    """One stage."""

    stage: str
    rows_in: int
    rows_out: int
    asks: list[Ask] = field(default_factory=list)
    trained_tokens: int = 0
    """Tokens that a training reads."""

    @property
    def tokens_in(self) -> int:
        return sum(each.tokens_in for each in self.asks) + self.trained_tokens

    @property
    def tokens_out(self) -> int:
        return sum(each.tokens_out for each in self.asks)

    def asked(self) -> dict[str, int]:
        """Rows by the model that is asked them."""
        rows: dict[str, int] = {}
        for each in self.asks:
            rows[each.model] = rows.get(each.model, 0) + each.rows
        return {name: count for name, count in rows.items() if count}

    def paid(self, parameters: Parameters) -> int:
        """Calls of models that want a key."""
        return sum(
            rows
            for name, rows in self.asked().items()
            if isinstance(model := parameters.models[name], ServedModel) and model.key
        )

    def gpu_hours(self, parameters: Parameters, machine: WholeMachine) -> float | None:
        """Hours of one GPU that its models take; ``None`` where none runs on one, or no size is known."""
        hours = [asked_hours(each, parameters, machine) for each in self.asks if each.rows]
        hours += [trained_hours(self.trained_tokens, parameters, machine)] if self.trained_tokens else []
        known = [each for each in hours if each is not None]
        return sum(known) if known else None

    def gpu_gb(self, parameters: Parameters, machine: WholeMachine) -> float | None:
        """What the largest of its models takes of each GPU it is spread over; ``None`` where none takes any, or none is known."""
        base = parameters.models[BASE]
        if self.trained_tokens and isinstance(base, LocalModel):
            return training_gb(base, parameters.dpo, machine.training)
        share = machine.vllm.tensor_parallel if machine.vllm else 1
        local = [model for name in self.asked() if isinstance(model := parameters.models[name], LocalModel)]
        return max((takes for model in local if (takes := gpu_gb(model, share)) is not None), default=None)


def lines(parameters: Parameters, flow: Flow, lengths: Lengths, asks: list[Ask]) -> Iterator[Line]:
    """Every stage that takes time, in the order of the pipeline."""

    def of(stage: str) -> list[Ask]:
        return [each for each in asks if each.stage == stage]

    base = parameters.base
    examples = base.steps * base.batch_size if isinstance(base, TrainedBase) else 0
    yield Line("base", examples, 0)
    yield Line("rainbow-teaming", flow.candidates, flow.questions, of("rainbow-teaming"))
    yield Line("translate", flow.to_translate, flow.pairs, of("translate"))
    yield Line("respond", flow.pairs, flow.pairs, of("respond"))
    yield Line("label", flow.pairs, flow.labelled, of("label"))
    yield Line("split", flow.labelled, flow.parts_rows)
    seen = sum(flow.trained_on.values())
    yield Line("dpo", sum(flow.mixes.values()), seen, trained_tokens=round(seen * pair_tokens(parameters, lengths)))
    answered = flow.test_rows * flow.models
    yield Line("eval", answered, answered, of("eval"))


def pair_tokens(parameters: Parameters, lengths: Lengths) -> float:
    """Mean tokens of a preference pair: the prompt stands before both answers."""
    answer = lengths.mean(lengths.answer, parameters.respond.max_new_tokens)
    return 2 * lengths.mean(lengths.question) + lengths.mean(lengths.refusal) + answer
