"""Sets the S3 remote: ``make remote URL=s3://bucket/path [ENDPOINT=http://host:9000]``.

Only the address is written into ``.dvc/config``, and it holds no credentials: they stay where boto3 looks for them (the
environment, ~/.aws). Other
settings of the remote stay as they are, and an empty ``ENDPOINT=`` returns to Amazon's own.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import click

from refuseu.core.errors import UserError
from refuseu.core.network import BY_ENVIRONMENT, holds_credentials, is_loopback, named_proxy, refuse_credentials
from refuseu.core.terminal import say, tolerate_encodings

REMOTE = "storage"
AMAZON = "https://s3.amazonaws.com"
CERTIFICATES = "AWS_CA_BUNDLE"
SECRET = ("access_key_id", "secret_access_key", "session_token", "sse_customer_key")
"""Settings whose values are not shown."""


def set_remote(url: str, endpoint: str | None) -> None:
    """Write the address into ``.dvc/config`` and make this remote the default one.

    An ``endpoint`` of ``None`` leaves the endpoint as it is, and an empty one removes it.

    Raises:
        UserError: outside a DVC project, or when DVC rejects the settings; nothing is written then.
    """
    from dvc.config import Config, ConfigError

    try:
        with Config.from_cwd().edit("repo") as settings:
            remote = settings["remote"].setdefault(REMOTE, {})
            remote["url"] = url
            if endpoint:
                remote["endpointurl"] = endpoint
            elif endpoint is not None:
                remote.pop("endpointurl", None)
            settings["core"]["remote"] = REMOTE
    except ConfigError as error:
        raise UserError(f"remote: .dvc/config stays as it was ({error}); mend that setting, or remove it") from None


def settings_in_force() -> dict[str, str]:
    """The settings of the remote by all of DVC's configurations together; ``default remote`` names the remote that is used."""
    from dvc.config import Config

    # Not validated, because validation adds defaults that nobody has set.
    settings = Config.from_cwd(validate=False)
    return {"default remote": settings["core"]["remote"], **settings["remote"][REMOTE]}


def obstacles(address: str) -> Iterator[str]:
    """What of the environment keeps DVC from an S3 server, a sentence each, since DVC itself calls it an unexpected error.

    DVC's client asks servers of this machine by a proxy as well, does not read ``ALL_PROXY``, and has a variable of its own for
    certificates.
    """
    parts = urlsplit(address)
    host = parts.hostname or ""
    proxy = None if proxy_bypass(host) else named_proxy(parts.scheme)
    if proxy and (fault := proxy.fault()):
        yield f"{proxy.variable} names a proxy that cannot be used ({fault}); correct it, or unset it"
    elif proxy and is_loopback(host):
        yield f"DVC asks {host} by the proxy of {proxy.variable}, though it is this machine; add it to NO_PROXY"
    certificates = os.environ.get(CERTIFICATES)
    if certificates and not Path(certificates).exists():
        yield f"{CERTIFICATES} names no file of certificates; correct it, or unset it"


@click.command(help=__doc__)
@click.argument("url")
@click.option("--endpoint", help="Of a server that speaks S3 but is not Amazon's; empty: none.")
def main(url: str, endpoint: str | None) -> None:
    tolerate_encodings()
    refuse_credentials("remote: the URL", url)
    refuse_credentials("remote: the endpoint", endpoint or "")
    if not url.startswith("s3://") or not url.removeprefix("s3://").strip("/"):
        raise UserError(f"remote: {url!r} is no S3 address; give s3://bucket/path")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise UserError(f"remote: the endpoint {endpoint!r} starts with neither http:// nor https://; give it with one")
    set_remote(url, endpoint)
    held = settings_in_force()
    shown = {key: "(not shown)" if key in SECRET or holds_credentials(value) else value for key, value in held.items()}
    say(f"remote {REMOTE}: {', '.join(f'{key} {value}' for key, value in shown.items())}")
    wanted = {"default remote": REMOTE, "url": url} | ({} if endpoint is None else {"endpointurl": endpoint or None})
    for key, value in wanted.items():
        if held.get(key) != value:
            say(f"but DVC follows .dvc/config.local or your own configuration: {key} {shown.get(key)}")
    for key, value in held.items():
        if holds_credentials(value):
            say(f"but {key} of DVC's configuration {BY_ENVIRONMENT}")
    for sentence in obstacles(held.get("endpointurl") or AMAZON):
        say(f"but {sentence}")


if __name__ == "__main__":
    main()
