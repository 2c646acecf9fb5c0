"""The real ``dvc repro`` on ``profiles/smoke.yaml``, in a copy of the repository with two languages, five
categories, four styles, two configs with two seeds, and a single language: that taking any of them out needs no code is part
of the test.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from repository import ROOT, copy_parts

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
OTHER_MACHINE = """
workers: 1
loaded: 1
transformers: {batch_size: 7, device: cpu}
openai: {concurrency: 1, retries: 0, timeout: 1.0}
training:
  {device: cpu, processes: 1, batch_size: 16, accelerate: none, gradient_checkpointing: false, checkpoint_every: 50}
"""
ASKING = ("rainbow-teaming", "respond", "label", "eval")
"""Those of the stages that ask models that do so on this profile, and label, whose judges are no models here."""
DOCUMENTED = [
    line.split("  #")[0].strip()
    for page in sorted((ROOT / "docs").glob("*.md"))
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
"""Every command that the how-to pages have a reader type."""
SHARING = "tests/commands/test_remote.py"
SHARED = "tests/maintenance/test_sharing.py, but for the remote"
ELSEWHERE = {
    "make remote URL=s3://my-bucket/refuseu": SHARING,
    'git add .dvc/config && git commit -m "Remote storage"': SHARING,
    ".venv/bin/dvc push": SHARING,
    ".venv/bin/dvc pull": SHARING,
    ".venv/bin/dvc exp push origin my-experiment": SHARING,
    ".venv/bin/dvc exp pull origin my-experiment": SHARING,
    ".venv/bin/dvc add shared/rows.jsonl.gz && .venv/bin/dvc push shared/rows.jsonl.gz.dvc": SHARED,
    ".venv/bin/dvc pull shared/rows.jsonl.gz.dvc && make store-import FILE=shared/rows.jsonl.gz": SHARED,
    "make publish REPO=org/name": "needs the hub; what it pushes is tested in tests/commands/test_publish.py",
    "make audit-score WHAT=answers FILE='answers-anna.csv answers-jan.csv' OPTIONS=--keep": "tests/audit/test_answers.py",
    "git push": "Git's own",
    "git pull": "Git's own",
    "git fetch origin main": "Git's own",
    "make plots-page REV=main": "needs npm; what it renders is tested in tests/test_plots.py",
    ".venv/bin/python -m pytest -q tests/phrasebook tests/judges/test_phrases.py tests/text/test_identification.py": (
        "this very run"
    ),
}
"""Those that the smoke run below does not type, and who does."""


def run(clone: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(clone / "src")}
    environment.pop("REFUSEU_STORE", None)
    environment |= {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)


def repro(clone: Path, *arguments: str) -> str:
    result = run(clone, str(BIN / "dvc"), "repro", *arguments)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def set_params(clone: Path, **changes: Any) -> None:
    params = yaml.safe_load((clone / "params.yaml").read_text())
    for name, value in changes.items():
        params[name] = {**params[name], **value} if isinstance(value, dict) else value
    (clone / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def outputs(clone: Path) -> dict[str, str]:
    lock = yaml.safe_load((clone / "dvc.lock").read_text())
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage.get("outs", [])}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("clone")
    copy_parts(folder)
    (folder / ".venv").symlink_to(BIN.parent)
    run(folder, "git", "init", "-q", "-b", "main")
    run(folder, str(BIN / "dvc"), "init", "-q", "-f")
    shutil.copy2(ROOT / ".dvcignore", folder / ".dvcignore")
    params = yaml.safe_load((folder / "params.yaml").read_text())
    for section, kept in (("categories", 5), ("styles", 4)):
        params[section] = dict(list(params[section].items())[:kept])
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    set_params(
        folder,
        profile="smoke",
        languages=["en", "pl"],
        train={
            "seeds": [0, 1],
            "languages": ["pl"],
            "configs": {"balanced": {"languages": "all"}, "custom": {}},
            "single": ["en"],
        },
        report={"benign_pairs": None},
    )
    repro(folder)
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "smoke")
    yield folder


def test_every_stage_leaves_what_it_promises(clone: Path) -> None:
    metrics = json.loads((clone / "plots/eval/averages.json").read_text())
    assert list(metrics) == ["base", "balanced", "custom", "only-en"]
    columns = [
        *("asr", "asr_lower_bound", "asr_upper_bound", "asr_held_out", "unparsed_rate"),
        *("over_refusal", "language_consistency", "language_undecided", "line_pass_rate"),
        *("fluency", "rated_fluency", "rated_correctness", "knowledge", "asr_worst", "languages_knowledge", "seeds"),
    ]
    for rate in ("asr", "over_refusal", "language_consistency", "line_pass_rate", "knowledge"):
        columns += [f"{rate}_{what}" for what in ("low", "high", "seed_sd")]
    assert all(list(row) == columns for row in metrics.values())
    assert {path.stem for path in (clone / "metrics/eval").iterdir()} == set(metrics)
    rows = json.loads((clone / "plots/eval.json").read_text())
    assert [(row["model"], row["language"]) for row in rows[:3]] == [
        ("base", "en"),
        ("base", "pl"),
        ("balanced", "en"),
    ]
    ends = ("asr_low", "asr_lower_bound", "asr_upper_bound", "asr_high")
    assert all(sorted(row[end] for end in ends) == [row[end] for end in ends] for row in rows)
    assert (clone / "plots/figures/figure2.png").read_bytes().startswith(b"\x89PNG")
    assert "only-en" in (clone / "report.md").read_text()


def test_the_table_can_be_shown_again_without_running_anything(clone: Path) -> None:
    shown = run(clone, "make", "table").stdout
    assert "custom" in shown and "Report: report.md; figures: plots/figures\n" in shown


def test_every_stage_accounts_for_its_rows(clone: Path) -> None:
    for stage in ("rainbow-teaming", "translate", "respond", "label", "split"):
        account = json.loads((clone / f"metrics/{stage}.json").read_text())
        assert account["rows_in"] == account["rows_out"] + sum(account["rejected"].values()), stage


def test_no_question_of_test_stands_in_train_or_in_a_mix(clone: Path) -> None:
    test = pd.read_parquet(clone / "data/split/test.parquet")
    train = pd.read_parquet(clone / "data/split/train.parquet")
    assert len(test) and not set(test["text"]) & set(train["text"])
    assert not set(test["group_id"]) & set(train["group_id"])
    assert not set(test.loc[test["held_out"], "behavior_id"]) & set(train["behavior_id"])
    mix = pd.read_parquet(clone / "data/split/dpo/custom.parquet")
    assert set(mix["lang"]) == {"pl"} and not set(mix["prompt"]) & set(test["text"])


def test_a_second_run_does_nothing(clone: Path) -> None:
    assert "Data and pipelines are up to date." in repro(clone)


def test_outputs_are_the_same_bytes_without_the_row_store_and_on_another_machine(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = outputs(clone)
    run(clone, "make", "clean-rows")
    (clone / "machines/other.yaml").write_text(OTHER_MACHINE)
    monkeypatch.setenv("REFUSEU_MACHINE", "other")
    assert "up to date" in repro(clone)
    repro(clone, "--force", "--single-item", *ASKING)
    assert outputs(clone) == before
    assert all((clone / f"data/{stage}/rows.parquet").is_file() for stage in ASKING)


def test_without_the_row_store_the_rows_of_the_last_run_are_taken(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = outputs(clone)
    shutil.rmtree(clone / ".cache")
    # A machine that could load no model.
    (clone / "machines/none.yaml").write_text(OTHER_MACHINE.replace("device: cpu}\nopenai", "device: cuda}\nopenai"))
    monkeypatch.setenv("REFUSEU_MACHINE", "none")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    repro(clone, "--force", "--single-item", *ASKING)
    assert outputs(clone) == before


def test_outputs_are_the_same_bytes_whatever_the_environment_says(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = outputs(clone)
    for name, value in {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "default"}.items():
        monkeypatch.setenv(name, value)
    repro(clone, "--force", "--single-item", "dpo@custom-1")
    assert outputs(clone) == before


def test_two_processes_train_a_config_to_the_metrics_of_one(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = yaml.safe_load(OTHER_MACHINE)
    machine["training"] |= {"processes": 2, "batch_size": 1}
    (clone / "machines/two.yaml").write_text(yaml.safe_dump(machine))
    monkeypatch.setenv("REFUSEU_MACHINE", "two")
    paths = {"mix": "data/split/dpo/only-en.parquet", "base": "models/base", "out": ".cache/two/only-en"}
    paths |= {"metrics": ".cache/two.json", "plots": ".cache/two-plots.json"}
    options = [word for name, path in paths.items() for word in (f"--{name}", path)]
    trained = run(clone, "stages/run", "dpo", "only-en", "0", *options)
    assert trained.returncode == 0, trained.stderr
    # Sums in another order change the last bits, and Adam makes them steps (docs/training.md).
    rounded = partial(pytest.approx, abs=1e-2)
    one, two = (json.loads((clone / path).read_text()) for path in ("metrics/dpo/only-en/0.json", paths["metrics"]))
    assert two.pop("tokens") == one.pop("tokens")
    assert two == rounded(one)
    curves = (json.loads((clone / path).read_text()) for path in ("plots/dpo/only-en/0.json", paths["plots"]))
    assert all(after == rounded(before) for before, after in zip(*curves, strict=True))


def test_the_release_loads_and_every_model_has_a_card(clone: Path) -> None:
    released = clone / "data/release"
    polish = pd.read_parquet(released / "lang_pl/train.parquet")
    train = pd.read_parquet(clone / "data/split/train.parquet")
    assert len(polish) == ((train["lang"] == "pl") & (train["kind"] == "harmful")).sum()
    assert json.loads((released / "croissant.json").read_text())["@type"] == "sc:Dataset"
    assert sorted(path.stem for path in (clone / "models/cards").iterdir()) == ["balanced", "custom", "only-en"]


def test_an_experiment_retrains_custom_alone(clone: Path) -> None:
    before = outputs(clone)
    command = ["dvc", "exp", "run", "--name", "slavic", "-S", "train.languages=[en,pl]"]
    result = run(clone, str(BIN / command[0]), *command[1:])
    assert result.returncode == 0, result.stdout + result.stderr
    ran = [line.split("'")[1] for line in result.stdout.splitlines() if line.startswith("Running stage")]
    assert ran == ["split", "dpo@custom-0", "dpo@custom-1", "eval", "report", "release"]
    after = outputs(clone)
    assert after["models/dpo/balanced/1"] == before["models/dpo/balanced/1"]
    assert after["models/dpo/custom/1"] != before["models/dpo/custom/1"]
    shown = run(clone, str(BIN / "dvc"), "exp", "show", "--csv").stdout
    assert "slavic" in shown and "['en', 'pl']" in shown


def test_every_seed_has_its_own_model_on_the_same_pairs_and_its_own_answers(clone: Path) -> None:
    made, of_custom = outputs(clone), [f"models/dpo/custom/{seed}" for seed in (0, 1)]
    assert made[of_custom[0]] != made[of_custom[1]]
    told = [json.loads((clone / f"metrics/dpo/custom/{seed}.json").read_text()) for seed in (0, 1)]
    assert [each["seed"] for each in told] == [0, 1] and told[0]["tokens"] == told[1]["tokens"]
    answers = pd.read_parquet(clone / "data/eval/answers.parquet")
    counts = answers.groupby(["model", "seed"]).size()
    assert counts.nunique() == 1 and set(counts.index) == {
        *(("base", 0), ("balanced", 0), ("balanced", 1), ("custom", 0), ("custom", 1), ("only-en", 0)),
    }
    identities = json.loads((clone / "metrics/evaluated.json").read_text())["models"]
    assert {name: list(seeds) for name, seeds in identities.items()} == {
        "base": ["0"], "balanced": ["0", "1"], "custom": ["0", "1"], "only-en": ["0"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "trains"),
    [
        ({"seeds": [0, 1, 5]}, ["dpo@balanced-5", "dpo@custom-5"]),
        ({"seeds": [0]}, []),
        ({"seeds": [1, 0]}, ["dpo-single@en"]),
        ({"single": []}, []),
        ({"single": ["en", "pl"]}, ["dpo-single@pl"]),
        ({"configs": {"custom": {}, "new": {"languages": "all"}}}, ["dpo@new-0", "dpo@new-1"]),
    ],
)
def test_only_what_is_new_is_trained(changed: dict[str, Any], trains: list[str], clone: Path) -> None:
    before = (clone / "params.yaml").read_text()
    set_params(clone, train=changed)
    stale = json.loads(run(clone, str(BIN / "dvc"), "status", "--json").stdout)
    (clone / "params.yaml").write_text(before)
    assert [stage for stage in stale if stage.startswith("dpo")] == trains


def test_a_served_model_that_is_only_evaluated_makes_no_other_stage_stale(clone: Path) -> None:
    before = (clone / "params.yaml").read_text()
    set_params(clone, eval={"models": {"mine": {"engine": "openai", "model": "gpt-4.1-2025-04-14"}}})
    changed = json.loads(run(clone, str(BIN / "dvc"), "status", "--json").stdout)
    (clone / "params.yaml").write_text(before)
    # The report looks at both files of parameters, whatever is edited.
    assert list(changed) == ["eval", "report"]


def test_a_parameter_that_no_stage_reads_is_refused_though_nothing_else_is_stale(clone: Path) -> None:
    before = (clone / "params.yaml").read_text()
    (clone / "params.yaml").write_text(f"{before}splitt: {{test_per_cell: 3}}\n")
    result = run(clone, str(BIN / "dvc"), "repro")
    (clone / "params.yaml").write_text(before)
    assert result.returncode != 0
    assert "params.yaml: splitt: unknown section" in result.stderr + result.stdout


@pytest.fixture(scope="module")
def reviewers(clone: Path) -> None:
    """Verdicts of two people on the audit's samples of pairs and of answers."""
    run(clone, "make", "audit")
    sample = clone / "audit/sample.csv"
    rows = pd.read_csv(sample, encoding="utf-8-sig")
    name = sha256(sample.read_bytes()).hexdigest()[:12]
    verdicts = rows[["id"]].assign(sample=name, verdict="accept")
    for file, reviewer in (("verdicts.csv", "anna"), ("anna.csv", "anna"), ("jan.csv", "jan")):
        verdicts.assign(reviewer=reviewer).to_csv(clone / file, index=False)
    run(clone, "make", "audit", "WHAT=answers")
    sample = clone / "audit/answers/sample.csv"
    name = sha256(sample.read_bytes()).hexdigest()[:12]
    labels = pd.read_csv(sample, encoding="utf-8-sig")[["id"]].assign(sample=name, verdict="safe")
    for reviewer in ("anna", "jan"):
        labels.assign(reviewer=reviewer).to_csv(clone / f"answers-{reviewer}.csv", index=False)


@pytest.mark.parametrize("command", [line for line in dict.fromkeys(DOCUMENTED) if line not in ELSEWHERE])
def test_the_commands_of_the_how_to_pages_work(command: str, clone: Path, reviewers: None) -> None:
    # The smoke run knows no Czech.
    result = run(clone, "bash", "-c", command.replace("[pl,cs]", "[en,pl]").replace("--name slavic", "--name slavic2"))
    allowed = {0, 1, 3} if "refuseu.commands.gate" in command else {0}
    assert result.returncode in allowed, result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_no_command_of_the_pages_is_forgotten() -> None:
    assert set(ELSEWHERE) <= set(DOCUMENTED)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"languages": ["en", "xx"]}, "languages: entry 2: unknown language 'xx'; known are en, de"),
        ({"label": {"question": "most"}}, "label.question: must be 'all' or 'any'"),
        ({"label": {"qestion": "all"}}, "label.qestion: unknown key"),
        (
            {"profile": "huge"},
            "huge.yaml: cannot be read (No such file or directory); params.yaml: profile must be one of miniature, ",
        ),
    ],
)
def test_a_wrong_parameter_is_one_sentence_and_exit_code_1(clone: Path, broken: dict[str, Any], message: str) -> None:
    before = (clone / "params.yaml").read_text()
    set_params(clone, **broken)
    label = (
        "stages/run",
        "label",
        *["--pairs", "x", "--phrasebook", "x", "--prompts", "x", "--refusals", "x", "--base", "x", "--out", "x"],
        *["--metrics", "x"],
    )
    result = run(clone, *label)
    (clone / "params.yaml").write_text(before)
    assert result.returncode == 1
    assert message in result.stderr and "Traceback" not in result.stderr and result.stderr.count("\n") == 1


def test_a_corrupt_table_is_one_sentence_and_earlier_outputs_stay(clone: Path) -> None:
    table = clone / "data/respond/pairs.parquet"
    good = table.read_bytes()
    table.write_bytes(good[: len(good) // 2])
    command = (
        "stages/run label --pairs data/respond/pairs.parquet --phrasebook data/phrasebook --prompts data/prompts "
        "--refusals data/refusals --base models/base --out out --metrics m.json"
    )
    result = run(clone, *command.split())
    table.write_bytes(good)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert (
        "data/respond/pairs.parquet: not a readable parquet file" in result.stderr and "dvc checkout" in result.stderr
    )
    assert not (clone / "out").exists() and (clone / "data/label/pairs.parquet").is_file()
