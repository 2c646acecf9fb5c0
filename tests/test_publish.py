from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from refuseu.publish import Upload, main, push

TOKEN = "hf_secret"


class FakeHub:
    """Remembers what it was asked for, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda **arguments: self.calls.append((name, arguments))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    for path in ("data/release/README.md", "models/dpo/balanced/model.safetensors", "models/cards/balanced.md"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("x" * 1000)
    return tmp_path


def test_gated_and_private_before_anything_is_in_it() -> None:
    hub = FakeHub()
    push(Upload("org/set", "dataset", Path("data/release")), hub, public=False)
    assert [name for name, _ in hub.calls] == ["create_repo", "update_repo_settings", "upload_folder"]
    assert hub.calls[0][1]["private"] is True
    assert hub.calls[1][1] == {"repo_id": "org/set", "repo_type": "dataset", "private": True, "gated": "manual"}


def test_a_models_card_is_its_readme() -> None:
    hub = FakeHub()
    push(Upload("org/set-balanced", "model", Path("m"), Path("c.md")), hub, public=True)
    assert (hub.calls[0][1]["private"], hub.calls[1][1]["private"], hub.calls[1][1]["gated"]) == (False, False, False)
    assert hub.calls[-1][0] == "upload_file"
    assert hub.calls[-1][1]["path_in_repo"] == "README.md"


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("dataset", "dataset org/set: 1 files of data/release, 0.0 MB\n"),
        ("models", "model org/set-balanced: 1 files of models/dpo/balanced, 0.0 MB\n"),
    ],
)
def test_a_dry_run_needs_no_token(what: str, expected: str, project: Path) -> None:
    result = CliRunner().invoke(main, [what, "org/set", "--dry-run"])
    assert (result.exit_code, result.output) == (0, expected)


def test_without_a_token_nothing_is_pushed(project: Path) -> None:
    result = CliRunner().invoke(main, ["dataset", "org/set"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: publish: HF_TOKEN is not set")


@pytest.mark.parametrize(
    ("gone", "what", "expected"),
    [
        ("data/release/README.md", "dataset", "Error: data/release: holds no dataset"),
        ("models/cards/balanced.md", "models", "Error: models/cards/balanced.md: no such card"),
    ],
)
def test_nothing_to_push_is_one_sentence(gone: str, what: str, expected: str, project: Path) -> None:
    (project / gone).unlink()
    result = CliRunner().invoke(main, [what, "org/set", "--dry-run"])
    assert result.exit_code == 1
    assert result.output.startswith(expected)


def test_no_hub_within_reach_is_one_sentence_without_the_token(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(upload: Upload, hub: object, public: bool) -> None:
        raise OSError(f"no route to the hub with {TOKEN}")

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("refuseu.publish.push", unreachable)
    result = CliRunner().invoke(main, ["dataset", "org/set"])
    assert result.exit_code == 1
    assert "publish: the hub refused org/set (no route" in result.output
    assert TOKEN not in result.output
