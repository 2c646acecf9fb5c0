"""Which test of knowledge the models sit: the entry ``eval.knowledge`` of the profile."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from refuseu.core.sections import Positive, Section, distinct
from refuseu.experiment import LANGUAGES, LanguageCode
from refuseu.sources.settings import Commit


class FactKnowledge(Section):
    """Knowledge by the phrasebook's facts."""

    kind: Literal["facts"]


@dataclass(frozen=True)
class Family:
    """The same test in several languages, a task of the harness each."""

    tasks: dict[str, str]
    """Language to the name of a task or group."""
    revision: str
    """Commit of the data set on the hub."""


FAMILIES = {
    "belebele": Family(
        {
            code: f"belebele_{language.flores}"
            for code, language in LANGUAGES.items()
            if language.flores and language.belebele
        },
        "7899cdfa4e1e0d733fd77c848e2c273cb1d32be2",
    ),
    "global-mmlu": Family(
        {code: f"global_mmlu_full_{code}" for code, language in LANGUAGES.items() if language.global_mmlu},
        "0e619dbeb34206cd48705a1a0ea7fb21cae09993",
    ),
}
"""The tests whose tasks need not be named."""


class LmEvalTest(Section):
    """One test, in those of the experiment's languages that it has."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    """Its name in tables, and one of ``FAMILIES`` where no tasks are named."""
    tasks: Annotated[dict[LanguageCode, str], Field(min_length=1)] | None = None
    """Language to a task or group of the harness, or to the YAML file of a task of one's own; nothing for a known family."""
    revision: Commit | None = None
    """Commit of the data set on the hub; nothing for the family's, and the newest where tasks are named."""
    metric: Literal["acc", "acc_norm"] = "acc"
    """Which option counts as chosen: the likeliest one, or the likeliest by character."""
    limit: Positive | None = None
    """Questions of a task, from its start; nothing for all. Global MMLU has 57 tasks, a subject each, in every language."""
    fewshot: Annotated[int, Field(ge=0)] = 0
    """Answered examples before each question, as turns of the conversation."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.tasks is None and self.name not in FAMILIES:
            raise ValueError(f"name: {self.name!r} is none of {', '.join(FAMILIES)}; name its tasks, language: task")
        distinct(list((self.tasks or {}).values()))
        return self

    def named(self, languages: list[str]) -> dict[str, str]:
        """The names of its tasks in those of ``languages`` that it has."""
        tasks = FAMILIES[self.name].tasks if self.tasks is None else self.tasks
        return {lang: tasks[lang] for lang in languages if lang in tasks}

    @property
    def commit(self) -> str | None:
        """The commit of the data set; ``None`` for the newest."""
        return FAMILIES[self.name].revision if self.revision is None and self.tasks is None else self.revision


def _named_once(tests: list[LmEvalTest]) -> list[LmEvalTest]:
    distinct([test.name for test in tests])
    return tests


class LmEvalKnowledge(Section):
    """Knowledge by lm-evaluation-harness."""

    kind: Literal["lm-eval"]
    tests: Annotated[list[LmEvalTest], Field(min_length=1), AfterValidator(_named_once)]
    """The first one is what is called knowledge in tables; the others stand beside it."""


KnowledgeSource = Annotated[FactKnowledge | LmEvalKnowledge, Field(discriminator="kind")]
"""Where the questions of knowledge come from."""
