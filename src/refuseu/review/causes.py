"""Why Git or DVC failed, where the cause is known: what they say is long, and its last line is seldom the cause."""

import re
from pathlib import Path

from refuseu.core.files import MAKE_ROOM, conflict_line, parsed_json, parsed_yaml
from refuseu.core.locked import LOCK

CREDENTIALS = "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
HALF_WRITTEN = "{what} was left half written; delete it, it is of no further use"
CAUSES = {
    r"dubious ownership in repository at '(?P<what>[^']+)'": (
        "{what} belongs to another user, and Git reads it only when told to: 'git config --global --add safe.directory {what}'"
    ),
    r"Unable to acquire lock|is busy, it is being blocked by": (
        "another DVC works in this folder; wait until it ends, or stop it by Ctrl-C"
    ),
    r"Unable to read RWLock-file '(?P<what>[^']+)'": HALF_WRITTEN,
    r"'(?P<what>[^']+index\.lock)': File exists": (
        "{what}: another Git works here, or one was killed; wait until it ends, or delete this file if none runs"
    ),
    r"No space left on device|Disk quota exceeded": f"the disk is full; {MAKE_ROOM}",
    r"Unable to locate credentials|Partial credentials|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken": (
        f"the remote's credentials are missing or not valid; {CREDENTIALS}"
    ),
    r"AccessDenied|Access Denied|\b403\b.*Forbidden": f"the remote refuses these credentials; {CREDENTIALS}",
}
"""What stands in an error of Git or DVC, and what to say for it; ``{what}`` is the group of this name."""
FILES = (LOCK.name, "dvc.yaml", "params.yaml")
"""Files without which DVC cannot begin."""
RWLOCK = Path(".dvc/tmp/rwlock")
"""The file in which DVC notes which process works on which outputs."""


def known_cause(said: str) -> str | None:
    """The sentence for an error that is known, or ``None``. ``said`` is everything that Git or DVC printed."""
    for pattern, sentence in CAUSES.items():
        if found := re.search(pattern, said, re.DOTALL if "{what}" in sentence else 0):
            return sentence.format(**found.groupdict())
    return None


def broken_file(root: Path = Path()) -> str | None:
    """The sentence for the first file that DVC cannot begin with, or ``None``.

    That is one of ``FILES`` that is empty or holds the marks of a conflict, and ``dvc.lock`` or ``RWLOCK`` that a killed DVC left
    half written.
    """
    for name in FILES:
        path = root / name
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
        fault = None if text is None else _fault(text, name == LOCK.name)
        if fault:
            back = f"'git restore --source=HEAD --staged --worktree {name}' brings that of the last commit back"
            return f"{name}: {fault}; {back}"
    try:
        parsed_json((root / RWLOCK).read_text(encoding="utf-8"))
    except ValueError:
        return HALF_WRITTEN.format(what=RWLOCK)
    except OSError:
        pass
    return None


def _fault(text: str, is_lock: bool) -> str | None:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    if not text.strip():
        return "is empty"
    if line := conflict_line(text):
        return f"line {line} marks a conflict"
    cut_off = "is cut off or damaged, as by a DVC that was killed while it wrote"
    if is_lock and not text.endswith("\n"):  # the rest may be a whole file of YAML
        return cut_off
    try:
        # DVC takes the first line alone for a lock, of no stages.
        if is_lock and COMPILED_LOCKFILE_SCHEMA(parsed_yaml(text)).keys() == {"schema"}:
            return cut_off
    except (ValueError, Invalid):
        return cut_off
    return None
