"""Readers of YAML and JSON, and writers that write a file completely or not at all."""

import errno
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from refuseu.core.errors import UnwritableError, UserError
from refuseu.core.network import BY_ENVIRONMENT, holds_credentials

Content = TypeVar("Content")

TOO_DEEP = "its brackets or lists are nested too deeply"
CONFLICT = re.compile(r"^(<<<<<<<|>>>>>>>) ", re.MULTILINE)


def kept_folder() -> Path:
    """``.cache/refuseu`` below the main repository's root, for what is kept between runs and is no output of DVC."""
    return Path(os.environ.get("DVC_ROOT", "."), ".cache", "refuseu")


def read_yaml(path: Path, way_out: str, texts: bool = False) -> Any:
    """The content of a YAML file, with the types that DVC reads. With ``texts`` every value is a text, also ``no`` and ``1984``,
    and all of them are in the form in which texts are compared (NFC).

    Raises:
        UserError: for a file that is missing or cannot be read (``way_out`` says what to do then), for one that is not YAML, for
            a key that stands twice in a mapping, and for an address with a password in it, except among texts.
    """
    try:
        content = path.read_text(encoding="utf-8")
        if texts:
            return parsed_yaml(unicodedata.normalize("NFC", content), texts)
        return without_credentials(parsed_yaml(content), path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {way_out}") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid YAML: {_conflict(path) or error}") from None


def parsed_yaml(text: str, texts: bool = False) -> Any:
    """The content of a text in YAML; ``texts`` as for ``read_yaml``.

    Raises:
        ValueError: for a text that is not YAML, with the line and the fault where the parser knows them.
    """
    try:
        return YAML(typ="base" if texts else "safe").load(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except YAMLError as error:
        raise ValueError(_place(error)) from None
    except (LookupError, TypeError, AttributeError) as error:
        # What a tag such as !!bool calls fails on a value that is none.
        raise ValueError(f"a value does not fit its tag ({error})") from None


def parsed_json(text: str | bytes) -> Any:
    """The content of a text in JSON.

    Raises:
        ValueError: for a text that is not JSON.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None


def without_credentials(content: Content, path: Path) -> Content:
    """``content`` of a file of settings, which is refused before a password in it can stand in an error, a log or a table.

    Raises:
        UserError: that names the entry and does not show it, and for content that holds itself.
    """
    try:
        for key, value in _leaves("", content):
            if isinstance(value, str) and holds_credentials(value):
                raise UserError(f"{path}: {key} {BY_ENVIRONMENT}")
    except RecursionError:
        raise UserError(f"{path}: not valid YAML: a part of it holds itself, by an anchor like &a [*a]") from None
    return content


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every value that holds no others, by its keys with dots between them."""
    if not isinstance(value, dict | list):
        yield key, value
        return
    for name, each in value.items() if isinstance(value, dict) else enumerate(value, 1):
        yield from _leaves(f"{key}.{name}" if key else str(name), each)


def conflict_line(text: str) -> int | None:
    """The first line, counted from 1, that is a mark of a conflict as Git writes it, or ``None``."""
    found = CONFLICT.search(text)
    return text.count("\n", 0, found.start()) + 1 if found else None


def _conflict(path: Path) -> str:
    line = conflict_line(path.read_text(encoding="utf-8", errors="replace"))
    return (
        f"line {line} marks a conflict; keep one of its sides, or take the merge back by 'git merge --abort'"
        if line
        else ""
    )


def _place(error: Exception) -> str:
    """The line and the fault where the parser knows them, and otherwise its whole message in one line."""
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else " ".join(str(error).split())


Row = dict[str, Any]
"""A row of a JSON file under ``metrics/`` or ``plots/``."""


def read_json(path: Path, way_out: str | None = None) -> Any:
    """The content of a JSON file that an earlier stage wrote. ``way_out`` says how to get it back, where that is not by Git.

    Raises:
        UserError: when the file is missing or is not JSON.
    """
    try:
        return parsed_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        brings = way_out or f"'git restore {path}' or 'dvc repro' brings it back"
        raise UserError(f"{path}: cannot be read as JSON ({error}); {brings}") from None


def write_json(content: Any, path: Path, digits: int = 4) -> None:
    """Write ``content`` as indented JSON in the order of its keys, with floats rounded to ``digits`` decimals.

    Raises:
        ValueError: for NaN and infinity, which do not exist in JSON.
    """
    exact = json.dumps(content, allow_nan=False)
    rounded = json.loads(exact, parse_float=lambda number: round(float(number), digits) + 0.0)
    write_text(json.dumps(rounded, indent=2, ensure_ascii=False) + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Write ``text`` as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_between(text: str, path: Path, begin: str, end: str) -> None:
    """Put ``text`` between the lines ``begin`` and ``end`` of a page; what people wrote around them stays.

    Raises:
        UserError: when the page lacks one of the two.
    """
    before, found, rest = path.read_text().partition(begin)
    _, last, after = rest.partition(end)
    if not (found and last):
        raise UserError(f"{path}: lacks the lines {begin!r} and {end!r}; 'git restore {path}' brings them back")
    write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", path)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, which is renamed to ``path`` at the end.

    Raises:
        UnwritableError: when the place cannot be written. What was there before is there still.
    """
    temporary = _beside(path)
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``folder``, whose files are moved into ``folder`` at the end.

    Raises:
        UnwritableError: when the place cannot be written. What was there before is there still.
    """
    temporary = _beside(folder)
    with writing(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            yield temporary
            folder.mkdir(exist_ok=True)
            for file in sorted(temporary.iterdir()):
                file.replace(folder / file.name)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _beside(path: Path) -> Path:
    """A name that DVC and Git ignore, since a process that is killed leaves it behind."""
    return path.with_name(f".{path.name}.tmp")


MAKE_ROOM = "make room there ('df -h' and 'df -i' show how much it has)"
LET_WRITE = "let it be written by this user, or take a clone in another place"
WAYS_OUT = {
    errno.ENOSPC: MAKE_ROOM,
    errno.EDQUOT: MAKE_ROOM,
    errno.EFBIG: "raise the limit on the size of a file ('ulimit -f unlimited')",
    errno.EACCES: LET_WRITE,
    errno.EPERM: LET_WRITE,
    errno.EROFS: LET_WRITE,
}
"""What to do about the errors of the system that a writer meets."""
IN_THE_WAY = {errno.EEXIST, errno.EISDIR, errno.ENOTDIR}
"""The system's errors for a file where a folder is wanted, and for a folder where a file is wanted."""
OF_RUST = re.compile(r"\(os error (\d+)\)")
"""How safetensors and tokenizers show the system's number of an error, for which they raise no ``OSError``."""
OF_TORCH = re.compile(r"inline_container\.cc|PytorchStreamWriter")
"""What stands in every error of the writer of ``torch.save``, which does not know the system's number."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the error of a library that cannot write ``path``, or something below it, into one sentence.

    Raises:
        UnwritableError: for every error of the system, whatever the library made of it.
    """
    try:
        yield
    except Exception as error:
        found = _of_system(error)
        if found is None:
            raise
        number, said = found
        way_out = WAYS_OUT.get(number, "see whether the disk is there, has room and may be written")
        if number in IN_THE_WAY:
            way_out = f"move away {next((each for each in path.parents if each.is_file()), path)}"
        raise UnwritableError(f"{path}: cannot be written ({said}); {way_out}") from None


def _of_system(error: BaseException | None) -> tuple[int, str] | None:
    """The system's error that ``error`` is, or that it was raised for: its number (0 where unknown), and its words."""
    while error is not None:
        if isinstance(error, UserError):
            return None
        if isinstance(error, OSError):
            return error.errno or 0, error.strerror or str(error)
        if of_rust := OF_RUST.search(str(error)):
            return int(of_rust[1]), os.strerror(int(of_rust[1]))
        if OF_TORCH.search(str(error)):
            return 0, "its end was not reached"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None
