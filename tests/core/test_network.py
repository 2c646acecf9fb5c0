"""What the environment says of the network and no client can use is one sentence that names the variable."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.utils._http import default_client_factory

from refuseu.core.errors import UserError
from refuseu.core.network import (
    async_client,
    holds_credentials,
    network_explained,
    network_faults,
    proxy_of,
    refuse_credentials,
    stay_at_hub,
)

FAR, HERE = "https://api.example.org/v1", "http://127.0.0.1:8000/v1"
SOCKS = "a SOCKS proxy takes the package socksio, which is not installed"
NO_SCHEME = "it begins neither with http:// nor with https://, or is no address"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "SSL_CERT_FILE":
            monkeypatch.delenv(name)


def unusable(variable: str, why: str) -> str:
    return f"the environment variable {variable} names a proxy that cannot be used ({why}); correct it, or unset it"


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("ALL_PROXY", "socks5://me:secret@proxy:1080", SOCKS),
        ("all_proxy", "socks5h://proxy:1080", SOCKS),
        ("HTTPS_PROXY", "socks4://proxy:1080", NO_SCHEME),
        ("https_proxy", "ftp://me:secret@proxy", NO_SCHEME),
        ("HTTPS_PROXY", "http://proxy:secret", NO_SCHEME),
        ("HTTPS_PROXY", "http://[::1", NO_SCHEME),
        ("HTTPS_PROXY", "http://", "it holds no address"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(
    variable: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert network_faults() == network_faults(FAR) == [unusable(variable, why)]
    assert network_faults(HERE) == []
    with pytest.raises(UserError) as raised, network_explained():
        raise ImportError("Using SOCKS proxy")
    assert raised.value.message == unusable(variable, why)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost", "served.localhost"])
def test_an_address_of_this_machine_has_no_proxy(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://proxy:1")
    assert proxy_of(f"http://{host}:8000/v1") is proxy_of(f"https://{host}/v1") is None


def test_the_proxy_of_an_address_is_the_one_of_its_scheme_unless_it_is_excepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert proxy_of(FAR) is None
    monkeypatch.setenv("ALL_PROXY", "all:1")
    monkeypatch.setenv("HTTP_PROXY", "socks5://of-no-matter:1")
    assert proxy_of(FAR) == ("ALL_PROXY", "http://all:1")
    assert network_faults(FAR) == []
    monkeypatch.setenv("HTTPS_PROXY", "https://upper:1")
    assert proxy_of(FAR) == ("HTTPS_PROXY", "https://upper:1")
    monkeypatch.setenv("https_proxy", "http://lower:1")
    assert proxy_of(FAR) == ("https_proxy", "http://lower:1")
    monkeypatch.setenv("NO_PROXY", "other.org, example.org")
    assert proxy_of(FAR) is None
    assert network_faults("http://api.example.org/v1") == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_certificates_that_is_none_is_named(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "certificates.pem"
    if content:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    why = "no certificate in it" if content else "No such file or directory"
    sentence = f"the environment variable SSL_CERT_FILE names no file of certificates ({why}); correct it, or unset it"
    assert network_faults(FAR) == network_faults(FAR.replace("https", "HTTPS")) == network_faults() == [sentence]
    assert network_faults(HERE) == []
    with pytest.raises(OSError, match="certificate" if content else "No such file"):
        async_client("HTTPS://served.example.org/v1", 1, 2**20, 1.0)


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(ImportError, match="another package"), network_explained():
        raise ImportError("another package")


@pytest.mark.parametrize(
    "address",
    [
        "s3://user:secret@bucket/path",
        "s3://user:sec/ret@bucket",
        "s3://user:sec@ret#?@bucket",
        "https://secret@host/v1",
        "http://me:secret@[::1]:8000/v1",
        "HTTPS://ME:SECRET@HOST",
        " ray://me:secret@host:1 ",
        "//me:secret@host",
        "https://host/v1?api-key=secret",
        "https://host/v1?a=b&X-Amz-Signature=secret",
        "https://host/v1?access_token=secret",
    ],
)
def test_an_address_with_a_password_or_a_key_is_told(address: str) -> None:
    assert holds_credentials(address)
    with pytest.raises(UserError) as raised:
        refuse_credentials("any", address)
    assert (
        raised.value.message.startswith("any holds a user, a password or a key") and "ecret" not in raised.value.message
    )


@pytest.mark.parametrize(
    "address",
    [
        FAR,
        HERE,
        "s3://bucket/path",
        "s3://bucket/a@b",
        "http://host:9000/a@b",
        "http://[::1]:8000/v1",
        "org/name",
        "a: b@c",
        "",
        "https://host/?page=2&keyless",
        "mail me: a@b.org",
        "see https://me@host",
    ],
)
def test_other_addresses_and_texts_are_none(address: str) -> None:
    assert not holds_credentials(address)


def test_the_hub_is_written_to_at_its_own_address_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real client of the hub's library, and two servers."""
    heard: dict[str, list[tuple[str, str, bytes]]] = {"hub": [], "other": []}

    class Hub(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            heard["hub"].append((self.command, self.path, body))
            away = self.path == "/away"
            self.send_response(307 if away or self.path == "/old" else 200)
            self.send_header("Location", f"{far}/stolen?key=secret" if away else "/new")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Other(Hub):
        def answer(self) -> None:
            heard["other"].append((self.command, self.path, b""))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = answer  # noqa: N815

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), each) for each in (Hub, Other)]
    for each in servers:
        threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    hub, far = (f"http://127.0.0.1:{each.server_address[1]}" for each in servers)
    stay_at_hub()
    try:
        session = huggingface_hub.get_session()
        assert session.post(f"{hub}/old", content=b"card").status_code == 200
        assert heard["hub"][-1] == ("POST", "/new", b"card")
        with pytest.raises(UserError) as raised:
            session.post(f"{hub}/away", content=b"card")
        assert raised.value.message.startswith(
            f"the hub at {hub} sends requests on to {far} (307), where nothing was sent"
        )
        assert heard["other"] == [] and "secret" not in raised.value.message
        assert session.get(f"{hub}/away").status_code == 200  # large files lie elsewhere
        assert heard["other"] == [("GET", "/stolen?key=secret", b"")]
    finally:
        huggingface_hub.set_client_factory(default_client_factory)
        for each in servers:
            each.shutdown()
            each.server_close()


def test_an_address_of_the_hub_with_a_password_is_refused_before_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://me:secret@hub.test")
    for refuse in (stay_at_hub, network_explained().__enter__):
        with pytest.raises(
            UserError, match=r"^the environment variable HF_ENDPOINT holds a user, a password or a key"
        ) as raised:
            refuse()
        assert "secret" not in raised.value.message
