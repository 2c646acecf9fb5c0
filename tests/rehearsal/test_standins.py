"""What stands for models and a published set where neither can be had: every profile of ours can be read so, and the set too."""

import shutil
from pathlib import Path

import pytest
import yaml
from repository import ROOT

from refuseu.llm.settings import BASE
from refuseu.parameters import Parameters, load_all
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.plan.models import takes_published
from refuseu.real_model import set_values
from refuseu.rehearsal.shrink import sizes
from refuseu.rehearsal.standins import COMPLIER, PUBLISHED, played, repositories, write_published
from refuseu.sources.published import PublishedSet
from refuseu.store.rows import Store

PROFILES = sorted(path.stem for path in ROOT.glob("profiles/*.yaml"))


def rehearsed(name: str, folder: Path) -> Parameters:
    """The parameters that a rehearsal with random weights runs."""
    (folder / "profiles").mkdir()
    for file in ("params.yaml", "dvc.yaml", f"profiles/{name}.yaml"):
        shutil.copy2(ROOT / file, folder / file)
    profile = yaml.safe_load((ROOT / f"profiles/{name}.yaml").read_text(encoding="utf-8"))
    sized = sizes(load_all(ROOT, name), profile)
    set_values(folder, sized)
    changed = played(load_all(folder), profile, sized[f"profiles/{name}.yaml"], Path("weights"), Path("tests"))
    set_values(folder, changed)
    return load_all(folder)


@pytest.mark.parametrize("name", PROFILES)
def test_no_model_of_a_rehearsal_is_elsewhere(name: str, tmp_path: Path) -> None:
    p = rehearsed(name, tmp_path)
    local = {key: getattr(model, "repo", None) for key, model in p.models.items() if model.engine != "openai"}
    made = BASE in repositories(load_all(ROOT, name))
    assert local == {BASE: "./weights/base" if made else None}
    assert p.base.kind == ("hub" if made else "trained")
    assert p.rainbow_teaming.scorer.kind == "ngrams"
    # A base with random weights answers in no language, and no pair would be left to train on.
    assert not (made and p.respond.rejected.kind == "base")


def test_of_a_base_that_babbles_the_script_gives_the_rejected_answers(tmp_path: Path) -> None:
    p = rehearsed("paper-70b", tmp_path)
    assert p.respond.rejected.model_dump(include={"kind", "model"}) == {"kind": "llm", "model": COMPLIER}


def test_the_set_in_the_place_of_the_published_one_can_be_read(tmp_path: Path) -> None:
    p = rehearsed("published-8b", tmp_path)
    assert takes_published(p) and p.published.source == PUBLISHED
    books = load_phrasebooks(ROOT / "data/phrasebook", p.languages, p.categories, p.styles)
    write_published(p, books, tmp_path / "data" / PUBLISHED)
    found = PublishedSet(p.published, tmp_path / "data", p.languages, Store(Path(":memory:")))
    assert set(found.part_of.values()) == {"train", "dev"}
    assert {pair.lang for pair in found.pairs} == {each.lang for each in found.test} == set(p.languages)
    assert not {pair.text for pair in found.pairs} & {each.text for each in found.test}
    assert {pair.category for pair in found.pairs} == set(p.categories.values())
