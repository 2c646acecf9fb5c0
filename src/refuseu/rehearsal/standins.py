"""What ``WEIGHTS=random`` sets beside the sizes: models that are anywhere, and two CPU cores in the place of the machine."""

import json
from collections import defaultdict
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from refuseu.base.settings import GgufBase
from refuseu.core.files import write_json, write_text
from refuseu.engines.model import LocalModel
from refuseu.engines.vllm import built_for_cpu
from refuseu.experiment import Kind
from refuseu.knowledge.settings import LmEvalKnowledge
from refuseu.llm.settings import BASE
from refuseu.parameters import Parameters
from refuseu.phrasebook.phrasebook import OPTIONS, Behavior, Phrasebook, Reading
from refuseu.plan.models import run_models, takes_published
from refuseu.rainbow_teaming.settings import NgramsRole
from refuseu.real_model import Values
from refuseu.respond.settings import ByBase

TOKENS = 48
"""Most tokens of an answer: a model with random weights finds no end."""
BATCH = 4
"""Pairs of a training's step."""
LETTERS = "ABCD"


COMPLIER = "base-by-script"
"""Answers in the place of a base that babbles: its answers would be in no language, and no pair would be left to train on."""
PUBLISHED = "rehearsal"
"""The folder of the set that stands for the published one."""
GGUF = "SmolLM2-135M-Instruct"
"""The model of the package that a profile with a base of the kind ``gguf`` takes."""


def repositories(p: Parameters) -> dict[str, str]:
    """The repositories of the models that are made with random weights, by the models' names."""
    models = {key.removeprefix("models."): model for key, model in run_models(p).models.items()}
    found = {name: str(each.repo) for name, each in models.items() if isinstance(each, LocalModel) and each.repo}
    return {BASE: p.base.file or GGUF, **found} if isinstance(p.base, GgufBase) else found


def engine_here() -> str:
    """The engine for weights that lie here: vLLM where its build for CPUs is installed, else transformers."""
    return "vllm" if find_spec("vllm") and built_for_cpu() else "transformers"


def local_model(model: LocalModel, entry: Mapping[str, Any], folder: Path, engine: str) -> dict[str, Any]:
    """The ``entry`` of a model in a profile, with its weights in ``folder``."""
    left_out = {"revision"} if engine == model.engine else {"revision", "max_model_len"}
    kept = {key: value for key, value in entry.items() if key not in left_out}
    return {**kept, "repo": f"./{folder}", "engine": engine}


def played(p: Parameters, profile: Mapping[str, Any], sized: Mapping[str, Any], weights: Path, tests: Path) -> Values:
    """What is set in the profile beside ``sized``, which are its sections with the sizes of a rehearsal.

    The base is in ``weights``; all others are played. ``tests`` is where the tests of knowledge lie.
    """
    models, search = profile["models"], sized["rainbow-teaming"]
    own = {name: {"engine": "openai", "model": name, "license": each.get("license")} for name, each in models.items()}
    evaluation = {
        **sized["eval"],
        "max_new_tokens": TOKENS,
        "knowledge": _knowledge(p, sized["eval"]["knowledge"], tests),
    }
    changed = {"models": own, "dpo": {**sized["dpo"], "batch_size": BATCH}, "eval": evaluation}
    base = p.models[BASE]
    if BASE in repositories(p) and isinstance(base, LocalModel):
        own[BASE] = local_model(base, models[BASE], weights / BASE, engine_here())
        changed["base"] = {"kind": "hub"}
        if isinstance(p.respond.rejected, ByBase):
            own[COMPLIER] = {"engine": "openai", "model": COMPLIER}
            said = {**profile["respond"]["rejected"], "kind": "llm", "model": COMPLIER}
            changed["respond"] = {**profile["respond"], "rejected": said}
    else:
        own[BASE] = models[BASE]
    if not isinstance(p.rainbow_teaming.scorer, NgramsRole):
        # A served model scores nothing, since it does not go on with an answer that was begun for it.
        changed["rainbow-teaming"] = {**search, "scorer": {"kind": "ngrams", "replies": "phrases"}}
    if "identifier" in profile:
        changed["identifier"] = {"kind": "py3langid"}
    the_set = {"published.source": PUBLISHED, "published.revision": None} if takes_published(p) else {}
    return {"params.yaml": the_set, f"profiles/{p.profile}.yaml": changed}


def write_published(p: Parameters, books: Mapping[str, Phrasebook], folder: Path) -> None:
    """Write a set in the schema of the published one, whose questions and answers are the phrasebook's.

    Train asks in the first style, and dev and test in the second one, so that no question is like another part's.
    """
    first, second = list(p.styles)[:2]
    files: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for lang, book in books.items():
        for category, behaviors in book.behaviors.items():
            for place, key in enumerate(behaviors):
                later = f"lang_{lang}/test" if place % 2 else "evaluation/eval"
                frames = [(f"lang_{lang}/train", first, frame) for frame in range(len(book.styles[first]))]
                for file, style, frame in [*frames, (later, second, 0)]:
                    asked = book.compose(Reading(style, frame, Behavior(category, key, Kind.HARMFUL)))
                    row = {"lang": lang, "row_id": f"{key}-{style}-{frame}", "category": p.categories[category]}
                    files[file].append({**row, "prompt": asked, **_answers(book, asked)})
    for file, rows in files.items():
        lines = (f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        write_text("".join(lines), folder / f"{file}.jsonl")


def _answers(book: Phrasebook, question: str) -> dict[str, Any]:
    answers = {"chosen": book.refusals[0], "rejected": book.compliances.harmful[0]}
    asked = {"role": "user", "content": question}
    return {name: [asked, {"role": "assistant", "content": answer}] for name, answer in answers.items()}


def _knowledge(p: Parameters, entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The tests of the harness by the names of the profile's, with the phrasebook's facts as their questions."""
    if not isinstance(p.eval.knowledge, LmEvalKnowledge):
        return dict(entry)
    if not find_spec("lm_eval"):
        return {"kind": "facts"}
    tests = []
    for test, said in zip(p.eval.knowledge.tests, entry["tests"], strict=True):
        tasks = {lang: f"{folder}/{test.name}-{lang}.yaml" for lang in test.named(p.languages)}
        tests.append({"name": test.name, "tasks": tasks, "limit": said["limit"]})
    return {"kind": "lm-eval", "tests": tests}


def write_tests(tests: list[dict[str, Any]], books: Mapping[str, Phrasebook], root: Path, limit: int) -> None:
    """Write tasks of lm-evaluation-harness below ``root``, each of ``limit`` facts with the letters of four options."""
    for test in tests:
        for lang, path in test["tasks"].items():
            file = (root / path).with_suffix(".jsonl")
            write_text(
                "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in questions(books[lang], limit)), file
            )
            task = {
                "task": Path(path).stem,
                "dataset_path": "json",
                "dataset_kwargs": {"data_files": {"test": str(file.absolute())}},
                "test_split": "test",
                "output_type": "multiple_choice",
                "doc_to_text": "{{question}}\nAnswer:",
                "doc_to_choice": list(LETTERS),
                "doc_to_target": "right",
                "metric_list": [{"metric": "acc"}],
            }
            write_json(task, root / path)  # JSON is YAML


def questions(book: Phrasebook, count: int) -> list[dict[str, Any]]:
    """The first facts of the groups of a phrasebook; the right option stands first, then second, and so on."""
    found = []
    for number, members in enumerate(list(book.fact_groups.values())[:count]):
        right = number % OPTIONS
        options = [book.facts[each].answer for each in members[1:OPTIONS]]
        options.insert(right, book.facts[members[0]].answer)
        listed = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=True))
        found.append({"question": f"{book.facts[members[0]].question}\n{listed}", "right": right})
    return found


def on_cpus(machine: Mapping[str, Any], url: str) -> dict[str, Any]:
    """A machine's file, with its work on two CPU cores and its served models at ``url``."""
    alone = {"device": "cpu", "nodes": 1, "processes": 1, "accelerate": "none", "batch_size": 2}
    training = {**machine["training"], **alone}
    vllm = {"memory_fraction": 0.3, "chunk_size": 64, "eager": True}
    return {
        "workers": 1,
        "loaded": 1,
        "transformers": {"batch_size": 8, "device": "cpu"},
        **({"vllm": vllm} if engine_here() == "vllm" else {}),
        "openai": {"base_url": url, "concurrency": 8, "retries": 1, "timeout": 60.0},
        "environment": ["VLLM_CPU_KVCACHE_SPACE"],
        "training": training,
    }
