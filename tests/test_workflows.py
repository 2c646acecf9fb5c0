"""The workflows are valid, and what the report workflow types works as it stands, in a repository with a small pipeline."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import check_jsonschema
import pytest
import yaml
from click.testing import CliRunner
from commands.test_gate import evaluation
from commands.test_gate import rows as outcomes
from parameter_files import reading_all_parameters
from repository import ROOT

from refuseu.core.files import write_json
from refuseu.core.sections import load
from refuseu.eval.estimated import with_intervals
from refuseu.eval.schemas import ANSWER, KNOWLEDGE
from refuseu.eval.settings import EvalParameters
from refuseu.eval.tables import averages, headline, language_rows, with_coverage
from refuseu.results.outcomes import write_outcomes
from refuseu.tables.writing import write_table

BIN = Path(sys.executable).parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))
REPORT: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/report.yaml").read_text())
STEPS = [step["run"] for step in REPORT["jobs"]["report"]["steps"] if "run" in step]
COMMENT = next(step["run"] for step in REPORT["jobs"]["report"]["steps"] if step.get("id") == "comment")
GITHUBS = {
    "make .venv/ready": "the tests' environment is there already",
    "cml comment update .cache/comment.md": "posts to GitHub",
}
VERDICTS = {
    step["name"]: step["run"] for step in REPORT["jobs"]["report"]["steps"] if "comment.outputs" in step.get("if", "")
}
"""The steps after the comment, one for each way in which the check fails."""
PIPELINE = """
stages:
  split:
    cmd: mkdir -p data/split && cp texts data/split/texts
    deps:
      - texts
    outs:
      - data/split
  dpo:
    foreach:
      - balanced
      - custom
    do:
      cmd: mkdir -p models/dpo/${item}/0 && cp data/split/texts models/dpo/${item}/0/
      deps:
        - data/split
      outs:
        - models/dpo/${item}
  eval:
    cmd: mkdir -p data metrics plots && cp -r evaluated data/eval && cp -r evaluated/metrics metrics/eval &&
      cp evaluated/rows.json plots/eval.json && cp -r evaluated/plots plots/eval
    deps:
      - evaluated
      - models/dpo
    outs:
      - data/eval
      - plots/eval.json:
          cache: false
      - plots/eval:
          cache: false
    metrics:
      - metrics/eval:
          cache: false
"""


SCHEMAS = {
    "vendor.github-workflows": "workflows/*.yaml",
    "vendor.github-issue-forms": "ISSUE_TEMPLATE/[!c]*.yml",
    "vendor.github-issue-config": "ISSUE_TEMPLATE/config.yml",
    "vendor.dependabot": "dependabot.yml",
    "vendor.citation-file-format": "../CITATION.cff",
}
"""The schema of each kind of file that GitHub reads."""


@pytest.mark.parametrize("schema", SCHEMAS)
def test_what_github_reads_follows_its_schema(schema: str) -> None:
    paths = [str(path) for path in (ROOT / ".github").glob(SCHEMAS[schema])]
    checked = CliRunner().invoke(check_jsonschema.main, ["--builtin-schema", schema, *paths])
    assert paths and checked.exit_code == 0, checked.output


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_say_their_version(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text())
    assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each) for each in used)


def test_pull_requests_of_forks_are_tested_without_any_secret() -> None:
    text = (ROOT / ".github/workflows/tests.yaml").read_text()
    workflow = yaml.load(text, yaml.BaseLoader)
    assert "pull_request" in workflow["on"] and "pull_request_target" not in workflow["on"]
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text


def test_one_version_is_named_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert re.search(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version  # type: ignore[index]


def test_least_permissions_and_keys_from_secrets_alone() -> None:
    assert REPORT["permissions"] == {"contents": "read", "pull-requests": "write"}
    keys = {name: value for name, value in REPORT["jobs"]["report"]["env"].items() if name.startswith("AWS")}
    assert all(value == f"${{{{ secrets.{name} }}}}" for name, value in keys.items())


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    names = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **names, "BASE": "main", "PYTHONPATH": str(ROOT / "src"), "REFUSEU_STORE": ""}
    environment["GITHUB_OUTPUT"] = str(folder / "github-output")
    return subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def typed(folder: Path, command: str) -> str:
    result = run(folder, command)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def evaluated(folder: Path, harmful: int) -> None:
    answers, facts = evaluation(harmful=harmful)
    write_table(answers, folder / "evaluated/answers.parquet", ANSWER)
    write_table(facts, folder / "evaluated/knowledge.parquet", KNOWLEDGE)
    rows = language_rows(answers, facts, ["pl"], load(EvalParameters, ROOT).eval)
    write_json(headline(averages(rows)["balanced"]), folder / "evaluated/metrics/balanced.json")
    by_model = with_intervals(averages(rows), outcomes(harmful=harmful), 0.95)
    write_json(by_model, folder / "evaluated/plots/averages.json")
    write_outcomes(outcomes(harmful=harmful), folder / "evaluated/plots/outcomes.json")
    write_json(with_coverage(rows, {}), folder / "evaluated/rows.json")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``main`` with a good evaluation, and a branch whose evaluation got worse."""
    root = tmp_path_factory.mktemp("pull-request")
    for name in ("Makefile", "requirements.lock", "pyproject.toml", "params.yaml", ".dvcignore"):
        shutil.copy2(ROOT / name, root / name)
    for name in ("profiles", "machines", "boards", "data/phrasebook", "data/prompts", "data/refusals"):
        shutil.copytree(ROOT / name, root / name)
    (root / ".venv").symlink_to(BIN.parent)
    (root / ".gitignore").write_text("/.venv\n/.cache/\n/data/\n/models/\n/github-output\n")
    (root / "dvc.yaml").write_text(reading_all_parameters(PIPELINE))
    (root / "texts").write_text("texts")
    evaluated(root, harmful=0)
    typed(root, "git init -q -b main")
    typed(root, f"{BIN}/dvc init -q && {BIN}/dvc remote add -d storage {root.parent / 'storage'}")
    typed(
        root, f"{BIN}/dvc repro -q && {BIN}/dvc push -q && git add -A && git commit -qm main && git checkout -qb change"
    )
    evaluated(root, harmful=12)
    return root


@pytest.mark.slow
def test_the_steps_of_the_report_work_as_they_stand(repository: Path) -> None:
    for command in STEPS[: STEPS.index(COMMENT)]:
        if command not in GITHUBS:
            typed(repository, command)
    written = typed(repository, COMMENT)
    assert "regression" in written
    text = (repository / ".cache/comment.md").read_text()
    assert text.startswith("## Evaluation against main: 1 regression\n")
    assert "| balanced | 0.0 → 60.0 | pl 0.0 → 60.0 | 0.0 | 0.0 | 100.0 | 100.0 |" in text
    assert (repository / "github-output").read_text() == "code=1\n"


@pytest.mark.slow
def test_a_fault_is_told_apart_from_a_regression(repository: Path) -> None:
    (repository / "github-output").unlink(missing_ok=True)
    typed(repository, f"BASE=nowhere && {COMMENT}")
    assert (repository / "github-output").read_text() == "code=2\n"
    assert {name: run(repository, command).returncode for name, command in VERDICTS.items()} == {
        "A regression": 1,
        "Inconclusive, which stops nobody": 0,
        "A fault, the gate could not compare": 1,
    }


def test_every_other_step_is_githubs_own() -> None:
    assert set(GITHUBS) < set(STEPS)
