from pathlib import Path

from refuseu.pipeline.staleness import PAGE, page, page_of, stages_by_file

ROOT = Path(__file__).parents[2]


def test_every_file_names_the_stages_that_depend_on_it() -> None:
    code = {"base": ["b.py", "a.py"], "eval": ["a.py"]}
    assert stages_by_file(code) == {"a.py": ["base", "eval"], "b.py": ["base"]}
    written = page(code, {"a.py": 10, "b.py": 5})
    assert "| base | 2 | 15 |\n| eval | 1 | 10 |" in written
    assert "| a.py | 10 | base, eval |\n| b.py | 5 | base |" in written


def test_the_page_is_what_make_staleness_writes() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page_of(ROOT)
