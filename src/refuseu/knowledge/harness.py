"""Knowledge by lm-evaluation-harness: its tasks, prompts and scoring, with one of this project's engines as its model."""

import logging
import pickle
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from refuseu.core.errors import UserError
from refuseu.core.files import Row
from refuseu.core.network import network_explained
from refuseu.knowledge.settings import LmEvalTest
from refuseu.llm.protocol import Engine

COUNTED_BY_GREEDINESS = frozenset({"exact_match", "acc_mutual_info"})
"""Metrics that need what engines do not compute: whether an answer is the likeliest of all, or its likelihood by itself."""


@dataclass(frozen=True)
class Exam:
    """One test in one language."""

    lang: str
    name: str
    """The name of the harness' task or group."""
    tasks: Sequence[Any]
    """The tasks themselves."""

    @property
    def source(self) -> str:
        """The harness, the task and their versions."""
        import lm_eval

        versions = ", ".join(sorted({str(task.VERSION) for task in self.tasks}))
        return f"lm-eval {lm_eval.__version__}, {Path(self.name).stem} {versions}"


class LmEvalKnowledge:
    """Tests of the harness; ``languages`` are the experiment's."""

    def __init__(self, tests: Sequence[LmEvalTest], languages: list[str]) -> None:
        """Load all tests, so that what is missing is reported before any model is asked.

        Raises:
            UserError: when the harness is not installed, does not know a task, cannot load its data, or counts it in a way that
                engines cannot serve.
        """
        if find_spec("lm_eval") is None:
            raise UserError(
                "eval.knowledge: lm-evaluation-harness is not installed; '.venv/bin/uv pip install lm-eval==0.4.13' brings it"
            )
        self._exams = [(test, _exams(test, languages)) for test in tests]

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process is handed the tasks with the places of their data on this machine's disk, and loads nothing anew.

        For 456 tasks that takes 6 s where loading took 250 s and 1,392 requests of the hub.
        """
        return _received, ([name for name in sys.modules if name.startswith("/")], pickle.dumps(self._exams))

    def ask(self, engine: Engine) -> Iterator[Row]:
        for test, exams in self._exams:
            samples = _samples(engine, test, [task for exam in exams for task in exam.tasks])
            for exam in exams:
                for task in exam.tasks:
                    for sample in samples[task.task_name]:
                        yield {
                            "test": test.name,
                            "question_id": f"{task.task_name}-{sample['doc_id']:05}",
                            "lang": exam.lang,
                            "correct": sample[test.metric] == 1.0,
                            "margin": _margin(task, sample, test.metric),
                            "source": exam.source,
                        }


def _received(modules: Sequence[str], exams: bytes) -> LmEvalKnowledge:
    """The tests from another process; ``modules`` are the files of functions that tasks of one's own name (``!function``)."""
    from lm_eval.tasks import _yaml_loader

    for name in modules:
        _yaml_loader._load_module_with_cache(Path(f"{name}.py"))
    received = LmEvalKnowledge([], [])
    received._exams = pickle.loads(exams)
    return received


def _exams(test: LmEvalTest, languages: list[str]) -> list[Exam]:
    names = test.named(languages)
    if not names:
        raise UserError(f"eval.knowledge: {test.name} has none of the languages {', '.join(languages)}; take it out")
    return [Exam(lang, name, _tasks(name, test.commit, test.metric)) for lang, name in names.items()]


@cache
def _manager() -> Any:
    """What finds tasks by their names; made once, since it reads the files of all 14,683 tasks."""
    from lm_eval.tasks import TaskManager

    with _quiet():
        return TaskManager()


def _tasks(name: str, commit: str | None, metric: str) -> Sequence[Any]:
    from datasets.exceptions import DatasetsError

    where = f"eval.knowledge: {name}"
    if name not in _manager().task_index and not (name.endswith(".yaml") and Path(name).is_file()):
        raise UserError(
            f"{where}: is no task of lm-evaluation-harness, and no YAML file of one; 'lm-eval ls' lists its tasks"
        )
    try:
        with _quiet(), network_explained():
            tasks = _loaded(name, commit)
    except (DatasetsError, OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{where}: its data cannot be had ({type(error).__name__}: {next(iter(str(error).splitlines()), '')}); check the "
            "network, or run it once where the hub can be reached and bring the hub's cache (HF_HOME) here"
        ) from None
    for task in tasks:
        _assert_at(commit, task)
        _assert_countable(task, metric)
    return tasks


def _loaded(name: str, commit: str | None) -> list[Any]:
    manager = _manager()
    if commit and name in manager.task_index:
        # The factory itself: what the manager takes as overrides does not reach the groups in a group (0.4.13).
        pinned = {"dataset_kwargs": {"revision": commit}}
        found = manager._factory.build(manager.task_index[name], overrides=pinned, registry=manager.task_index)
    else:
        found = name
    return list(manager.load(found if isinstance(found, list) else [found])["tasks"].values())


def _assert_at(commit: str | None, task: Any) -> None:
    """Without the hub, datasets takes the newest in its cache, whatever commit is asked for: a folder is named by it."""
    for data in (task.dataset or {}).values():
        for file in data.cache_files:
            found = Path(file["filename"]).parent.name
            if commit and re.fullmatch("[0-9a-f]{40}", found) and found != commit:
                raise UserError(
                    f"eval.knowledge: {task.task_name}: the hub's cache holds its data at the commit {found}, and {commit} is "
                    "asked for; load it once where the hub can be reached"
                )


def _assert_countable(task: Any, metric: str) -> None:
    where, counted = f"eval.knowledge: {task.task_name}", set(task.aggregation())
    if task.OUTPUT_TYPE != "multiple_choice" or task.multiple_input or task.multiple_target or task.config.gen_prefix:
        raise UserError(f"{where}: is no plain multiple choice with one right option; take it out")
    if metric not in counted:
        raise UserError(f"{where}: the harness does not count {metric} of it, but {', '.join(sorted(counted))}")
    if counted & COUNTED_BY_GREEDINESS:
        raise UserError(
            f"{where}: is counted by {min(counted & COUNTED_BY_GREEDINESS)}, which engines cannot tell; take it out"
        )


def _samples(engine: Engine, test: LmEvalTest, tasks: list[Any]) -> dict[str, list[dict[str, Any]]]:
    """What the harness recorded about each question, by the task's name."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from refuseu.knowledge.engine_lm import EngineLM

    with _quiet():
        results = simple_evaluate(
            model=EngineLM(engine),
            tasks=tasks,
            num_fewshot=test.fewshot,
            limit=test.limit,
            bootstrap_iters=0,
            apply_chat_template=True,
            fewshot_as_multiturn=True,
            task_manager=TaskManager(include_defaults=False),  # the tasks are found already
        )
    samples: dict[str, list[dict[str, Any]]] = results["samples"]
    return samples


def _margin(task: Any, sample: dict[str, Any], metric: str) -> float:
    """Log-likelihood (nats; by character for ``acc_norm``) of the right option, less that of the best wrong one."""
    options = task.doc_to_choice(sample["doc"])
    target = sample["target"]
    right = target if isinstance(target, int) else options.index(target)
    scores = [score for score, _ in sample["filtered_resps"]]
    if metric == "acc_norm":
        scores = [score / len(option) for score, option in zip(scores, options, strict=True)]
    return float(scores.pop(right) - max(scores))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the harness from drawing a progress bar for each task and from warning about settings that are meant."""
    from lm_eval.api import task

    log, shown = logging.getLogger("lm_eval"), task.tqdm
    level = log.level
    log.setLevel(logging.ERROR)
    task.tqdm = partial(shown, disable=True)
    try:
        yield
    finally:
        task.tqdm = shown
        log.setLevel(level)
