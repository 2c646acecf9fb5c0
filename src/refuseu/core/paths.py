"""Where a file may lie whose name stands in parameters or in another file: in its folder, as it is written and behind links.

What lies elsewhere is neither tracked nor hashed, so nobody would see that a result was made with it.
"""

import re
from pathlib import Path, PurePosixPath

from refuseu.core.errors import UserError

OF_CACHE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
"""How DVC names a file in its cache, to which it may link what it tracks."""


def leads_out(name: str) -> bool:
    """Whether a name is no path below a folder, as it is written: it is absolute, climbs by ``..``, or is no name at all."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or not name.strip() or "\0" in name or "\\" in name


def inside(folder: Path, name: str, entry: str) -> Path:
    """The path of the file or folder ``name`` in ``folder``, whether or not it is there; ``entry`` is where the name stands.

    Raises:
        UserError: for a name that leads out of the folder (``..``, ``/``, a link), and for one that no file has.
    """
    path = folder / name
    if leads_out(name):
        raise UserError(f"{entry}: {name!r} leads out of {folder}, where nothing tracks it; bring the file there")
    try:
        there = path.resolve()
        linked = not there.is_relative_to(folder.resolve()) and not OF_CACHE.search(there.as_posix())
    except (OSError, RuntimeError):  # a circle of links, a name that is too long
        linked = True
    if linked:
        raise UserError(
            f"{entry}: {str(path)!r} is a link out of {folder}, where nothing tracks it; bring the file there"
        )
    return path
