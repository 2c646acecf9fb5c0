"""A rehearsal from its clone to its page: with the real models, or with random weights and a script."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, chdir
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from refuseu.commands.repro import DVC, run
from refuseu.core.errors import UserError
from refuseu.core.files import read_yaml
from refuseu.core.sections import machine_file
from refuseu.core.terminal import say
from refuseu.engines.machine import load_machine
from refuseu.engines.model import LocalModel
from refuseu.engines.vllm import VllmMachine, VllmModel
from refuseu.llm.journal import JOURNAL, Call, read_journal
from refuseu.llm.settings import BASE
from refuseu.parameters import Parameters, WholeMachine, load_all
from refuseu.plan.arithmetic import READING, WRITING, Run
from refuseu.real_model import clone, set_values
from refuseu.rehearsal import standins
from refuseu.rehearsal.agreement import Twice, agreement
from refuseu.rehearsal.reading import Asked, Reading, asked
from refuseu.rehearsal.server import Script, serving
from refuseu.rehearsal.shrink import QUESTIONS, sizes
from refuseu.rehearsal.table import full_run, roles, stages, training_of
from refuseu.rehearsal.watch import Steps, Watch
from refuseu.rehearsal.weights import family_of, make_model
from refuseu.review.processes import git, reason
from refuseu.store.revisions import hub_model
from refuseu.store.rows import Store
from refuseu.weights.loading import load_tokenizer
from refuseu.weights.reference import ModelReference

FOLDER = Path(".cache/rehearsal")
"""Where a rehearsal keeps what is its own, here and below its clone."""
CLONE, TOKENIZERS = FOLDER / "clone", FOLDER / "tokenizers"
RESULTS = ("metrics", "plots")
"""What the commit holds of another run, which the stages would read beside their own."""

ANSWERED = "What each role was asked and answered: mean tokens of a row, and percent unparsed and declined"
FULL = (
    "The full run by what was measured: its rows x seconds a row, and what is taken once (loading a model; the starts and ends\n"
    "of all trainings). By make plan: the operations of all rows at {reading:.0f}% of an H100's peak, or {writing:.0f}% to write"
)
AGREEMENT = (
    "Each model's first prompts by transformers and by vLLM, the likeliest token each time: tokens of an answer, equal answers,\n"
    "how many first tokens are equal, and by how much the log-probability of an option (A to D) differs at most"
)


class Rehearsal:
    """With the models of the profile, on the machine as it is."""

    called = "the profile's models"
    notes: tuple[str, ...] = (
        "Few rows leave GPUs idle, so a row of the full run takes less time than it took here. These few rows say nothing of\n"
        "quality.",
    )

    def __init__(self, parameters: Parameters, machine: WholeMachine) -> None:
        self.parameters, self.machine = parameters, machine
        self.root = CLONE
        self.where, _ = machine_file()

    def parts(self) -> Iterator[str]:
        """Run everything, and give what is shown at the end, part by part.

        Raises:
            UserError: when the clone cannot be made, or a stage fails; by then the stage has said why.
        """
        commit = self._cloned()
        profile = read_yaml(self.root / f"profiles/{self.parameters.profile}.yaml", "commit it")
        steps = Steps()
        with ExitStack() as stack:
            self._set(sizes(self.parameters, profile), profile, stack)
            with Watch() as watch:
                self._run(steps)
        what = f"{self.parameters.profile} on {self.where.stem}, commit {commit[:7]}, with {self.called}"
        yield f"Rehearsal of {what}"
        yield from self._tables(read_journal(self._journal), watch, steps)
        yield from self.notes

    def _cloned(self) -> str:
        shutil.rmtree(self.root, ignore_errors=True)
        asked_for = git("rev-parse", "HEAD")
        if asked_for.returncode:
            raise UserError(f"git rev-parse: {reason(asked_for)}")
        changed = git("status", "--porcelain", "--untracked-files=no").stdout
        if changed:
            say("Note: the last commit is rehearsed; changes that are not committed are not in it", err=True)
        commit = asked_for.stdout.strip()
        clone(commit, self.root)
        for results in RESULTS:
            shutil.rmtree(self.root / results)
        return commit

    @property
    def _journal(self) -> Path:
        return self.root / FOLDER / "journal.jsonl"

    def _set(self, sized: Any, profile: Any, stack: ExitStack) -> None:
        """Set in the clone what the rehearsal changes; ``stack`` holds what must be there while it runs."""
        set_values(self.root, sized)

    def _run(self, steps: Steps) -> None:
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        given = {JOURNAL: str(self._journal.absolute()), "REFUSEU_MACHINE": self.where.stem}
        given["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        given["PYTHONPATH"] = str(self.root.absolute() / "src")
        os.environ.pop("REFUSEU_STORE", None)
        os.environ.update(given)
        with chdir(self.root):
            done = run([*DVC, "repro"], heard=steps.hear, kept="and a rehearsal begins anew each time")
        if not done:
            raise UserError(f"the rehearsal stopped, as said above; what was run lies in {self.root}")

    def _tables(self, calls: list[Call], watch: Watch, steps: Steps) -> Iterator[str]:
        small, everyone = load_all(self.root), asked(calls)
        reading = Reading(small, self.root / "data")
        yield stages(watch.stages, self.root).text()
        yield f"{ANSWERED}\n{roles(everyone, reading, self._tokens, self._by).text()}"
        training = training_of(steps, watch.stages["dpo"], small)
        shares = {"reading": 100 * READING, "writing": 100 * WRITING}
        yield f"{FULL.format(**shares)}\n{full_run(Run(self.parameters), self.machine, everyone, training).text()}"
        if twice := self._twice(everyone):
            yield f"{AGREEMENT}\n{agreement(twice, self._engines, load_machine(self.root), self._tokens)}"

    def _tokens(self, name: str, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(name)(text, add_special_tokens=False)["input_ids"]
        return ids

    @cache  # noqa: B019 - one rehearsal a process
    def _tokenizer(self, name: str) -> Any:
        return load_tokenizer(self._reference(name))

    def _reference(self, name: str) -> ModelReference:
        """Of a model of the profile; the base for one whose weights are elsewhere."""
        model = self.parameters.models[name]
        if name != BASE and isinstance(model, LocalModel) and model.repo:
            return hub_model(model.repo, model.revision, Store())
        return ModelReference.read(self.root / "models/base")

    def _by(self, name: str) -> str:
        return self.parameters.models[name].engine

    _engines: tuple[str, ...] = ("vllm", "transformers")

    def _twice(self, everyone: list[Asked]) -> list[Twice]:
        """The models that two engines are asked for: those of the engine vLLM, where it runs here."""
        models = self.parameters.models if self.machine.section(VllmMachine) else {}
        return [
            Twice([name], model, self._reference(name), "real", mine)
            for name, model in models.items()
            if isinstance(model, VllmModel) and (mine := [each for each in everyone if each.model == name])
        ]


class RandomRehearsal(Rehearsal):
    """With random weights of the real architectures and a script for the roles whose words must make sense."""

    called = "random weights"

    @property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override]
        tokenizers = "\n".join(f"- {name}: {of}" for name, of in self.made.items())
        return (
            f"Tokenizers and chat templates:\n{tokenizers}",
            "Times, lengths and answers of random weights and of a script say nothing of the full run: the hours above show\n"
            "the arithmetic alone. Not shown: kernels, GPUs and their memory, NCCL, FSDP2, Ray, the hub, quality. The training\n"
            f"ran in one process, and the base was asked in the engine {standins.engine_here()}. The other models were\n"
            "played by a script behind the engine openai. Guards have templates of their own, which no package holds. Languages\n"
            "were told by py3langid, a search was scored by n-grams, and questions of knowledge were facts of the phrasebook.",
        )

    def __init__(self, parameters: Parameters, machine: WholeMachine) -> None:
        super().__init__(parameters, machine)
        self.made: dict[str, str] = {}
        """By the name of a model, which tokenizer it has."""

    def _set(self, sized: Any, profile: Any, stack: ExitStack) -> None:
        os.environ.update({"HF_HUB_OFFLINE": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"})
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        set_values(self.root, sized)
        small = load_all(self.root)
        file = f"profiles/{small.profile}.yaml"
        changed = standins.played(small, profile, sized[file], FOLDER / "weights", FOLDER / "tests")
        set_values(self.root, changed)
        script = Script(small, self.root / "data")
        knowledge = changed[file]["eval"]["knowledge"]
        standins.write_tests(knowledge.get("tests", []), script.books, self.root, QUESTIONS)
        standins.write_published(small, script.books, self.root / "data/published" / standins.PUBLISHED)
        url = stack.enter_context(serving(script))
        path = self.root / "machines" / self.where.name
        YAML().dump(standins.on_cpus(read_yaml(path, "commit it"), url), path)
        texts = [text for book in script.books.values() for text in (*book.named_behaviors, *book.refusals)]
        for name, repo in standins.repositories(self.parameters).items():
            say(f"rehearsal: random weights for {name}", err=True)
            dtype = self._local(name).dtype
            self.made[name] = make_model(f"models.{name}", repo, dtype, texts, TOKENIZERS, self._weights(name))

    def _local(self, name: str) -> LocalModel:
        model = self.parameters.models[name]
        assert isinstance(model, LocalModel)
        return model

    def _weights(self, name: str) -> Path:
        return self.root / FOLDER / "weights" / name

    def _reference(self, name: str) -> ModelReference:
        return ModelReference.read(self._weights(name) if name in self.made else self.root / "models/base")

    def _by(self, name: str) -> str:
        if name != BASE:
            return "script"
        return f"random, {standins.engine_here()}" if BASE in self.made else "transformers"

    @property
    def _engines(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(dict.fromkeys([standins.engine_here(), "transformers"]))

    def _twice(self, everyone: list[Asked]) -> list[Twice]:
        """All models with random weights, in float32: in bfloat16 many of their tokens are equally likely."""
        alike: dict[str, list[str]] = {}
        for name, repo in standins.repositories(self.parameters).items():
            alike.setdefault(family_of(f"models.{name}", repo).config.removesuffix("Config"), []).append(name)
        return [
            Twice(
                names,
                self._local(names[0]).model_copy(update={"dtype": "float32", "repo": None}),
                self._reference(names[0]),
                family,
                [each for each in everyone if each.model in names],
            )
            for family, names in alike.items()
        ]
