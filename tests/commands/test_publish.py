import inspect
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from refuseu.commands.publish import Upload, main, push

TOKEN = "hf_secret"


class FakeHub:
    """Holds repositories as lists of files; takes the calls that ``HfApi`` takes, and remembers them in order."""

    def __init__(self, **repositories: list[str]) -> None:
        self.repositories = {name.replace("__", "/").replace("_", "-"): files for name, files in repositories.items()}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            inspect.signature(getattr(HfApi, name)).bind(self, **arguments)
            self.calls.append((name, arguments))
            return self._answer(name, arguments)

        return call

    def _answer(self, name: str, arguments: dict[str, Any]) -> Any:
        if name == "repo_exists":
            return arguments["repo_id"] in self.repositories
        if name == "list_repo_files":
            return self.repositories[arguments["repo_id"]]
        if name == "list_models":
            return [SimpleNamespace(id=one) for one in self.repositories if arguments["search"] in one]
        return None

    @property
    def changes(self) -> list[str]:
        """Names of the calls that change something."""
        return [name for name, _ in self.calls if name not in ("repo_exists", "list_repo_files", "list_models")]

    def commit(self) -> tuple[list[str], list[str]]:
        """What the one commit adds and deletes."""
        (operations,) = (arguments["operations"] for name, arguments in self.calls if name == "create_commit")
        added = [each.path_in_repo for each in operations if isinstance(each, CommitOperationAdd)]
        return added, [each.path_in_repo for each in operations if isinstance(each, CommitOperationDelete)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/any.yaml").write_text("dpo: {}\n")
    train = {"seeds": [7, 0], "languages": ["en"], "benign_share": 0.0, "configs": {"balanced": {}}, "single": ["de"]}
    (tmp_path / "params.yaml").write_text(json.dumps({"profile": "any", "train": train}))
    other_seed = "models/dpo/balanced/0/other.safetensors"
    for path in (
        "data/release/README.md",
        "models/dpo/balanced/7/model.safetensors",
        other_seed,
        "models/cards/balanced.md",
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("x" * 1000)
    return tmp_path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """What the command pushes to: a dataset with a language too many, a model with a file too many, a model too many."""
    fake = FakeHub(
        org__set=[".gitattributes", "README.md", "lang_sk/test.parquet", "lang_sk/train.parquet"],
        org__set_balanced=[".gitattributes", "README.md", "model.safetensors", "old.bin"],
        org__set_gone=["model.safetensors"],
        org__settled=["of somebody else"],
    )
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("refuseu.commands.publish._hub", lambda token: fake)
    return fake


def test_gated_and_private_before_anything_is_in_it(project: Path) -> None:
    hub = FakeHub()
    push(Upload("org/set", "dataset", Path("data/release")), [], hub, public=False)
    assert [name for name, _ in hub.calls] == ["create_repo", "update_repo_settings", "create_commit"]
    assert (hub.calls[0][1]["private"], hub.calls[0][1]["exist_ok"]) == (True, True)
    assert hub.calls[1][1] == {"repo_id": "org/set", "repo_type": "dataset", "private": True, "gated": "manual"}


def test_a_models_card_is_its_readme(project: Path) -> None:
    hub = FakeHub()
    card = Path("models/cards/balanced.md")
    push(Upload("org/set-balanced", "model", Path("models/dpo/balanced/7"), card), [], hub, public=True)
    assert (hub.calls[0][1]["private"], hub.calls[1][1]["private"], hub.calls[1][1]["gated"]) == (False, False, False)
    assert hub.commit() == (["model.safetensors", "README.md"], [])
    assert hub.calls[-1][1]["operations"][1].path_or_fileobj == str(card)


def test_a_public_dataset_with_something_to_agree_to_stays_gated(project: Path) -> None:
    hub = FakeHub()
    Path("data/release/README.md").write_text("---\nlicense: other\nextra_gated_prompt: Agree.\n---\n")
    push(Upload("org/set", "dataset", Path("data/release")), [], hub, public=True)
    assert (hub.calls[1][1]["private"], hub.calls[1][1]["gated"]) == (False, "manual")


@pytest.mark.parametrize(("name", "refused"), [("org/set", True), ("org/Llama-set", False)])
def test_a_model_that_was_made_with_a_llama_has_it_in_its_name(
    name: str, refused: bool, project: Path, hub: FakeHub
) -> None:
    Path("models/cards/balanced.md").write_text("# Llama RefusEU balanced\n\n**Built with Llama.**\n")
    result = CliRunner().invoke(main, ["models", name])
    assert result.exit_code == refused
    assert ("REPO=org/Llama-set does" in result.output) is refused
    assert bool(hub.changes) is not refused


def test_what_was_taken_out_is_deleted_in_the_commit_that_publishes(project: Path, hub: FakeHub) -> None:
    result = CliRunner().invoke(main, ["dataset", "org/set"])
    assert result.exit_code == 0, result.output
    assert hub.commit() == (["README.md"], ["lang_sk/test.parquet", "lang_sk/train.parquet"])
    assert result.output.endswith("  deleted lang_sk/test.parquet\n  deleted lang_sk/train.parquet\n")
    assert "super_squash_history" not in hub.changes


def test_a_models_file_that_is_gone_is_deleted_and_a_model_that_is_gone_is_named(project: Path, hub: FakeHub) -> None:
    result = CliRunner().invoke(main, ["models", "org/set"])
    assert hub.commit() == (["model.safetensors", "README.md"], ["old.bin"])
    said = result.output.splitlines()[1:]
    assert said == [
        "  deleted old.bin",
        "model org/set-gone: not in models/dpo and still published; to remove it: .venv/bin/hf repos delete org/set-gone",
    ]


@pytest.mark.parametrize("what", ["dataset", "models"])
def test_a_dry_run_says_what_would_be_deleted_and_changes_nothing(what: str, project: Path, hub: FakeHub) -> None:
    result = CliRunner().invoke(main, [what, "org/set", "--dry-run", "--squash-history"])
    assert result.exit_code == 0
    expected = {
        "dataset": "  would delete lang_sk/test.parquet\n",
        "models": "  would delete old.bin\nmodel org/set-gone: ",
    }
    assert expected[what] in result.output
    assert hub.changes == []


def test_a_repository_that_is_not_there_yet_has_nothing_to_delete(project: Path, hub: FakeHub) -> None:
    assert "delete" not in CliRunner().invoke(main, ["dataset", "org/new", "--dry-run"]).output


def test_earlier_versions_leave_the_history_on_demand_and_after_the_commit(project: Path, hub: FakeHub) -> None:
    assert CliRunner().invoke(main, ["dataset", "org/set", "--squash-history"]).exit_code == 0
    assert hub.changes[-2:] == ["create_commit", "super_squash_history"]
    assert (hub.calls[-1][1]["repo_id"], hub.calls[-1][1]["repo_type"]) == ("org/set", "dataset")


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("dataset", "dataset org/set: 1 files of data/release, 0.0 MB\n"),
        ("models", "model org/set-balanced: 2 files of models/dpo/balanced/7, 0.0 MB\n"),
    ],
)
def test_a_dry_run_needs_no_token(what: str, expected: str, project: Path) -> None:
    result = CliRunner().invoke(main, [what, "org/set", "--dry-run"])
    assert result.exit_code == 0
    assert result.output.startswith(f"{expected}HF_TOKEN is not set, so the hub was not asked")


@pytest.mark.parametrize("name", ["set", "org/set/more", "org/", "org/my set"])
def test_a_name_that_is_none_is_one_sentence(name: str, project: Path) -> None:
    result = CliRunner().invoke(main, ["dataset", name, "--dry-run"])
    assert result.exit_code == 1
    assert result.output == f"Error: publish: {name!r} is no repository's name; give ORGANISATION/NAME\n"


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


def errors() -> list[Exception]:
    """What the hub's library and those below it raise, the token in their text where it could come."""
    from httpx2 import ConnectError, InvalidURL, Request, Response
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    response = Response(401, request=Request("POST", "https://hub.test"))
    text = f"refused\nwith {TOKEN}"
    return [
        OSError(f"no route with {TOKEN}"),
        OSError(),
        ConnectError(TOKEN),
        InvalidURL(TOKEN),
        HfHubHTTPError(text, response=response),
        RepositoryNotFoundError(text, response=response),
        HFValidationError(TOKEN),
        LocalEntryNotFoundError(TOKEN),
        OfflineModeIsEnabled(TOKEN),
        json.JSONDecodeError(TOKEN, "", 0),
        UnicodeEncodeError("ascii", TOKEN, 0, 1, TOKEN),
        RuntimeError(f"the uploader failed with {TOKEN}"),
    ]


@pytest.mark.parametrize("error", errors(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("call", ["repo_exists", "create_commit", "super_squash_history", "list_models"])
def test_whatever_the_hub_raises_is_one_sentence_without_the_token(
    call: str, error: Exception, project: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**arguments: Any) -> None:
        raise error

    monkeypatch.setattr(hub, call, fails, raising=False)
    result = CliRunner().invoke(main, ["models", "org/set", "--squash-history"])
    assert result.exit_code == 1
    assert len(result.output.splitlines()) <= 3
    assert "Error: publish: stopped at org/set" in result.output and "() " not in result.output
    assert TOKEN not in result.output


def test_the_installed_library_offline_is_one_sentence(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", f" {TOKEN}\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = CliRunner().invoke(main, ["dataset", "org/set"])
    assert result.exit_code == 1
    assert "Error: publish: stopped at org/set (" in result.output
    assert TOKEN not in result.output


def test_a_token_that_cannot_be_sent_is_not_shown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", f"“{TOKEN}”")
    result = CliRunner().invoke(main, ["dataset", "org/set"])
    assert result.output.startswith("Error: publish: HF_TOKEN holds a blank or a letter that no token has")
    assert TOKEN not in result.output


@pytest.mark.parametrize("given", ["https://me:secret@huggingface.co/org/set", "me:secret@org/set"])
def test_a_repository_with_a_password_is_refused_and_not_shown(given: str, project: Path) -> None:
    result = CliRunner().invoke(main, ["dataset", given, "--dry-run"])
    assert result.exit_code == 1 and "secret" not in result.output
    assert result.output.startswith("Error: publish: the repository holds a user, a password or a key")


def test_a_link_out_of_the_folder_is_not_published(project: Path, hub: FakeHub) -> None:
    (project / "private").write_text("text")
    (project / "data/release/notes.md").symlink_to(project / "private")
    result = CliRunner().invoke(main, ["dataset", "org/set"])
    assert result.exit_code == 1 and hub.changes == []
    assert "Error: publish: org/set: 'data/release/notes.md' is a link out of data/release" in result.output
