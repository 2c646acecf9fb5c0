"""A rehearsal from its clone to its page: with the real models, or with random weights and a script."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, chdir
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

from ruamel.yaml import YAML

from refuseu.commands.repro import DVC, run
from refuseu.core.errors import UserError
from refuseu.core.files import read_yaml
from refuseu.core.sections import machine_file
from refuseu.core.terminal import say
from refuseu.engines.machine import load_machine
from refuseu.engines.model import LocalModel
from refuseu.engines.registry import model_settings
from refuseu.llm.journal import JOURNAL, Call, Journaled, read_journal
from refuseu.llm.protocol import Sampling
from refuseu.llm.settings import BASE
from refuseu.parameters import Parameters, WholeMachine, load_all
from refuseu.plan.arithmetic import Run
from refuseu.plan.models import run_models
from refuseu.real_model import clone, set_values
from refuseu.rehearsal import standins
from refuseu.rehearsal.reading import Asked, Reading, asked
from refuseu.rehearsal.server import Script, serving
from refuseu.rehearsal.shrink import QUESTIONS, sizes
from refuseu.rehearsal.table import full_run, roles, stages
from refuseu.rehearsal.watch import Watch
from refuseu.rehearsal.weights import family_of, make_model
from refuseu.review.processes import git, reason
from refuseu.store.revisions import hub_model
from refuseu.store.rows import Store
from refuseu.weights.loading import load_tokenizer
from refuseu.weights.reference import ModelReference

FOLDER = Path(".cache/rehearsal")
CLONE, TOKENIZERS = FOLDER / "clone", FOLDER / "tokenizers"
OWN = Path(".cache/rehearsal")
"""Where a rehearsal keeps what is its own, below the clone."""
RESULTS = ("metrics", "plots")
"""What the commit holds of another run, which the stages would read beside their own."""
AGAIN = 4
"""Prompts of each role that the model of its name is asked again, with random weights."""


ANSWERED = "What each role was asked and answered: mean tokens of a row, and percent unparsed and declined"
AGAIN_ASKED = "The first prompts of each played role, asked of random weights of its model's architecture"
FULL = "The full run by what was measured: its rows x seconds a row, and one loading of each model"


class Rehearsal:
    """With the models of the profile, on the machine as it is."""

    called = "the profile's models"
    notes: tuple[str, ...] = (
        "Few rows leave GPUs idle, so a row of the full run takes less time than it took here. A training's seconds hold its\n"
        "start. These few rows say nothing of quality.",
    )

    def __init__(self, parameters: Parameters, machine: WholeMachine) -> None:
        self.parameters, self.machine = parameters, machine
        self.root = CLONE
        self.where, _ = machine_file()

    def page(self) -> str:
        """Run everything, and return what is shown at the end.

        Raises:
            UserError: when the clone cannot be made, or a stage fails; by then the stage has said why.
        """
        commit = self._cloned()
        profile = read_yaml(self.root / f"profiles/{self.parameters.profile}.yaml", "commit it")
        with ExitStack() as stack:
            self._set(sizes(self.parameters, profile), profile, stack)
            with Watch() as watch:
                self._run()
        calls = read_journal(self._journal)
        tables = self._tables(calls, watch)
        what = f"{self.parameters.profile} on {self.where.stem}, commit {commit[:7]}, with {self.called}"
        return "\n\n".join([f"Rehearsal of {what}", *tables, *self.notes])

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
        return self.root / OWN / "journal.jsonl"

    def _set(self, sized: Any, profile: Any, stack: ExitStack) -> None:
        """Set in the clone what the rehearsal changes; ``stack`` holds what must be there while it runs."""
        set_values(self.root, sized)

    def _run(self) -> None:
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        given = {JOURNAL: str(self._journal.absolute()), "REFUSEU_MACHINE": self.where.stem}
        given["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        given["PYTHONPATH"] = str(self.root.absolute() / "src")
        os.environ.pop("REFUSEU_STORE", None)
        os.environ.update(given)
        with chdir(self.root):
            done = run([*DVC, "repro"])
        if not done:
            raise UserError(f"the rehearsal stopped, as said above; what was run lies in {self.root}")

    def _tables(self, calls: list[Call], watch: Watch) -> Iterator[str]:
        small, everyone = load_all(self.root), asked(calls)
        reading = Reading(small, self.root / "data")
        yield stages(watch.stages, self.root).text()
        yield f"{ANSWERED}\n{roles(everyone, reading, self._count, self._by).text()}"
        if again := self._asked_again(everyone):
            yield f"{AGAIN_ASKED}\n{roles(again, reading, self._count, self._by_weights).text()}"
        training = watch.stages["dpo"].seconds, small.dpo.batch_size * (small.dpo.steps or 1)
        yield f"{FULL}\n{full_run(Run(self.parameters), self.machine, everyone, training).text()}"

    def _count(self, name: str, text: str) -> int:
        return len(self._tokenizer(name)(text, add_special_tokens=False)["input_ids"])

    @cache  # noqa: B019 - one rehearsal a process
    def _tokenizer(self, name: str) -> Any:
        """Of a model of the profile; the base's for one whose tokenizer is not known."""
        model = self.parameters.models[name]
        if name != BASE and isinstance(model, LocalModel) and model.repo:
            return load_tokenizer(hub_model(model.repo, model.revision, Store()))
        with chdir(self.root):
            return load_tokenizer(ModelReference.read(Path("models/base")))

    def _by(self, name: str) -> str:
        return self.parameters.models[name].engine

    def _by_weights(self, name: str) -> str:
        return ""

    def _asked_again(self, everyone: list[Asked]) -> list[Asked]:
        return []


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
            "played by a script behind the engine openai, and then asked in transformers. Languages were told by py3langid,\n"
            "and the questions of knowledge were facts of the phrasebook.",
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
        changed = standins.played(small, profile, sized[file], OWN / "weights", OWN / "tests")
        set_values(self.root, changed)
        script = Script(small, self.root / "data")
        knowledge = changed[file]["eval"]["knowledge"]
        standins.write_tests(knowledge.get("tests", []), script.books, self.root, QUESTIONS)
        url = stack.enter_context(serving(script))
        path = self.root / "machines" / self.where.name
        YAML().dump(standins.on_cpus(read_yaml(path, "commit it"), url), path)
        texts = [text for book in script.books.values() for text in (*book.named_behaviors, *book.refusals)]
        for key, model in run_models(self.parameters).models.items():
            if isinstance(model, LocalModel) and model.repo:
                name = key.removeprefix("models.")
                say(f"rehearsal: random weights for {name}", err=True)
                folder = self._weights(name)
                self.made[name] = make_model(key, model.repo, model.dtype, texts, TOKENIZERS, folder)

    def _weights(self, name: str) -> Path:
        return self.root / OWN / "weights" / name

    @cache  # noqa: B019 - one rehearsal a process
    def _tokenizer(self, name: str) -> Any:
        return load_tokenizer(ModelReference.read(self._weights(name if name in self.made else BASE)))

    def _by(self, name: str) -> str:
        return f"random, {standins.engine_here()}" if name == BASE else "script"

    def _by_weights(self, name: str) -> str:
        repo = str(getattr(self.parameters.models[name], "repo", ""))
        return family_of(f"models.{name}", repo).config.removesuffix("Config")

    def _asked_again(self, everyone: list[Asked]) -> list[Asked]:
        """Some prompts of each role, asked of the models that the script stood for."""
        mine = [each for each in everyone if each.model != BASE and each.model in self.made]
        return [Asked(each.stage, each.model, [self._again(each)]) for each in mine]

    def _again(self, each: Asked) -> Call:
        model, call = self.parameters.models[each.model], each.calls[0]
        assert isinstance(model, LocalModel) and call.sampling
        entry = {"engine": "transformers", "dtype": model.dtype, "repo": f"./{self._weights(each.model)}"}
        settings = model_settings({**entry, "chat_template_kwargs": json.loads(model.chat_template_kwargs)})
        sampling = Sampling(**{**call.sampling, "first_tokens": (), "max_new_tokens": standins.TOKENS})
        began = perf_counter()
        engine = settings.load(ModelReference.read(Path(settings.repo)), each.model, load_machine(self.root), ())
        again = Call(each.stage, call.model, perf_counter() - began)
        list(Journaled(engine, again, self._journal).complete([row[0] for row in call.rows[:AGAIN]], sampling))
        engine.close()
        return again
