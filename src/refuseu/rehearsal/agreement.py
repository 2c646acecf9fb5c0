"""Asks the models of a rehearsal the same prompts in vLLM and in transformers: where they say other things, one has a fault."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import NamedTuple

from refuseu.core.errors import UserError
from refuseu.engines.machine import Machine
from refuseu.engines.model import LocalModel
from refuseu.engines.registry import model_settings
from refuseu.llm.protocol import Failed, LoadedEngine, Prompt, Sampling
from refuseu.plan import host
from refuseu.plan.models import ENGINE_GB, size_of
from refuseu.rehearsal.reading import Asked
from refuseu.rehearsal.table import Tokens
from refuseu.results.markdown import Table, shown
from refuseu.weights.reference import ModelReference

PROMPTS = 4
"""Of each role that a model plays, the first ones."""
TOKENS = 32
"""Most tokens of an answer. On GPUs two engines round differently, so that long answers part sooner or later."""
OPTIONS = ("A", "B", "C", "D")
"""Answers of one token each, whose log-probabilities are compared."""
ENGINES = ("transformers", "vllm")


@dataclass(frozen=True)
class Twice:
    """A model that both engines are asked for."""

    names: Sequence[str]
    """What the profile calls it; random weights of one architecture are one model, whatever it is called."""
    model: LocalModel
    reference: ModelReference
    weights: str
    """What they are, as the table calls them."""
    asked: Sequence[Asked]
    """What it was asked in the rehearsal; some of that is asked again."""

    def prompts(self) -> Iterator[tuple[Sampling, list[Prompt]]]:
        """Of each role as it was asked, but the likeliest token each time, since engines draw differently."""
        greedy = {"temperature": 0.0, "first_tokens": (), "schema": None, "max_new_tokens": TOKENS}
        for each in self.asked:
            call = next((call for call in each.calls if call.sampling), None)
            if call and call.sampling:
                yield Sampling(**{**call.sampling, **greedy}), [row[0] for row in call.rows[:PROMPTS]]


class Said(NamedTuple):
    """What a model said in one engine."""

    texts: list[str]
    """Of a row that failed, why it did."""
    scores: list[float | Failed]
    """Log-probabilities of the options after each prompt."""


NOTHING = Said([], [])


def said(twice: Twice, engine: str, machine: Machine) -> Said:
    """
    Raises:
        UserError: when the engine cannot hold or ask the model.
    """
    loaded, found = _load(twice, engine, machine), Said([], [])
    try:
        for sampling, prompts in twice.prompts():
            answers = dict(loaded.complete(prompts, sampling))
            scores = dict(loaded.log_likelihoods([(prompt, option) for prompt in prompts for option in OPTIONS]))
            found.texts.extend(answers[place].text or answers[place].reason for place in sorted(answers))
            found.scores.extend(scores[place] for place in sorted(scores))
    finally:
        loaded.close()
    return found


def _load(twice: Twice, engine: str, machine: Machine) -> LoadedEngine:
    model, gpus = twice.model, host.gpus()
    size = size_of(model)
    takes = size.weights_gb(model.dtype) + ENGINE_GB if size else 0.0
    if engine == "transformers" and gpus and takes > gpus[0].memory_gb:
        raise UserError(
            f"takes {takes:.0f} GB, and transformers would hold it on one GPU of {gpus[0].memory_gb:.0f} GB"
        )
    variables = json.loads(model.chat_template_kwargs)
    entry = {"engine": engine, "dtype": model.dtype, "chat_template_kwargs": variables}
    settings = model if engine == model.engine else model_settings(entry)
    loaded: LoadedEngine = settings.load(twice.reference, twice.names[0], machine, ())
    return loaded


def agreement(models: Sequence[Twice], engines: Sequence[str], machine: Machine, tokens: Tokens) -> str:
    """A table of how far the engines agree, and a line for each model that one of them could not be asked for.

    An engine asks all models before the next one does: a process that has computed by transformers keeps some of a GPU.
    """
    done: dict[tuple[int, str], Said] = {}
    rows, faults = [], []
    for engine in engines:
        for place, each in enumerate(models):
            try:
                done[place, engine] = said(each, engine, machine)
            except UserError as error:
                faults.append(f"- {each.names[0]}, {engine}: {error.message}")
    for place, each in enumerate(models):
        one, other = (done.get((place, engine), NOTHING) for engine in ENGINES)
        found = compared(one, other, partial(tokens, each.names[0]))
        rows.append([", ".join(each.names), each.weights, each.model.dtype, *found])
    header = ["model", "weights", "dtype", "answers", "tokens", "equal %", "equal first tokens", "log p apart"]
    return "\n".join([Table(header, rows, names=3).text(), *faults])


def compared(one: Said, other: Said, tokens: Callable[[str], list[int]]) -> list[str]:
    """Answers of the first engine and their mean tokens; then, where there are two: percent of equal answers, mean number of
    equal first tokens, and the largest difference of an option's log-probability.
    """
    wrote = [tokens(text) for text in one.texts]
    pairs = list(zip(wrote, map(tokens, other.texts), strict=True)) if one.texts and other.texts else []
    same = [
        next((place for place, (a, b) in enumerate(zip(*pair, strict=False)) if a != b), min(map(len, pair)))
        for pair in pairs
    ]
    scores = zip(one.scores, other.scores, strict=True) if pairs else ()
    apart = [abs(a - b) for a, b in scores if not isinstance(a, Failed) and not isinstance(b, Failed)]
    return [
        str(len(wrote)),
        shown(_mean([len(each) for each in wrote])),
        shown(_mean([100.0 * (a == b) for a, b in pairs]), ".0f"),
        shown(_mean(same)),
        shown(max(apart, default=None), ".1e"),
    ]


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
