"""The S3 remote, against a real S3 server on the loopback: what docs/data.md promises."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from moto.server import DomainDispatcherApplication, create_backend_app
from repository import ROOT
from werkzeug.serving import make_server

from refuseu.commands.remote import main

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
LANGUAGES = ("en", "pl", "cs")
PIPELINE = """
stages:
  split:
    cmd: mkdir -p data/split && cp texts/* data/split/
    deps:
      - texts
    outs:
      - data/split
"""
Respond = Callable[..., Any]


class Server:
    """S3 by moto, behind a door that can be told to die after some uploads, or to know no key."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._start(0)
        self.uploads_left: int | None = None
        self.knows_keys = True

    def _start(self, port: int) -> None:
        self._server = make_server("127.0.0.1", port, self, threaded=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __call__(self, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        if not self.knows_keys:
            respond("403 Forbidden", [("Content-Type", "application/xml")])
            message = "The AWS Access Key Id you provided does not exist in our records."
            return [f"<Error><Code>InvalidAccessKeyId</Code><Message>{message}</Message></Error>".encode()]
        if environ["REQUEST_METHOD"] == "PUT" and self.uploads_left is not None:
            if self.uploads_left == 0:
                threading.Thread(target=self.die).start()
                raise ConnectionAbortedError
            self.uploads_left -= 1
        answer: Iterable[bytes] = self._app(environ, respond)
        return answer

    def die(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def rise(self) -> None:
        port = self._server.server_port
        self.uploads_left = None
        self._start(port)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server()
    client(running).create_bucket(Bucket="team")
    yield running
    running.die()


def client(server: Server) -> Any:
    keys = {"aws_access_key_id": "id", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=server.url, **keys)


def objects(server: Server) -> set[str]:
    return {each["Key"] for each in client(server).list_objects_v2(Bucket="team").get("Contents", [])}


def run(folder: Path, *command: str, fails: bool = False) -> str:
    environment = {
        "DVC_SITE_CACHE_DIR": str(folder.parent / "site-cache"),  # not the machine's, which knows earlier runs
        **os.environ,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_MAX_ATTEMPTS": "1",
        "DVC_NO_ANALYTICS": "1",
        **{f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode != 0) == fails, result.stdout + result.stderr
    return result.stdout + result.stderr


def dvc(folder: Path, *arguments: str, fails: bool = False) -> str:
    return run(folder, str(BIN / "dvc"), *arguments, fails=fails)


def make(folder: Path, *arguments: str, fails: bool = False) -> str:
    """The project's Makefile in ``folder``, with this environment, which is not made anew."""
    if not (folder / "Makefile").exists():
        shutil.copy2(ROOT / "Makefile", folder / "Makefile")
        (folder / ".venv").symlink_to(BIN.parent)
    return run(folder, "make", "--old-file=.venv/ready", *arguments, fails=fails)


def commit(folder: Path, message: str) -> None:
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", message)


@pytest.fixture(scope="module")
def repository(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of one stage with a file a language, its remote set up by the Makefile."""
    root = tmp_path_factory.mktemp("team") / "repository"
    (root / "texts").mkdir(parents=True)
    for lang in LANGUAGES:
        (root / "texts" / lang).write_text(f"questions in {lang}\n")
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / ".gitignore").write_text("/data/split/\n/.venv\n")
    run(root, "git", "init", "-q", "-b", "main")
    dvc(root, "init", "-q")
    make(root, "remote", "URL=s3://team/refuseu", f"ENDPOINT={server.url}")
    dvc(root, "repro", "-q")
    commit(root, "first")
    return root


def test_a_remote_needs_an_address(repository: Path) -> None:
    assert "make remote URL=s3://bucket/path" in make(repository, "remote", fails=True)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], {"endpointurl = http://minio.test:9000", "region = eu-central-1"}),
        (["ENDPOINT="], {"region = eu-central-1"}),
        (["ENDPOINT=https://s3.test"], {"endpointurl = https://s3.test", "region = eu-central-1"}),
    ],
)
def test_a_new_address_keeps_what_is_not_named(given: list[str], expected: set[str], tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(CONFIG)
    said = make(tmp_path, "remote", "URL=s3://other/bucket", *given)
    lines = (tmp_path / ".dvc/config").read_text().split("['remote \"storage\"']")[1].splitlines()
    assert {line.strip() for line in lines if line} == {"url = s3://other/bucket", *expected}
    assert all(line.replace(" = ", " ") in said for line in expected)


CONFIG = """\
['remote "other"']
    url = s3://other
['remote "storage"']
    url = s3://wrong/bucket
    endpointurl = http://minio.test:9000
    region = eu-central-1
"""


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with DVC's configurations, in a project that has nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(CONFIG)
    return tmp_path / ".dvc"


def test_secrets_are_kept_and_not_shown_and_what_overrules_the_address_is_said(configured: Path) -> None:
    local = "['remote \"storage\"']\n    url = s3://mine\n    profile = work\n    secret_access_key = hush\n"
    (configured / "config.local").write_text(local)
    result = CliRunner().invoke(main, ["s3://new/bucket", "--endpoint", ""])
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "remote storage: default remote storage, url s3://mine, region eu-central-1, profile work, "
        "secret_access_key (not shown)",
        "but DVC follows .dvc/config.local or your own configuration: url s3://mine",
    ]
    assert (configured / "config.local").read_text() == local


SOCKS = "a SOCKS proxy takes the package socksio, which is not installed"


@pytest.mark.parametrize(
    ("endpoint", "environment", "said"),
    [
        (
            "",
            {"HTTPS_PROXY": "socks5://me:secret@proxy:1"},
            f"HTTPS_PROXY names a proxy that cannot be used ({SOCKS}); correct it",
        ),
        (
            "http://minio.test:9000",
            {"HTTP_PROXY": "http://"},
            "HTTP_PROXY names a proxy that cannot be used (it holds no address)",
        ),
        (
            "http://127.0.0.1:9000",
            {"HTTP_PROXY": "http://proxy:1"},
            "DVC asks 127.0.0.1 by the proxy of HTTP_PROXY, though it is this machine; add it to NO_PROXY",
        ),
        ("http://127.0.0.1:9000", {"HTTP_PROXY": "http://proxy:1", "NO_PROXY": "127.0.0.1"}, ""),
        ("", {"ALL_PROXY": "socks5://proxy:1"}, ""),
        ("", {"HTTPS_PROXY": "http://proxy:1"}, ""),
        ("", {"AWS_CA_BUNDLE": "/nowhere.pem"}, "AWS_CA_BUNDLE names no file of certificates; correct it, or unset it"),
    ],
)
def test_what_would_keep_dvc_from_the_server_is_said(
    endpoint: str, environment: dict[str, str], said: str, configured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(main, ["s3://new/bucket", "--endpoint", endpoint])
    assert result.exit_code == 0
    assert "secret@" not in result.output
    assert [line[: len(said) + 4] for line in result.output.splitlines()[1:]] == ([f"but {said}"] if said else [])


@pytest.mark.parametrize(
    ("arguments", "config", "expected"),
    [
        (["bucket/path"], CONFIG, "remote: 'bucket/path' is no S3 address; give s3://bucket/path"),
        (["s3://"], CONFIG, "remote: 's3://' is no S3 address"),
        (["s3://b", "--endpoint", "minio:9000"], CONFIG, "remote: the endpoint 'minio:9000' starts with neither"),
        (["s3://b"], "['remote \"storage\"']\ntype = symlink\nurl = /mnt\n", "remote: .dvc/config stays as it was ("),
        (["s3://b"], "broken [", "remote: .dvc/config stays as it was ("),
    ],
)
def test_what_dvc_would_trip_over_later_is_refused_now(
    arguments: list[str], config: str, expected: str, configured: Path
) -> None:
    (configured / "config").write_text(config)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {expected}")
    assert (configured / "config").read_text() == config


SECRETS = [
    "s3://me:secret@team/path",
    "s3://me:se/cret@team",
    "me:secret@team",
    "https://team/path?X-Amz-Signature=secret",
]


@pytest.mark.parametrize(
    "arguments", [*([each] for each in SECRETS), ["s3://b", "--endpoint", "http://me:secret@minio:9000"]]
)
def test_an_address_with_a_password_is_neither_written_nor_shown(arguments: list[str], configured: Path) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert re.match(
        r"Error: remote: the (URL|endpoint) holds a user, a password or a key, which .* ~/\.aws\n$", result.output
    )
    assert "cret" not in result.output
    assert (configured / "config").read_text() == CONFIG


def test_a_password_that_stands_in_a_configuration_is_not_shown_and_said(configured: Path) -> None:
    (configured / "config.local").write_text("['remote \"storage\"']\n    url = s3://me:secret@mine\n")
    result = CliRunner().invoke(main, ["s3://new/bucket"])
    assert result.exit_code == 0 and "secret" not in result.output
    assert "url (not shown)" in result.output.splitlines()[0]
    assert "but url of DVC's configuration holds a user, a password or a key" in result.output


def test_make_does_not_show_an_address_with_a_password(repository: Path) -> None:
    before = (repository / ".dvc/config").read_text()
    said = make(repository, "remote", "URL=s3://me:secret@team", fails=True)
    assert "secret" not in said and "holds a user, a password or a key" in said
    assert (repository / ".dvc/config").read_text() == before


def test_no_key_is_in_the_configuration(repository: Path) -> None:
    assert "secret" not in (repository / ".dvc/config").read_text()


def test_a_push_that_died_half_way_is_completed_by_the_next(repository: Path, server: Server) -> None:
    server.uploads_left = 2
    dvc(repository, "push", "-j", "1", fails=True)
    server.rise()
    before = objects(server)
    assert 0 < len(before) < len(LANGUAGES) + 1
    dvc(repository, "push")
    assert before < objects(server)
    assert len(objects(server)) == len(LANGUAGES) + 1


def test_a_fresh_clone_pulls_and_has_nothing_to_do(repository: Path) -> None:
    clone = repository.parent / "clone"
    run(repository.parent, "git", "clone", "-q", "repository", "clone")
    dvc(clone, "pull", "-q")
    assert (clone / "data/split/pl").read_text() == "questions in pl\n"
    assert "up to date" in dvc(clone, "repro")


def test_a_change_of_one_language_pushes_that_language_alone(repository: Path, server: Server) -> None:
    before = objects(server)
    (repository / "texts/pl").write_text("other questions in pl\n")
    dvc(repository, "repro", "-q")
    commit(repository, "second")
    dvc(repository, "push", "-q")
    new = objects(server) - before
    assert len(new) == 2
    assert sum(key.endswith(".dir") for key in new) == 1


def test_an_experiment_travels_by_name(repository: Path, server: Server) -> None:
    clone = repository.parent / "clone"
    run(repository.parent, "git", "init", "-q", "--bare", "origin")
    run(repository, "git", "remote", "add", "origin", "../origin")
    run(repository, "git", "push", "-q", "origin", "main")
    run(clone, "git", "remote", "set-url", "origin", "../origin")
    run(clone, "git", "pull", "-q", "origin", "main")
    (repository / "texts/cs").write_text("an experiment in cs\n")
    dvc(repository, "exp", "run", "-q", "--name", "czech")
    dvc(repository, "exp", "push", "-q", "origin", "czech")
    dvc(clone, "exp", "pull", "-q", "origin", "czech")
    dvc(clone, "exp", "apply", "-q", "czech")
    assert (clone / "data/split/cs").read_text() == "an experiment in cs\n"


FAILURES = (ROOT / "docs/data.md").read_text().split("### When sharing fails")[1].split("###")[0]
DOCUMENTED = re.findall(r"^\| (`.+?`) \|", FAILURES, re.MULTILINE)


@pytest.fixture(scope="module")
def unpushed(repository: Path) -> Path:
    """The clone, with something new to push."""
    clone = repository.parent / "clone"
    (clone / "texts/en").write_text("new questions in en\n")
    dvc(clone, "repro", "-q")
    return clone


TROUBLE = {
    "keys": {},
    "bucket": {"url": "s3://nowhere/refuseu"},
    "network": {"endpointurl": "http://127.0.0.1:9"},
}


# DVC keeps an index of what it saw in the remote. With one it asks by HEAD, whose refusal has no text ("Forbidden"); without
# one it lists, and S3 says why. Both happen to users.
@pytest.mark.parametrize("index", ["known", "new"])
@pytest.mark.parametrize(("kind", "documented"), list(zip(TROUBLE, DOCUMENTED, strict=True)))
def test_dvcs_errors_are_the_documented_ones(
    kind: str,
    documented: str,
    index: str,
    unpushed: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name, value in TROUBLE[kind].items():
        dvc(unpushed, "remote", "modify", "--local", "storage", name, value)
    if index == "new":
        monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path))
    server.knows_keys = kind != "keys"
    said = dvc(unpushed, "push", fails=True)
    server.knows_keys = True
    (unpushed / ".dvc/config.local").unlink(missing_ok=True)
    assert any(message in said for message in re.findall(r"`([^`]+)`", documented)), said
    assert "secret" not in said
