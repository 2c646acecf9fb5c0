"""No test here speaks to the hub: what its client does is played."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from httpx2 import ConnectError, Request, Response
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from refuseu.engines.hub import fetched
from refuseu.engines.reference import ModelReference
from refuseu.engines.revisions import hub_model, newest_commit
from refuseu.errors import UserError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = ModelReference("org/name", COMMIT)
WHOLE = ("model-00001-of-00002.safetensors", "config.json", "tokenizer.json")


def model_in(folder: Path, *files: str) -> Path:
    folder.mkdir()
    for name in files:
        (folder / name).touch()
    return folder


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """What the hub is asked the commit of; every one is ``COMMIT``."""
    asked: list[tuple[str, str | None]] = []

    class FakeApi:
        def model_info(self, repo: str, revision: str | None) -> SimpleNamespace:
            asked.append((repo, revision))
            return SimpleNamespace(sha=COMMIT)

    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    return asked


@pytest.fixture
def downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What is fetched; it lies in the folder ``snapshot``."""
    asked: list[tuple[str, dict[str, Any]]] = []

    def snapshot_download(repo: str, **options: Any) -> str:
        asked.append((repo, options))
        return str(tmp_path / "snapshot")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_a_folder_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_up: list[Any]) -> None:
    folder = model_in(tmp_path / "model", *WHOLE)
    assert hub_model(str(folder), None) == ModelReference(folder)
    monkeypatch.chdir(tmp_path)
    assert hub_model("./model", None) == ModelReference(Path("model"))
    with pytest.raises(UserError, match=r"nowhere: holds no \*.safetensors"):
        hub_model("./nowhere", None)
    assert looked_up == []


def test_a_commit_is_not_looked_up(looked_up: list[Any]) -> None:
    assert hub_model("org/name", COMMIT) == REPO
    assert looked_up == []


@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT[:7], COMMIT.upper(), f"{COMMIT}0"])
def test_anything_else_is_looked_up(revision: str | None, looked_up: list[Any]) -> None:
    assert hub_model("org/name", revision) == REPO
    assert looked_up == [("org/name", revision)]


def test_a_folder_needs_no_fetching(tmp_path: Path, downloaded: list[Any]) -> None:
    assert fetched(ModelReference(tmp_path)) == ModelReference(tmp_path)
    assert downloaded == []


def test_weights_are_fetched_as_safetensors_alone(tmp_path: Path, downloaded: list[Any]) -> None:
    folder = model_in(tmp_path / "snapshot", *WHOLE)
    assert fetched(REPO) == ModelReference(folder)
    ((repo, options),) = downloaded
    assert (repo, options["revision"], set(options)) == ("org/name", COMMIT, {"revision", "allow_patterns"})
    files = [
        *WHOLE,
        *("model.safetensors.index.json", "tokenizer_config.json", "tokenizer.model", "chat_template.jinja"),
        *("generation_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json"),
        *("pytorch_model.bin", "model.pt", "model.pth", "weights.pkl", "modeling_own.py", "model.gguf", "model.onnx"),
    ]
    taken = list(huggingface_hub.utils.filter_repo_objects(files, allow_patterns=options["allow_patterns"]))
    assert taken == files[:-7]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_repository_without_a_whole_model_is_one_sentence(
    missing: int, tmp_path: Path, downloaded: list[Any]
) -> None:
    model_in(tmp_path / "snapshot", *(name for place, name in enumerate(WHOLE) if place != missing))
    name = ("*.safetensors", "config.json", "tokenizer.json")[missing]
    with pytest.raises(UserError) as error:
        fetched(REPO)
    assert error.value.message == f"org/name: has no {name} at {COMMIT}; name a repository that has"


def answered(kind: Callable[..., HfHubHTTPError], status: int) -> HfHubHTTPError:
    return kind("of several\n\nlines", response=Response(status, request=Request("GET", "http://127.0.0.1")))


UNKNOWN = "org/name: the hub knows no such repository, or shows it only to others; mend the profile"
NETWORK = "check the network, or name a folder that holds the model"
FAULTS = [
    (
        answered(GatedRepoError, 403),
        "org/name: the repository is gated; ask for access on its page, then log in with 'hf auth login' or set HF_TOKEN",
    ),
    (
        answered(RevisionNotFoundError, 404),
        "org/name: has no such revision; name one of its commits in the profile",
    ),
    (answered(RepositoryNotFoundError, 401), UNKNOWN),
    (HFValidationError("org/name"), UNKNOWN),
    (
        LocalEntryNotFoundError("not in the cache"),
        f"org/name: the hub cannot be reached (LocalEntryNotFoundError); {NETWORK}",
    ),
    (OfflineModeIsEnabled("offline"), f"org/name: the hub cannot be reached (OfflineModeIsEnabled); {NETWORK}"),
    (answered(HfHubHTTPError, 503), f"org/name: the hub cannot be reached (HfHubHTTPError); {NETWORK}"),
    (ConnectError("no route"), f"org/name: the hub cannot be reached (ConnectError); {NETWORK}"),
    (OSError(28, "No space left on device"), f"org/name: the hub cannot be reached (OSError); {NETWORK}"),
]


@pytest.mark.parametrize(("fault", "sentence"), FAULTS)
def test_every_fault_of_the_hub_is_one_sentence(
    fault: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(model_info=fail))
    for reach in (lambda: fetched(REPO), lambda: newest_commit("org/name", None)):
        with pytest.raises(UserError) as error:
            reach()
        assert error.value.message == sentence
