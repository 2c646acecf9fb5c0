"""The judges that need nothing but this repository, by the names that people call them by."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from refuseu.core.errors import UserError
from refuseu.engines.prompts import read_prompt
from refuseu.engines.registry import EngineFactory
from refuseu.experiment import LANGUAGES
from refuseu.judges.composite import CompositeJudge
from refuseu.judges.panel import Panel
from refuseu.judges.settings import (
    ChatJudge,
    GuardJudge,
    JudgeSettings,
    PanelSettings,
    PhrasebookJudge,
    PhrasesJudge,
    Qwen3Guard,
)
from refuseu.judges.verdict import Exchange, Judge
from refuseu.phrasebook.phrasebook import Phrasebook

NAMES = ("phrases", "lexicon", "ngrams", "nearest")


def judge_named(name: str, refusals: Path, books: Callable[[], dict[str, Phrasebook]]) -> Judge:
    """Make the judge ``name``.

    Args:
        name: one of ``NAMES``.
        refusals: the folder with how answers refuse, which ``phrases`` reads.
        books: loads the phrasebooks that the others judge by; asked only where one of them is named.

    Raises:
        UserError: for another name, or when a file that the judge reads is missing or wrong.
    """
    match name:
        case "phrases":
            from refuseu.judges.phrases import PhrasesJudge, load_refusal_phrases

            return PhrasesJudge(load_refusal_phrases(refusals, LANGUAGES))
        case "lexicon":
            from refuseu.judges.lexicon import LexiconJudge

            return LexiconJudge(books())
        case "ngrams":
            from refuseu.judges.ngrams import NgramJudge

            return NgramJudge(books())
        case "nearest":
            from refuseu.judges.nearest import NearestJudge

            return NearestJudge(books())
        case _:
            raise UserError(f"judge {name!r} is none of {', '.join(NAMES)}; name one of them")


class Guard(Judge, Protocol):
    """A judge that gives the probability of harm too."""

    def harm_scores(self, exchanges: Sequence[Exchange]) -> list[float]:
        """Probability (0-1) that each exchange is harmful."""


Parts = dict[str, JudgeSettings]
"""By the names that they have in metrics and tables."""


def seats(label: PanelSettings) -> tuple[Parts, Parts, Parts]:
    """Who judges by the profile's section ``label``: the judges, the adjudicator if any, and those who are only counted.

    The adjudicator is named by its kind. Beside a Qwen3Guard of the panel sits its other reading, by the same name with
    ``(strict)`` or ``(loose)``. Both ask for the same rows, so the row store has the model asked once.
    """
    adjudicators: Parts = {} if label.adjudicator is None else {label.adjudicator.kind: label.adjudicator}
    others = [_other_reading(name, part) for name, part in label.judges.items() if isinstance(part, Qwen3Guard)]
    return label.judges, adjudicators, {name: part for name, part in others if name not in label.judges}


def build_panel(
    label: PanelSettings, books: dict[str, Phrasebook], engines: EngineFactory, prompts: Path, refusals: Path
) -> Panel:
    """The panel of the profile's section ``label``, by the names of ``seats``."""
    seated = [
        {name: build_judge(part, books, engines, prompts, refusals) for name, part in parts.items()}
        for parts in seats(label)
    ]
    return Panel(*seated)


def _other_reading(name: str, part: Qwen3Guard) -> tuple[str, Qwen3Guard]:
    other = part.model_copy(update={"strict": not part.strict})
    return f"{name} ({'strict' if other.strict else 'loose'})", other


def build_judge(
    part: JudgeSettings, books: dict[str, Phrasebook], engines: EngineFactory, prompts: Path, refusals: Path
) -> Judge:
    """The judge that ``part`` describes.

    ``prompts`` and ``refusals`` are the folders of what chat models are told, and of the phrases that refuse.
    """
    match part:
        case PhrasesJudge(questions=asked) if asked:
            phrases = judge_named(part.kind, refusals, lambda: books)
            return CompositeJudge(build_judge(asked, books, engines, prompts, refusals), phrases)
        case PhrasebookJudge(kind=kind) | PhrasesJudge(kind=kind):
            return judge_named(kind, refusals, lambda: books)
        case GuardJudge() | Qwen3Guard():
            return build_guard(part, engines)
        case ChatJudge(model=model):
            from refuseu.judges.chat import ChatJudge as Chat

            return Chat(engines.named(model), read_prompt(prompts / "adjudicator.md"))


def build_guard(part: GuardJudge | Qwen3Guard, engines: EngineFactory) -> Guard:
    """The guard that ``part`` describes: a judge that can score for the search too."""
    match part:
        case GuardJudge(kind="llama-guard-3", model=model):
            from refuseu.judges.llama_guard import LlamaGuardJudge

            return LlamaGuardJudge(engines.named(model))
        case GuardJudge(model=model):
            from refuseu.judges.polyguard import PolyGuardJudge

            return PolyGuardJudge(engines.named(model))
        case Qwen3Guard(model=model, strict=strict):
            from refuseu.judges.qwen3guard import Qwen3GuardJudge

            return Qwen3GuardJudge(engines.named(model), strict)
