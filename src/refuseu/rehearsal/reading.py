"""Reads again what the models of a run said, by the parts of the pipeline that read it there."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean

from refuseu.eval.rating import parsed
from refuseu.judges.phrases import PhrasesJudge, load_refusal_phrases
from refuseu.judges.settings import Resources
from refuseu.judges.verdict import Exchange, Harm, Judge, Reply
from refuseu.llm.journal import Call
from refuseu.llm.protocol import Completion, Conversation, Finish, Prompt, Sampling
from refuseu.llm.settings import BASE
from refuseu.llm.writing import written
from refuseu.parameters import Parameters
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.rainbow_teaming import mutators
from refuseu.rainbow_teaming.scoring import LETTERS
from refuseu.translate import translators

Reader = Callable[[Prompt, Completion], bool]
"""Whether a stage can read an answer to a prompt."""


@dataclass(frozen=True)
class Asked:
    """All that one model was asked in one stage, or that it was asked again."""

    stage: str
    model: str
    calls: Sequence[Call]

    @property
    def rows(self) -> int:
        return sum(len(call.rows) for call in self.calls)

    @property
    def seconds(self) -> float:
        return sum(call.seconds for call in self.calls)

    @property
    def loading(self) -> float:
        return sum(call.loading for call in self.calls)

    @property
    def prompts(self) -> list[str]:
        return [text_of(prompt) for call in self.calls for prompt, *_ in call.rows]

    @property
    def answers(self) -> list[tuple[Prompt, Completion]]:
        """What it wrote; log-likelihoods are none."""
        rows = [row for call in self.calls if call.sampling for row in call.rows]
        return [(prompt, Completion(text, Finish(finish))) for prompt, text, finish in rows]


def asked(calls: Sequence[Call]) -> list[Asked]:
    """The calls by stage and model, in the order in which they came."""
    keys = [(call.stage.partition("@")[0], model_name(call.model)) for call in calls]
    return [
        Asked(*key, [call for call, own in zip(calls, keys, strict=True) if own == key]) for key in dict.fromkeys(keys)
    ]


def model_name(called: str) -> str:
    """The profile's name of a model that error texts call ``models.NAME: …``; all others are the base or aligned from it."""
    return called.removeprefix("models.").partition(":")[0] if called.startswith("models.") else BASE


def text_of(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else "\n".join(message["content"] for message in prompt)


@dataclass
class Replay:
    """An engine that says what was said, whatever it is asked."""

    said: Completion = field(default_factory=lambda: Completion(""))
    identity: str = "replay"

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        return ((position, self.said) for position in range(len(prompts)))

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, float]]:
        raise AssertionError("a reader asks for no log-likelihoods")


class Reading:
    """The readers of one profile."""

    def __init__(self, p: Parameters, data: Path) -> None:
        """``data`` is the pipeline's folder of this name."""
        self._replay = Replay()
        self._phrases = PhrasesJudge(load_refusal_phrases(data / "refusals", p.languages))
        books = load_phrasebooks(data / "phrasebook", p.languages, p.categories, p.styles)
        found = Resources(lambda: books, lambda _: self._replay, data / "prompts", data / "refusals")
        judges = {**p.label.judges, **p.label.adjudicators}
        self._judges: Mapping[str, Judge] = {
            use.model: judge.build(found) for judge in judges.values() for use in judge.model_uses()
        }
        self._played = list(p.played())

    def unparsed(self, each: Asked) -> float | None:
        """Percent of its answers that its stage cannot read in any role that it plays there; ``None`` where any text will do."""
        readers = list(self._readers(each))
        return _percent([not any(reads(*row) for reads in readers) for row in each.answers]) if readers else None

    def _readers(self, each: Asked) -> Iterator[Reader]:
        """How its stage reads it, in each role that it plays there."""
        for section, role in (key.split(".")[:2] for key, name in self._played if name == each.model):
            match each.stage, section, role:
                case "rainbow-teaming", "rainbow-teaming", "mutator" | "twin":
                    yield partial(self._is_written, mutators.FIELD)
                case "rainbow-teaming", "rainbow-teaming", "preference":
                    yield lambda _, said: said.text in LETTERS
                case "translate", "translate", _:
                    yield partial(self._is_written, translators.FIELD)
                case "label" | "eval", "label", _:
                    yield partial(self._is_verdict, self._judges[each.model])
                case "eval", "eval", "rating":
                    yield lambda _, said: parsed(said) is not None

    def _is_written(self, entry: str, prompt: Prompt, said: Completion) -> bool:
        self._replay.said = said
        conversation: Conversation = [{"role": "user", "content": text_of(prompt)}]
        return written(self._replay, [conversation], Sampling(1), entry) != [None]

    def _is_verdict(self, judge: Judge, _: Prompt, said: Completion) -> bool:
        self._replay.said = said
        return judge.judge([Exchange("en", "a question", "an answer")])[0].harm is not Harm.UNPARSED

    def declined(self, each: Asked) -> float | None:
        """Percent of its answers that a service declined, or that refuse by the phrases; ``None`` of verdicts and marks."""
        if each.stage in ("label", "eval") and any(self._readers(each)):
            return None
        return _percent(
            [said.finish is Finish.DECLINED or self._refuses(prompt, said) for prompt, said in each.answers]
        )

    def _refuses(self, prompt: Prompt, said: Completion) -> bool:
        verdict = self._phrases.judge([Exchange("en", text_of(prompt), said.text)])[0]
        return verdict.reply is Reply.REFUSAL


def _percent(flags: Sequence[bool]) -> float | None:
    return 100 * fmean(flags) if flags else None
