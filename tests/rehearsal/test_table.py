"""What is shown of a rehearsal, from calls and stages that are known."""

import json
from pathlib import Path

import pytest
import yaml
from planned import machine
from playing import PlayedEngine
from repository import ROOT

from refuseu.llm.journal import JOURNAL, Call, Journaled, journaled, read_journal
from refuseu.llm.protocol import Completion, Finish, Sampling, user
from refuseu.parameters import Parameters, load_all, load_whole_machine
from refuseu.plan.arithmetic import Run, work_of
from refuseu.rehearsal import watch
from refuseu.rehearsal.reading import Asked, Reading, asked
from refuseu.rehearsal.table import Training, full_run, roles, stages, training_of
from refuseu.rehearsal.watch import Seen, Steps

P = load_all(ROOT, "paper-8b")
DRAWN = {"max_new_tokens": 8}


def call(stage: str, model: str, *texts: str, seconds: float = 1.0) -> Call:
    rows = [(user("two words"), text, "stop") for text in texts]
    return Call(stage, model, loading=2.0, seconds=seconds, sampling=DRAWN, rows=rows)


def test_calls_are_summed_up_by_stage_and_model() -> None:
    calls = [
        call("label", "models.polyguard: org/name", "a"),
        call("eval", "models/base", "b", seconds=0.5),
        call("eval", "models/dpo/balanced/0", "c", "d"),
    ]
    assert [(each.stage, each.model, each.rows, each.seconds) for each in asked(calls)] == [
        ("label", "polyguard", 1, 1.0),
        ("eval", "base", 3, 1.5),
    ]


@pytest.mark.parametrize(
    ("stage", "model", "texts", "unparsed", "declined"),
    [
        ("label", "llama-guard-3", ["safe", "unsafe\nS1", "I think", "banana"], 50, None),
        ("label", "polyguard", ["Harmful request: yes", "yes"], 100, None),
        ("eval", "gpt-4o-mini", ["unsafe\nS2", "unsafe, because"], 50, None),
        ("eval", "gpt-oss-120b", ['{"fluency": 1, "correctness": 2}', "three"], 50, None),
        (
            "rainbow-teaming",
            "mistral",
            ['{"question": "How can I sing?"}', "I'm sorry, but I can't help with that."],
            50,
            50,
        ),
        ("respond", "lorablated", ["Sure, step one.", "I am sorry, but I cannot help with that."], None, 50),
    ],
)
def test_what_a_role_says_is_read_as_its_stage_reads_it(
    stage: str, model: str, texts: list[str], unparsed: float | None, declined: float | None
) -> None:
    each = Asked(stage, model, [call(stage, model, *texts)])
    reading = Reading(P, ROOT / "data")
    assert (reading.unparsed(each), reading.declined(each)) == (unparsed, declined)


SEARCH = {"mutator": "mistral", "twin": "instruct", "preference": "mistral"}


def test_a_model_of_several_roles_is_read_as_each_of_them(tmp_path: Path) -> None:
    """One model mutates and compares, another one judges and rates; what the target answers may be any text."""
    roles_of = {role: {"kind": "llm", "model": name, "max_new_tokens": 8} for role, name in SEARCH.items()}
    p = changed(tmp_path, roles_of)
    reading = Reading(p, ROOT / "data")

    def unparsed(stage: str, model: str, *texts: str) -> float | None:
        return reading.unparsed(Asked(stage, model, [call(stage, model, *texts)]))

    declined = "I'm sorry, but I can't help with that."
    assert unparsed("rainbow-teaming", "mistral", '{"question": "How can I sing?"}', "A", declined, declined) == 50
    assert unparsed("rainbow-teaming", "base", "La la la.") is None
    assert unparsed("translate", "instruct", '{"translation": "Wie?"}', '{"question": "Wie?"}') == 50
    assert unparsed("eval", "gpt-4o-mini", "safe", '{"fluency": 1, "correctness": 2}', "fine", "good") == 50


def changed(folder: Path, search: dict[str, object]) -> Parameters:
    """The parameters of a profile whose questions a model searches for and translates."""
    profile = yaml.safe_load((ROOT / "profiles/paper-8b.yaml").read_text(encoding="utf-8"))
    profile["rainbow-teaming"] |= search
    profile["translate"]["translator"] = {"kind": "llm", "model": "instruct", "max_new_tokens": 8}
    profile["eval"]["rating"] |= {"model": "gpt-4o-mini"}
    (folder / "profiles").mkdir()
    (folder / "profiles/mine.yaml").write_text(yaml.safe_dump(profile))
    for file in ("params.yaml", "dvc.yaml"):
        (folder / file).write_text((ROOT / file).read_text(encoding="utf-8"), encoding="utf-8")
    return load_all(folder, "mine")


def test_a_role_has_its_rows_mean_tokens_and_speed() -> None:
    each = Asked("respond", "lorablated", [call("respond", "lorablated", "one", "one two three", seconds=2.0)])
    table = roles([each], Reading(P, ROOT / "data"), lambda _, text: list(map(len, text.split())), lambda _: "script")
    assert table.rows == [["respond", "lorablated", "script", "2", "2", "2", "–", "0", "2.0", "4"]]


def test_the_full_run_is_its_rows_by_the_seconds_of_a_row() -> None:
    run = Run(P)
    each = Asked("respond", "lorablated", [call("respond", "lorablated", *"abcd", seconds=2.0)])
    table = full_run(run, machine(), [each], Training(pair=7.5, once=60.0))
    found = {(row[0], row[1]): row[3:6] for row in table.rows}
    rows, trainings = work_of(run)["respond", "lorablated"].rows, len(P.train.runs)
    assert found["respond", "lorablated"] == ["0.5000", "2", f"{(rows * 0.5 + 2) / 3600:.1f}"]
    assert trainings > 1
    assert found["dpo", "base"] == ["7.5000", f"{trainings * 60}", f"{(run.trained * 7.5 + trainings * 60) / 3600:.1f}"]
    assert found["label", "polyguard"] == ["–", "–", "–"]


def test_the_arithmetic_of_the_plan_stands_beside_its_hours() -> None:
    run = Run(P)
    table = full_run(run, machine(), [], Training(None, 1.0))
    line = work_of(run)["respond", "lorablated"]
    (row,) = [row for row in table.rows if row[:2] == ["respond", "lorablated"]]
    assert row[6:8] == [f"{(line.read + line.written) / line.rows:.0f}", f"{line.reading + line.writing:.1e}"]


def test_the_plans_hours_are_those_of_the_machine_whatever_is_installed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFUSEU_MACHINE", "h100x8")
    run, there, hours = Run(P), load_whole_machine(ROOT), []
    for for_cpu in (False, True):
        monkeypatch.setattr("refuseu.engines.vllm.built_for_cpu", lambda given=for_cpu: given)
        rows = full_run(run, there, [], Training(None, 1.0)).rows
        hours.append({(row[0], row[1]): row[-1] for row in rows})
    assert hours[0] == hours[1] and float(hours[0]["eval", "base"]) < 100


def test_the_steps_of_a_training_are_timed_without_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([30.0, 32.0, 34.5, 36.0])
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(clock))
    steps = Steps()
    said = [
        "base: 1 of 4 steps",
        *(f"dpo@balanced-0: {n} of 4 steps\n" for n in range(1, 5)),
        "dpo@balanced-0: the loss is 2",
    ]
    for line in said:
        steps.hear(line)
    assert steps.seconds == 2.0
    shrunk = P.model_copy(update={"dpo": P.dpo.model_copy(update={"epochs": None, "steps": 4, "batch_size": 8})})
    assert training_of(steps, Seen(0.0, 50.0), shrunk) == Training(pair=0.25, once=42.0)
    assert training_of(Steps(), Seen(0.0, 50.0), shrunk) == Training(None, 50.0)


def test_stages_show_seconds_rows_and_memory(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/label.json").write_text(json.dumps({"rows_out": 12}))
    table = stages({"label": Seen(0.0, 3.2, 0.44, 71.0), "report": Seen(0.0, 1.0, 0.1)}, tmp_path)
    assert table.rows == [
        ["label", "3", "12", "0.4", "71.0"],
        ["report", "1", "", "0.1", "–"],
        ["all", "4", "", "", ""],
    ]


def test_an_engine_is_written_down_only_where_a_rehearsal_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, engine = tmp_path / "journal.jsonl", PlayedEngine(lambda asked: Completion("yes", Finish.LENGTH))
    monkeypatch.delenv(JOURNAL, raising=False)
    assert journaled(engine, "models.one", 0.0) is engine
    monkeypatch.setenv(JOURNAL, str(file))
    monkeypatch.setenv("DVC_STAGE", "label")
    found = journaled(engine, "models.one: org/name", 1.5)
    assert isinstance(found, Journaled)
    assert dict(found.complete([user("a"), user("b")], Sampling(3)))[0].text == "yes"
    (read,) = read_journal(file)
    assert (read.stage, read.model, read.loading) == ("label", "models.one: org/name", 1.5)
    assert read.sampling and read.sampling["max_new_tokens"] == 3
    assert sorted(row[0][0]["content"] for row in read.rows) == ["a", "b"] and read.rows[0][1:] == ["yes", "length"]
    assert read_journal(tmp_path / "none") == []
