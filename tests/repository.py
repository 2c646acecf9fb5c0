"""Where the repository lies, and what tests must not take from where they are started."""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent


def forget_the_caller() -> None:
    """A test that runs make or git runs it as a person does: also below ``make test``, and also below a Git hook, whose
    ``GIT_DIR`` would have ``git init`` write into the repository that the hook belongs to."""
    for name in list(os.environ):
        if name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL") or name.startswith("GIT_"):
            del os.environ[name]


PARTS = (
    "src",
    "stages",
    "profiles",
    "machines",
    "boards",
    "data/base",
    "data/fluency",
    "data/audit",
    "data/paper",
    "data/phrasebook",
    "data/prompts",
    "data/published",
    "data/refusals",
    "data/seeds",
    "data/sets",
    "docs/examples",
    "tests",
    "dvc.yaml",
    "params.yaml",
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
    ".dvcignore",
    ".gitignore",
)
"""Files and folders that a run of the pipeline needs, and its tests."""


def copy_parts(folder: Path) -> None:
    """Copy ``PARTS`` of the repository, as they are in the work tree."""
    for name in PARTS:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, target)
