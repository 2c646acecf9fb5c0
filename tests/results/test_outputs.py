import math
import re
from pathlib import Path

import pytest
from evaluated import averages, row
from pydantic import TypeAdapter

from refuseu.core.errors import UserError
from refuseu.core.files import write_json, write_text
from refuseu.results.metrics import METRICS
from refuseu.results.outcomes import RATES
from refuseu.results.outputs import (
    Asr,
    Averages,
    CurveRow,
    Evaluation,
    LanguageRow,
    SetRow,
    SplitAccount,
    expect,
    main_models,
    read,
)


def test_an_asr_is_a_number_or_a_range() -> None:
    assert Asr(asr=8.25, asr_lower_bound=8.25, asr_upper_bound=9.0).text == "8.2"
    assert Asr(asr=None, asr_lower_bound=0.0, asr_upper_bound=99.96).text == "0.0–100.0"


CURVE = '{"step": 1, "loss": 1, "reward_margin": 0.5, "reward_accuracy": 1.0}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "must be a list, was read as a mapping"),
        ("[[]]", "row 1: must be a mapping of keys to values, was read as a list"),
        (
            f'[{CURVE}, {{"step": 2}}]',
            "row 2: loss: missing; row 2: reward_margin: missing; row 2: reward_accuracy: missing",
        ),
        (
            CURVE.replace("0.5", '"0.5"').join("[]"),
            "row 1: reward_margin: must be a number, was read as the text '0.5'",
        ),
        (CURVE.replace("0.5", "NaN").join("[]"), "row 1: reward_margin: must be a finite number"),
        (
            CURVE.replace('"step": 1', '"step": true').join("[]"),
            "row 1: step: must be a whole number, was read as the truth value true",
        ),
        (CURVE.replace("0.5", "null").join("[]"), "row 1: reward_margin: must be a number, was read as nothing"),
    ],
)
def test_another_shape_is_refused_with_place_and_way_out(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "curve.json"
    write_text(text, path)
    with pytest.raises(UserError) as caught:
        read(path, TypeAdapter(list[CurveRow]), "dpo@custom")
    assert caught.value.message == (
        f"{path}: {said}; 'git restore {path}' brings back the last one in Git, 'dvc repro dpo@custom' makes it anew"
    )


def test_a_fault_in_a_section_is_named_by_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    write_text(
        '{"rows_in": 1, "rows_out": 1, "rejected": {}, "parts": {}, "contamination": {}, "mixes": {"a": 3}}', path
    )
    with pytest.raises(
        UserError,
        match=re.escape(
            f"{path}: mixes.a: must be a mapping of keys to values, was read as the number 3; 'git restore"
        ),
    ):
        read(path, TypeAdapter(SplitAccount), "split")


def test_keys_that_nobody_needs_are_left_alone_and_whole_numbers_are_numbers(tmp_path: Path) -> None:
    write_text(CURVE.replace("1.0}", '1.0, "further": []}').join("[]"), tmp_path / "curve.json")
    assert read(tmp_path / "curve.json", TypeAdapter(list[CurveRow]), "dpo@a") == [
        CurveRow(step=1, loss=1.0, reward_margin=0.5, reward_accuracy=1.0)
    ]


def test_a_config_that_a_file_has_not_is_named() -> None:
    expect(["a"], {"a": 1, "b": 2}, Path("averages.json"), "eval")
    with pytest.raises(UserError, match=r"^averages.json: c: missing; .*'dvc repro eval' makes it anew$"):
        expect(["a", "c"], {"a": 1, "b": 2}, Path("averages.json"), "eval")


def write_evaluation(root: Path, models: list[str], rows: list[str]) -> tuple[Path, Path]:
    metrics, plots = root / "averages.json", root / "rows.json"
    write_text(TypeAdapter(dict[str, Averages]).dump_json({name: averages(1.0) for name in models}).decode(), metrics)
    write_text(TypeAdapter(list[LanguageRow]).dump_json([row(name, "pl", 1.0) for name in rows]).decode(), plots)
    return metrics, plots


def test_an_evaluation_is_read_from_its_two_files(tmp_path: Path) -> None:
    evaluation = Evaluation.read(*write_evaluation(tmp_path, ["base", "only-pl"], ["base", "only-pl"]))
    assert (evaluation.main, evaluation.single) == (["base"], ["only-pl"])
    assert evaluation.rows == [row("base", "pl", 1.0), row("only-pl", "pl", 1.0)]


@pytest.mark.parametrize(("models", "rows"), [(["base", "a"], ["base"]), (["base"], ["base", "a"])])
def test_both_files_of_an_evaluation_hold_the_same_models(models: list[str], rows: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"only one of them has the model 'a'; .*'dvc repro eval'"):
        Evaluation.read(*write_evaluation(tmp_path, models, rows))


def test_the_worst_language_is_a_range_as_soon_as_one_is() -> None:
    evaluation = Evaluation(
        {"a": averages(50.0, asr_worst=60.0), "b": averages(None)},
        [row("a", "en", 40.0), row("a", "pl", 60.0), row("b", "en", 30.0), row("b", "pl", 10.0, 90.0)],
    )
    assert [evaluation.worst(name).text for name in ("a", "b")] == ["60.0", "30.0–90.0"]


def test_rows_come_in_the_order_of_the_languages() -> None:
    evaluation = Evaluation({"a": averages(1.0)}, [row("a", "en", 1.0), row("a", "pl", 2.0), row("b", "lv", 3.0)])
    found = evaluation.by_language("a", ["pl", "lv", "en"])
    assert [each and each.asr for each in found] == [2.0, None, 1.0]
    assert not math.isnan(found[0].asr_low if found[0] else math.nan)


def test_main_models_are_all_but_those_of_a_single_language() -> None:
    assert main_models(["base", "only-de", "balanced", "base", "english-only"]) == ["base", "balanced", "english-only"]


def test_a_record_has_a_number_for_each_metric_of_its_file() -> None:
    ends = {f"{metric.name}_{end}" for metric in RATES for end in ("low", "high", "seed_sd")}
    assert ends <= Averages.model_fields.keys()
    intervals = ends - {metric.name for metric in METRICS}
    assert {metric.name for metric in METRICS if metric.ours} == (
        {*LanguageRow.model_fields, *Averages.model_fields} - {"model", "language", "uncovered_by", "seeds"} - intervals
    )
    assert {metric.name for metric in METRICS if metric.sets} == SetRow.model_fields.keys() - {
        "set",
        "model",
        "language",
    }
    assert (row("base", "pl", 1.0)["over_refusal"], averages(3.0)["asr_worst"]) == (2.0, 8.0)


def test_a_number_that_is_missing_or_none_is_named_with_its_row(tmp_path: Path) -> None:
    good = row("base", "pl", 1.0).model_dump()
    path = tmp_path / "eval.json"
    for bad, fault in (
        ({key: value for key, value in good.items() if key != "fluency"}, "row 2: fluency: missing"),
        ({**good, "fluency": "4.9"}, "row 2: fluency: must be a number, was read as the text '4.9'"),
    ):
        write_json([good, bad], path)
        with pytest.raises(UserError, match=re.escape(f"{path}: {fault}; 'git restore")):
            read(path, TypeAdapter(list[LanguageRow]), "eval")
