"""What this machine has: packages, GPUs, servers that answer, models in the hub's cache. No model is loaded."""

import json
import os
import re
import shutil
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from refuseu.core.network import proxy_of

PATIENCE = 10.0
"""Seconds that a server may take to accept a connection."""
DRIVER_PATIENCE = 60.0
"""Seconds that ``nvidia-smi`` may take. A driver that hangs never answers, and one that wakes many GPUs takes some seconds."""
MEBIBYTE_GB = 2**20 / 1e9


LIMITS = tuple(map(Path, ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")))
"""Where Linux says how many bytes of memory a process may take, in two versions of cgroups; ``max`` is no limit."""


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU that this process may use."""

    memory_gb: float
    used_gb: float
    """By whomever, this moment."""
    driver: str
    """Version of the NVIDIA driver, as ``580.65.06``."""


def has_package(name: str) -> bool:
    return find_spec(name) is not None


def gpus() -> list[Gpu]:
    """The GPUs that ``nvidia-smi`` lists and ``CUDA_VISIBLE_DEVICES`` shows; empty without a GPU or a driver.

    A driver that does not answer within ``DRIVER_PATIENCE`` counts as none.
    """
    command = ["nvidia-smi", "--query-gpu=memory.total,memory.used,driver_version", "--format=csv,noheader,nounits"]
    if shutil.which(command[0]) is None:
        return []
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DRIVER_PATIENCE)
    except subprocess.TimeoutExpired:
        return []
    rows = re.findall(r"^(\d+), (\d+), (\d+[\d.]*)$", said.stdout, re.MULTILINE)
    found = [Gpu(int(total) * MEBIBYTE_GB, int(used) * MEBIBYTE_GB, driver) for total, used, driver in rows]
    return found if (shown := _shown()) is None else found[: len(shown)]


def gpu_names() -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` calls each of the GPUs of ``gpus``: a number from 0, or the name that it holds."""
    count = len(gpus())
    shown = _shown()
    return list(map(str, range(count))) if shown is None else shown[:count]


def _shown() -> list[str] | None:
    """The names in ``CUDA_VISIBLE_DEVICES``; ``None`` where it is not set."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return None if visible is None else [each.strip() for each in visible.split(",") if each.strip()]


def answers(url: str) -> bool:
    """Whether something listens at the host and port of a URL. Nothing is sent, and behind a proxy it cannot be told."""
    parts = urlsplit(url)
    if proxy_of(url):
        return True
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), PATIENCE).close()
    except (OSError, ValueError):
        return False
    return True


def offline() -> bool:
    """Whether the hub's library was told to stay off the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def cached(repo: str, revision: str | None) -> Path | None:
    """The folder of the hub's cache that holds all weights of a repository at a revision (``None``: the main branch)."""
    from huggingface_hub import try_to_load_from_cache

    def file(name: str) -> Path | None:
        path = try_to_load_from_cache(repo, name, revision=revision)
        return Path(path) if isinstance(path, str) else None

    index = file("model.safetensors.index.json")
    if index is None:
        whole = file("model.safetensors")
        return whole.parent if whole else None
    shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return index.parent if all(file(shard) for shard in shards) else None


def has_file(repo: str, file: str, revision: str | None) -> bool:
    """Whether the hub's cache holds a file of a repository at a revision (``None``: the main branch)."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repo, file, revision=revision), str)


def has_dataset(repo: str, revision: str) -> bool:
    """Whether the hub's cache holds something of a dataset at a commit."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder: str = repo_folder_name(repo_id=repo, repo_type="dataset")
    return (Path(constants.HF_HUB_CACHE) / folder / "snapshots" / revision).is_dir()


def memory_gb() -> float:
    """The memory of this machine, or the part of it that a container or a batch system leaves this process (Linux's cgroups)."""
    import psutil

    limits = [psutil.virtual_memory().total]
    for path in LIMITS:
        with suppress(OSError, ValueError):
            limits.append(int(path.read_text(encoding="ascii")))
    return float(min(limits) / 1e9)


def free_gb() -> float:
    """Free space on the disk of the hub's cache."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e9
