"""A name leads to a file in its folder, or is refused."""

import re
from pathlib import Path

import pytest

from refuseu.core.errors import UserError
from refuseu.core.paths import inside, leads_out


@pytest.mark.parametrize(
    "name", ["../x.csv", "a/../../x.csv", "/etc/hosts", "..", "", " ", "a\0b", "..\\x.csv", "a/../b"]
)
def test_a_name_that_leads_out_is_refused(name: str, tmp_path: Path) -> None:
    assert leads_out(name)
    with pytest.raises(UserError, match=r"^eval: source: .* leads out of .*; bring the file there$"):
        inside(tmp_path, name, "eval: source")


@pytest.mark.parametrize("name", ["x.csv", "a/x.csv", "./x.csv", "..x.csv", "a..b/x.csv", "org/name"])
def test_a_name_in_the_folder_is_taken_whether_or_not_it_is_there(name: str, tmp_path: Path) -> None:
    assert inside(tmp_path, name, "any") == tmp_path / name


def test_links_are_followed_to_where_they_end(tmp_path: Path) -> None:
    folder, outside = tmp_path / "sets", tmp_path / "outside"
    for each in (folder, outside):
        each.mkdir()
        (each / "x.csv").write_text("text\n")
    (folder / "own.csv").symlink_to("x.csv")
    assert inside(folder, "own.csv", "any").read_text() == "text\n"
    (folder / "out.csv").symlink_to("../outside/x.csv")
    (folder / "all").symlink_to(outside)
    (folder / "gone.csv").symlink_to(tmp_path / "gone.csv")
    (folder / "round.csv").symlink_to("round.csv")
    for name in ("out.csv", "all/x.csv", "gone.csv", "round.csv"):
        with pytest.raises(UserError, match=re.escape(f"any: '{folder / name}' is a link out of {folder}")):
            inside(folder, name, "any")
    (tmp_path / "link").symlink_to(folder)
    assert inside(tmp_path / "link", "x.csv", "any").read_text() == "text\n"


def test_a_link_into_the_cache_of_dvc_is_a_tracked_file(tmp_path: Path) -> None:
    kept = tmp_path / "cache/files/md5/0a" / ("b" * 30)
    kept.parent.mkdir(parents=True)
    kept.write_text("kept")
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets/x.csv").symlink_to(kept)
    assert inside(tmp_path / "sets", "x.csv", "any").read_text() == "kept"
