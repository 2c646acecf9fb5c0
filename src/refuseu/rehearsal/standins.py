"""What ``WEIGHTS=random`` sets beside the sizes: models that are anywhere, and two CPU cores in the place of the machine."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from refuseu.core.files import write_json, write_text
from refuseu.engines.model import LocalModel
from refuseu.engines.vllm import built_for_cpu
from refuseu.knowledge.settings import LmEvalKnowledge, LmEvalTest
from refuseu.llm.settings import BASE
from refuseu.parameters import Parameters
from refuseu.phrasebook.phrasebook import OPTIONS, Phrasebook
from refuseu.real_model import Values

TOKENS = 48
"""Most tokens of an answer: a model with random weights finds no end."""
BATCH = 4
"""Pairs of a training's step."""
LETTERS = "ABCD"


def engine_here() -> str:
    """The engine for weights that lie here: vLLM where its build for CPUs is installed, else transformers."""
    return "vllm" if find_spec("vllm") and built_for_cpu() else "transformers"


def local_model(model: LocalModel, entry: Mapping[str, Any], folder: Path, engine: str) -> dict[str, Any]:
    """The ``entry`` of a model in a profile, with its weights in ``folder``."""
    left_out = {"revision"} if engine == model.engine else {"revision", "max_model_len"}
    kept = {key: value for key, value in entry.items() if key not in left_out}
    return {**kept, "repo": f"./{folder}", "engine": engine}


def played_model(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """A model that the script plays."""
    return {"engine": "openai", "model": name, **{key: entry[key] for key in ("license",) if key in entry}}


def played(p: Parameters, profile: Mapping[str, Any], sized: Mapping[str, Any], weights: Path, tests: Path) -> Values:
    """What is set in the profile beside ``sized``, which are its sections with the sizes of a rehearsal.

    The base is in ``weights``; all others are played. ``tests`` is where the tests of knowledge lie.
    """
    models = profile["models"]
    base = p.models[BASE]
    own = {name: played_model(name, entry) for name, entry in models.items()}
    if isinstance(base, LocalModel) and base.repo:
        own[BASE] = local_model(base, models[BASE], weights / BASE, engine_here())
    evaluation = {
        **sized["eval"],
        "max_new_tokens": TOKENS,
        "knowledge": _knowledge(p, sized["eval"]["knowledge"], tests),
    }
    changed = {"models": own, "dpo": {**sized["dpo"], "batch_size": BATCH}, "eval": evaluation}
    if "identifier" in profile:
        changed["identifier"] = {"kind": "py3langid"}
    return {f"profiles/{p.profile}.yaml": changed}


def _knowledge(p: Parameters, entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The tests of the harness by the names of the profile's, with the phrasebook's facts as their questions."""
    if not isinstance(p.eval.knowledge, LmEvalKnowledge):
        return dict(entry)
    if not find_spec("lm_eval"):
        return {"kind": "facts"}
    tests = []
    for test, said in zip(p.eval.knowledge.tests, entry["tests"], strict=True):
        tasks = {lang: f"{folder}/{test.name}-{lang}.yaml" for lang in languages_of(test, p.languages)}
        tests.append({"name": test.name, "tasks": tasks, "limit": said["limit"]})
    return {"kind": "lm-eval", "tests": tests}


def languages_of(test: LmEvalTest, languages: list[str]) -> list[str]:
    return list(test.named(languages))


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
    training = {**machine["training"], "device": "cpu", "processes": 1, "accelerate": "none", "batch_size": 2}
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
