"""Programs that stand for those of the system."""

from pathlib import Path


def program(path: Path, script: str) -> None:
    """Write a program of ``sh`` that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
