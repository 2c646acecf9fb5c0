"""Addresses, and what the environment says of the way to them: proxies and certificates.

An address of this machine is never asked by a proxy.
"""

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit
from urllib.request import proxy_bypass

from refuseu.core.errors import UserError

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Client, Response

CERTIFICATES = "SSL_CERT_FILE"
HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")
"""What the name or the number of a host is made of."""
CREDENTIALS = re.compile(
    r"(?:[a-z][a-z0-9+.-]*:)?//(?:[^/?#\s]*@|[^/@\s]*:(?!\d+/)\S*@|\S*[?&;][^=&\s]*(?:key|token|secret|signature|password)[^=&\s]*=)",
    re.I,
)
"""An address with a user or a password before its host (a password may hold ``/``), or a key among what is asked of it."""
BY_ENVIRONMENT = (
    "holds a user, a password or a key, which would stand in files and logs; take it out, and give it by the environment "
    "(AWS_ACCESS_KEY_ID, OPENAI_API_KEY, HF_TOKEN …) or by ~/.aws"
)
"""What is said of an address that holds credentials, behind the name of its entry. The address itself is not shown."""
HUB = "HF_ENDPOINT"
EVERY = ("http", "https", "all")
"""Kinds of addresses that a variable, such as ``HTTPS_PROXY``, names a proxy for."""


class UntakenError(Exception):
    """The body of an answer is not taken. The message says why, as what follows "the answer", and holds no word of the body."""


def holds_credentials(text: str) -> bool:
    """Whether a text is an address with a user, a password or a key in it."""
    return CREDENTIALS.match(text.strip()) is not None


def refuse_credentials(entry: str, address: str) -> None:
    """Refuse an address, written with its scheme or without, that has a user, a password or a key in it.

    Raises:
        UserError: that names the ``entry`` and does not show the address.
    """
    if holds_credentials(address if "//" in address else f"//{address}"):
        raise UserError(f"{entry} {BY_ENVIRONMENT}")


class Proxy(NamedTuple):
    """A proxy that the environment names."""

    variable: str
    url: str
    """It may hold a password, so it is never shown."""

    def fault(self) -> str:
        """Why no client can use it; empty where one can."""
        from httpx2 import HTTPTransport, InvalidURL

        try:
            if not urlsplit(self.url).hostname:
                return "it holds no address"
            # Without certificates, which have a variable and a sentence of their own.
            HTTPTransport(proxy=self.url, verify=False).close()
        except ImportError:
            return "a SOCKS proxy takes the package socksio, which is not installed"
        except (ValueError, InvalidURL):
            return "it begins neither with http:// nor with https://, or is no address"
        return ""


def proxy_of(url: str) -> Proxy | None:
    """The proxy that the environment names for an address; ``NO_PROXY`` and addresses of this machine have none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    return named_proxy(parts.scheme) or named_proxy("all")


def network_faults(url: str | None = None) -> list[str]:
    """The variables of the environment that nothing can be asked with at an address, or at any, a sentence each."""
    proxies = [proxy_of(url)] if url else map(named_proxy, EVERY)
    found = [
        f"the environment variable {each.variable} names a proxy that cannot be used ({fault}); correct it, or unset it"
        for each in proxies
        if each and (fault := each.fault())
    ]
    return found + (_certificate_faults() if url is None or _is_encrypted(url) else [])


@contextmanager
def network_explained() -> Iterator[None]:
    """Turn what a client raises for a variable that it cannot use into a sentence that names the variable.

    Raises:
        UserError: where the work ended in an error and such a variable is set; before it, for the hub's address with a password.
    """
    refuse_credentials(f"the environment variable {HUB}", os.environ.get(HUB, ""))
    try:
        yield
    except Exception:
        for sentence in network_faults():
            raise UserError(sentence) from None
        raise


def async_client(url: str, connections: int, most: int, seconds: float) -> "AsyncClient":
    """A client for one server, with the proxy that ``proxy_of`` finds for it and no other; it is sent on to no other address.

    Of a body, be it an answer or an error, it takes at most ``most`` bytes and waits for its end ``seconds`` at most; beyond that
    it raises ``UntakenError`` and a timeout of httpx2.
    """
    from httpx2 import AsyncClient, Limits

    from refuseu.core.answers import BoundedTransport

    proxy = proxy_of(url)
    transport = BoundedTransport(
        most,
        seconds,
        # Certificates are read even where nothing is encrypted.
        verify=_is_encrypted(url),
        proxy=proxy.url if proxy else None,
        limits=Limits(max_connections=connections),
    )
    return AsyncClient(transport=transport, follow_redirects=False, headers={"Accept-Encoding": "gzip"})


def place_of(url: str, seen_from: str = "") -> str:
    """Scheme, host and port of an address: where it is, without what may be secret in it or stand for what was asked.

    ``seen_from`` is the address at which it was told, on which it may stand. Empty for what is no address.
    """
    try:
        parts = urlsplit(urljoin(seen_from, url))
        host, port = parts.hostname or "", parts.port
    except ValueError:  # brackets that do not close, a port that is no number
        return ""
    if not parts.scheme or not HOST.fullmatch(host):
        return ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"


def stay_at_hub() -> None:
    """From now on the library of the Hugging Face hub sends what it writes to the hub alone, and to no place that the hub names.

    What it reads may lie in such a place: the hub keeps large files elsewhere, and its library gives them no token.

    Raises:
        UserError: for an address of the hub (``HF_ENDPOINT``) with a password in it.
    """
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    refuse_credentials(f"the environment variable {HUB}", os.environ.get(HUB, ""))

    def client() -> "Client":
        made: Client = default_client_factory()
        made.event_hooks = {**made.event_hooks, "response": [*made.event_hooks["response"], _refuse_sending_on]}
        return made

    set_client_factory(client)


def _refuse_sending_on(response: "Response") -> None:
    if not response.has_redirect_location or response.request.method in ("GET", "HEAD"):
        return
    here, there = place_of(str(response.url)), place_of(response.headers["location"], str(response.url))
    if here != there:
        raise UserError(
            f"the hub at {here} sends requests on to {there or 'another address'} ({response.status_code}), where nothing was "
            f"sent; if that is your hub, name it by {HUB}"
        )


def named_proxy(scheme: str) -> Proxy | None:
    """The proxy that the environment names for ``http``, ``https`` or ``all`` addresses, whatever it makes exceptions of.

    Of the two spellings the lower one counts first, as everywhere; a proxy without a scheme is asked by HTTP.
    """
    for variable in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
        if value := os.environ.get(variable):
            return Proxy(variable, value if "://" in value else f"http://{value}")
    return None


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_encrypted(url: str) -> bool:
    """Whether the way to an address takes certificates, those of a proxy among them."""
    proxy = proxy_of(url)
    return any(urlsplit(each).scheme != "http" for each in (url, *([proxy.url] if proxy else [])))


def _certificate_faults() -> list[str]:
    path = os.environ.get(CERTIFICATES)
    try:
        ssl.create_default_context(cafile=path or None)
    except OSError as error:
        why = "no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
        return [
            f"the environment variable {CERTIFICATES} names no file of certificates ({why}); correct it, or unset it"
        ]
    return []
