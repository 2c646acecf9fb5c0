"""Where the repository lies, and what tests must not take from where they are started."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent


def forget_the_caller() -> None:
    """A test that runs make or git runs it as a person does: also below ``make test``, and also below a Git hook, whose
    ``GIT_DIR`` would have ``git init`` write into the repository that the hook belongs to."""
    for name in list(os.environ):
        if name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL") or name.startswith("GIT_"):
            del os.environ[name]
