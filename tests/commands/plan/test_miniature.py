"""The plan's estimates for the miniature are within a fifth of what its run counted."""

import json
from typing import Any

import pytest
from planned import asks_of, books_of
from repository import ROOT

from refuseu.commands.parameters import Parameters, load_all
from refuseu.commands.plan.flow import flow_of
from refuseu.commands.plan.lengths import lengths_of
from refuseu.commands.plan.stages import lines

WITHIN = 0.2


def counted(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / "metrics" / f"{name}.json").read_text())
    return content


@pytest.fixture(scope="module")
def miniature() -> Parameters:
    return load_all(ROOT, "miniature")


@pytest.mark.parametrize("stage", ["rainbow-teaming", "translate", "respond", "label", "split"])
def test_rows_of_a_stage(stage: str, miniature: Parameters) -> None:
    flow, lengths = flow_of(miniature), lengths_of(miniature, books_of(miniature))
    (line,) = (each for each in lines(miniature, flow, lengths, []) if each.stage == stage)
    found = counted(stage)
    assert line.rows_in == pytest.approx(found["rows_in"], rel=WITHIN)
    assert line.rows_out == pytest.approx(found["rows_out"], rel=WITHIN)


def test_parts_and_mixes(miniature: Parameters) -> None:
    flow, split = flow_of(miniature), counted("split")
    for part, questions in (("train", flow.train), ("dev", flow.dev), ("test", flow.test)):
        assert questions == pytest.approx(split["parts"][part]["questions"], rel=WITHIN), part
    assert set(flow.mixes) == set(split["mixes"])
    for name, mix in split["mixes"].items():
        assert flow.mixes[name] == pytest.approx(mix["rows"], rel=WITHIN), name


def test_what_the_models_are_asked_in_evaluation(miniature: Parameters) -> None:
    answers, knowledge = (each for each in asks_of(miniature) if each.stage == "eval")
    models = len(counted("eval"))
    assert flow_of(miniature).models == models
    assert answers.rows == pytest.approx(models * counted("split")["parts"]["test"]["rows"], rel=WITHIN)
    facts = json.loads((ROOT / "plots/eval.json").read_text())
    assert len({row["language"] for row in facts}) == len(miniature.languages)
    assert knowledge.rows == models * sum(len(book.facts) for book in books_of(miniature).values()) * 4


def test_examples_of_the_base(miniature: Parameters) -> None:
    base = next(iter(lines(miniature, flow_of(miniature), lengths_of(miniature, books_of(miniature)), [])))
    assert base.rows_in == counted("base")["examples"]


def test_tokens_of_a_pair_in_every_language(miniature: Parameters) -> None:
    lengths = lengths_of(miniature, books_of(miniature))
    for lang, tokens in counted("dpo/balanced")["tokens"].items():
        longer = max(lengths.refusal[lang], lengths.answer[lang])
        assert lengths.question[lang] + longer == pytest.approx(tokens["tokens_p50"], rel=WITHIN), lang
