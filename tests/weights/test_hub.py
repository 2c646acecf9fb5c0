"""No test here speaks to the hub: what its client does is played."""

import errno
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

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

from refuseu.core.errors import UserError
from refuseu.store.revisions import hub_commit, hub_model, newest_commit
from refuseu.store.rows import Store
from refuseu.weights.hub import assert_dataset_obtainable, assert_obtainable, fetched
from refuseu.weights.reference import ModelReference

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = ModelReference("org/name", COMMIT)
NETWORK = "check the network, or name a folder that holds it"
WHOLE = ("model-00001-of-00002.safetensors", "config.json", "tokenizer.json")


def model_in(folder: Path, *files: str) -> Path:
    folder.mkdir()
    for name in files:
        (folder / name).touch()
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "rows.sqlite")


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


def test_a_folder_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_up: list[Any], store: Store
) -> None:
    folder = model_in(tmp_path / "model", *WHOLE)
    assert hub_model(str(folder), None, store) == ModelReference(folder)
    monkeypatch.chdir(tmp_path)
    assert hub_model("./model", None, store) == ModelReference(Path("model"))
    with pytest.raises(UserError, match="nowhere: there is no such folder"):
        hub_model("./nowhere", None, store)
    assert looked_up == []


def test_a_commit_is_not_looked_up(looked_up: list[Any], store: Store) -> None:
    assert hub_model("org/name", COMMIT, store) == REPO
    assert looked_up == []


@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT[:7], COMMIT.upper(), f"{COMMIT}0"])
def test_anything_else_is_looked_up(revision: str | None, looked_up: list[Any], store: Store) -> None:
    assert hub_model("org/name", revision, store) == REPO
    assert looked_up == [("org/name", revision)]


MOVED, OTHER = "a" * 40, "b" * 40
ADVICE = "its rows are asked anew; name a commit to keep to one"


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Sets the commit that each branch of the hub stands at; ``None`` for a hub that cannot be reached."""

    def stand(commit: str | None) -> None:
        def model_info(repo: str, revision: str | None) -> SimpleNamespace:
            if commit is None:
                raise ConnectError("no route")
            return SimpleNamespace(sha=commit)

        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(model_info=model_info))

    return stand


def test_a_branch_that_moved_is_told_once(
    at: Callable[[str | None], None], store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = []
    for commit in (COMMIT, COMMIT, MOVED, MOVED):
        at(commit)
        assert hub_model("org/name", None, store) == ModelReference("org/name", commit)
        lines.append(capfd.readouterr().err)
    told = f"Note: org/name: the main branch is at {MOVED} now and was at {COMMIT}; {ADVICE}\n"
    assert lines == ["", "", told, ""]


def test_each_branch_of_each_repository_is_noted_apart(
    at: Callable[[str | None], None], store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    for commit, repo, revision in ((COMMIT, "org/name", None), (MOVED, "org/name", "v1"), (OTHER, "org/other", "v1")):
        at(commit)
        assert hub_model(repo, revision, store).commit == commit
    assert capfd.readouterr().err == ""
    at(OTHER)
    hub_model("org/name", "v1", store)
    assert capfd.readouterr().err == f"Note: org/name: v1 is at {OTHER} now and was at {MOVED}; {ADVICE}\n"


def test_a_dataset_is_noted_apart_from_a_model_of_its_name(
    at: Callable[[str | None], None], store: Store, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at(COMMIT)
    hub_model("org/name", None, store)
    api = SimpleNamespace(dataset_info=lambda repo, revision: SimpleNamespace(sha=OTHER))
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    assert hub_commit("org/name", None, store, "dataset") == OTHER
    assert hub_commit("org/name", COMMIT, store, "dataset") == COMMIT
    assert capfd.readouterr().err == ""


def test_where_the_hub_cannot_be_reached_the_noted_commit_is_taken_and_told(
    at: Callable[[str | None], None], store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    at(COMMIT)
    hub_model("org/name", None, store)
    at(None)
    assert hub_model("org/name", None, store) == REPO
    assert capfd.readouterr().err == (
        f"Note: org/name: the hub cannot be reached (ConnectError); {NETWORK}; "
        f"taken is the commit of the last time, {COMMIT}\n"
    )


@pytest.mark.parametrize(("holds", "revision"), [("model", None), ("model", "v1"), ("dataset", None)])
def test_where_nothing_is_noted_the_commit_of_the_hubs_cache_is_taken_and_told(
    holds: Literal["model", "dataset"],
    revision: str | None,
    store: Store,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A compute node without a network, after ``hf download org/name`` where there is one."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"the hub cannot be reached \(OfflineModeIsEnabled\)"):
        hub_commit("org/name", revision, store, holds)
    cached = tmp_path / f"{holds}s--org--name"
    (cached / "snapshots" / COMMIT).mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / (revision or "main")).write_text(COMMIT)
    assert hub_commit("org/name", revision, store, holds) == COMMIT
    assert capfd.readouterr().err == (
        f"Note: org/name: the hub cannot be reached (OfflineModeIsEnabled); {NETWORK}; "
        f"taken is the commit of the hub's cache, {COMMIT}\n"
    )


def test_a_first_time_without_the_hub_is_an_error(
    at: Callable[[str | None], None], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    at(None)
    with pytest.raises(UserError) as error:
        hub_model("org/name", None, store)
    assert error.value.message == f"org/name: the hub cannot be reached (ConnectError); {NETWORK}"
    at(COMMIT)
    assert hub_model("org/name", None, store) == REPO


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


def test_a_repository_whose_index_names_weights_elsewhere_is_refused(tmp_path: Path, downloaded: list[Any]) -> None:
    folder = model_in(tmp_path / "snapshot", *WHOLE)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../other/model.safetensors"}}')
    with pytest.raises(
        UserError, match=r"index\.json names '\.\./\.\./other/model\.safetensors', which is no file of the model's"
    ):
        fetched(REPO)


def answered(kind: Callable[..., HfHubHTTPError], status: int) -> HfHubHTTPError:
    return kind("of several\n\nlines", response=Response(status, request=Request("GET", "http://127.0.0.1")))


UNKNOWN = "org/name: the hub knows no such repository, or shows it only to others; mend its name"
FAULTS = [
    (
        answered(GatedRepoError, 403),
        "org/name: the repository is gated; ask for access on its page, then log in with 'hf auth login' or set HF_TOKEN",
    ),
    (
        answered(RevisionNotFoundError, 404),
        "org/name: has no such revision; name one of its commits",
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
    (OSError("broken pipe"), f"org/name: the hub cannot be reached (OSError); {NETWORK}"),
    (
        OSError(errno.ENOSPC, "No space left on device"),
        "org/name: the disk of the hub's cache is full; make room, or point HF_HOME to a larger one",
    ),
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


@pytest.mark.parametrize("names", [None, WHOLE])
def test_a_whole_model_may_be_fetched(names: tuple[str, ...] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_obtainable_among(names, monkeypatch)


def test_an_adapter_is_told_before_it_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UserError, match=rf"^org/name: is an adapter at {COMMIT}; name a repository with a whole model$"
    ):
        assert_obtainable_among(("adapter_config.json", "adapter_model.safetensors"), monkeypatch)


def assert_obtainable_among(names: tuple[str, ...] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for a repository that holds files of these names, or of which the hub tells none."""
    files = None if names is None else [SimpleNamespace(rfilename=name) for name in names]
    found = SimpleNamespace(sha=COMMIT, siblings=files)
    api = SimpleNamespace(auth_check=lambda repo: None, model_info=lambda repo, revision: found)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    assert_obtainable("org/name", None)


def test_an_adapter_is_no_model(tmp_path: Path, downloaded: list[Any]) -> None:
    model_in(tmp_path / "snapshot", *WHOLE, "adapter_config.json")
    with pytest.raises(
        UserError, match=rf"^org/name: is an adapter at {COMMIT}; name a repository with a whole model$"
    ):
        fetched(REPO)


@pytest.mark.parametrize("proxy", ["socks5://me:secret@proxy:1080", "ftp://proxy", "http://proxy:port"])
def test_a_proxy_that_the_hub_s_client_cannot_use_is_named(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.delenv("https_proxy", raising=False)
    huggingface_hub.close_session()
    sentence = "^the environment variable HTTPS_PROXY names a proxy that cannot be used"
    for ask in (
        lambda: newest_commit("org/name", None),
        lambda: assert_obtainable("org/name", None),
        lambda: assert_dataset_obtainable("org/name", None),
        lambda: fetched(REPO),
    ):
        with pytest.raises(UserError, match=sentence):
            ask()
    huggingface_hub.close_session()


def test_certificates_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/certificates.pem")
    huggingface_hub.close_session()
    with pytest.raises(UserError, match=r"^the environment variable SSL_CERT_FILE names no file of certificates"):
        newest_commit("org/name", None)
    huggingface_hub.close_session()
