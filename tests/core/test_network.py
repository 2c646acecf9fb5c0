"""What the environment says of the network and no client can use is one sentence that names the variable."""

import os
from pathlib import Path

import pytest

from refuseu.core.errors import UserError
from refuseu.core.network import async_client, network_explained, network_faults, proxy_of

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
