"""lm-evaluation-harness through an engine, on a real model and a real chat template, against the harness' own model class."""

import json
from pathlib import Path

import pytest

from refuseu.engines.transformers import TransformersEngine
from refuseu.weights.reference import ModelReference

CAPITALS = [("France", 0), ("Italy", 1), ("Poland", 2), ("Germany", 3)]
CITIES = ["Paris", "Rome", "Warsaw", "Berlin"]
CONSTANT = 1e-4
"""Float noise (nats) that the difference of two log-likelihoods may have within a question, in float32."""


def test_the_number_is_the_harness_own(folder: Path, tmp_path: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from refuseu.knowledge.engine_lm import EngineLM

    rows = [{"question": f"What is the capital of {land}?", "right": right} for land, right in CAPITALS]
    (tmp_path / "capitals.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    task = {
        "task": "capitals",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "capitals.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": CITIES,
        "doc_to_target": "right",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }
    (tmp_path / "capitals.yaml").write_text(json.dumps(task), encoding="utf-8")  # JSON is YAML
    manager = TaskManager(include_defaults=False, include_path=str(tmp_path))
    theirs, ours = (
        simple_evaluate(
            model=model, tasks=["capitals"], bootstrap_iters=0, apply_chat_template=True, task_manager=manager
        )
        for model in (
            HFLM(pretrained=str(folder), dtype="float32", device="cpu", batch_size=4),
            EngineLM(TransformersEngine(ModelReference(folder), "smollm2", batch_size=4, dtype="float32")),
        )
    )
    for metric in ("acc,none", "acc_norm,none"):
        assert ours["results"]["capitals"][metric] == theirs["results"]["capitals"][metric]
    assert theirs["results"]["capitals"]["acc,none"] > 0.5
    for own, other in zip(ours["samples"]["capitals"], theirs["samples"]["capitals"], strict=True):
        pairs = zip(own["filtered_resps"], other["filtered_resps"], strict=True)
        # The harness counts the template's last line break as part of each answer, we as part of the prompt.
        breaks = [one - another for (one, _), (another, _) in pairs]
        assert max(breaks) - min(breaks) < CONSTANT
        assert breaks[0] == pytest.approx(0, abs=0.01)
