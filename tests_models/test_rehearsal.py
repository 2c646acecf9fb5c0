"""``make rehearse WEIGHTS=random`` of the paper's profile on the paper's machine: every stage, model and role, in minutes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def repository(folder: Path) -> Path:
    """The files of the working tree in a repository of their own, committed here or not."""
    ignored = shutil.ignore_patterns(".git", ".venv*", ".cache", "__pycache__", ".mypy_cache", "models")
    shutil.copytree(ROOT, folder, ignore=ignored, symlinks=True)
    author = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in (["git", "init", "-q"], ["git", "add", "-A"], ["git", "commit", "-qm", "all"]):
        subprocess.run(command, cwd=folder, env={**os.environ, **author}, check=True)
    return folder


def rehearsed(folder: Path, profile: str) -> list[str]:
    """What is shown at the end, a line each."""
    options = ["--profile", profile, "--machine", "h100x8", "--weights", "random"]
    command = [sys.executable, "-m", "refuseu.commands.rehearse", *options]
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return (folder / ".cache/rehearsal/rehearsal.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    folder = repository(tmp_path_factory.mktemp("rehearsed") / "refuseu")
    yield rehearsed(folder, "paper-8b")
    shutil.rmtree(folder)


def test_a_profile_of_published_questions_comes_to_its_end_too(tmp_path: Path) -> None:
    page = rehearsed(repository(tmp_path / "refuseu"), "published-8b")
    stages = [line.split() for line in page[2 : page.index("", 2)][2:]]
    assert [row[0] for row in stages] == STAGES
    assert table(page, "model weights dtype")


def table(page: list[str], header: str) -> dict[tuple[str, str], list[str]]:
    """The rows of the table whose header begins so, by their first two cells."""
    start = next(place for place, line in enumerate(page) if line.split()[: len(header.split())] == header.split())
    rows = [line.split() for line in page[start + 2 : page.index("", start)]]
    return {(row[0], row[1]): row[2:] for row in rows}


ROLES = {
    ("rainbow-teaming", "mistral"),
    ("rainbow-teaming", "instruct"),
    ("respond", "instruct"),
    ("respond", "lorablated"),
    ("label", "llama-guard-3"),
    ("label", "polyguard"),
    ("eval", "base"),
    ("eval", "llama-guard-3"),
    ("eval", "polyguard"),
    ("eval", "gpt-4o-mini"),
    ("eval", "gpt-oss-120b"),
}
"""Who is asked of what in the profile."""


STAGES = [
    *("base", "rainbow-teaming", "translate", "respond", "label", "split", "dpo", "eval", "report", "release"),
    "all",
]


def test_every_stage_ran_and_wrote_rows(page: list[str]) -> None:
    stages = [line.split() for line in page[2 : page.index("", 2)][2:]]
    assert [row[0] for row in stages] == STAGES
    rows = {row[0]: int(row[2]) for row in stages if row[0] in ("rainbow-teaming", "label", "split", "dpo", "eval")}
    assert min(rows.values()) > 20


def test_every_role_of_the_profile_was_asked(page: list[str]) -> None:
    assert set(table(page, "stage model played by")) == ROLES


def test_what_the_script_says_is_read(page: list[str]) -> None:
    for key, (played, rows, *more) in table(page, "stage model played by").items():
        assert played == ("random," if key[1] == "base" else "script")
        if played == "script":
            assert int(rows) > 0 and more[2] in ("0", "–"), key


def test_vllm_and_transformers_say_the_same_of_each_architecture(page: list[str]) -> None:
    start = next(place for place, line in enumerate(page) if line.startswith("model ")) + 2
    rows = {line.split()[-7]: line for line in page[start : page.index("", start)]}
    assert rows.keys() == {"Llama", "Mistral", "Qwen2", "GptOss"}
    assert "base, lorablated, instruct, llama-guard-3" in rows["Llama"]
    for line in rows.values():
        dtype, answers, _, equal, _, apart = line.split()[-6:]
        assert dtype == "float32" and int(answers) >= 4
        assert float(equal) >= 75 and float(apart) < 0.01, line


def test_the_full_run_stands_beside_the_plan(page: list[str]) -> None:
    full = {key: row for key, row in table(page, "stage model rows s a row").items() if key[0] != "all"}
    assert set(full) == ROLES | {("dpo", "base")}
    for rows, seconds, *_ in full.values():
        assert rows and float(seconds) >= 0
    stages = {row[0]: float(row[1]) for row in (line.split() for line in page[4 : page.index("", 2)])}
    # Of the stage's time the steps are a part: four of them with four pairs each.
    assert 0 < float(full["dpo", "base"][1]) * 16 < stages["dpo"]


def test_it_says_what_it_does_not_show(page: list[str]) -> None:
    text = "\n".join(page)
    assert "say nothing of the full run" in text and "Not shown: kernels" in text
    assert "the base was asked in the engine vllm" in text
    assert "- base: " in text and "- mistral: tekken_240911.json, template its own" in text
