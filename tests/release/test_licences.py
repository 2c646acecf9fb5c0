from typing import Any

import pytest
import yaml
from evaluated import averages, row
from repository import ROOT

from refuseu.base.settings import HubBase, TrainedBase
from refuseu.core.sections import load
from refuseu.release.cards import model_card
from refuseu.release.licences import Author, authors, common, notice
from refuseu.release.settings import Licensed, ReleaseParameters, Role, SetLicence
from refuseu.results.outputs import Evaluation, Mix

LLAMA, QWEN, UNKNOWN = (
    Licensed(repo=f"org/{name}", license=licence)
    for name, licence in (("llama", "llama3.1"), ("qwen", "apache-2.0"), ("unknown", None))
)
MODELS = {"base": LLAMA, "llama": LLAMA, "qwen": QWEN, "unknown": UNKNOWN, "served": Licensed(model="a-chat")}
HUB = HubBase(kind="hub")


@pytest.fixture(scope="module")
def miniature() -> ReleaseParameters:
    return load(ReleaseParameters, ROOT)


def of(miniature: ReleaseParameters, roles: dict[str, Role], **sections: Any) -> ReleaseParameters:
    """The miniature with other models, and with ``roles`` in place of its own."""
    answers = {key: roles.pop(key) for key in ("refuser", "rejected") if key in roles}
    respond = miniature.respond.model_copy(update=answers)
    return miniature.model_copy(update={"models": MODELS, "respond": respond, **roles, **sections})


def llm(*names: str) -> Role:
    return Role(kind="llm", model=names[0]) if len(names) == 1 else Role(kind="generator", models=list(names))


@pytest.mark.parametrize(
    ("licences", "tag"),
    [
        ([], "apache-2.0"),
        (["apache-2.0", "mit"], "apache-2.0"),
        (["llama3.1", "apache-2.0", "llama3.1"], "llama3.1"),
        (["llama3.1", "cc-by-nc-4.0"], "other"),
        (["apache-2.0", None], "other"),
    ],
)
def test_what_comes_under_several_licences(licences: list[str | None], tag: str) -> None:
    assert common(licences) == tag


def test_the_miniature_is_the_projects_own(miniature: ReleaseParameters) -> None:
    assert isinstance(miniature.base, TrainedBase)
    assert authors(miniature) == []
    assert not miniature.has_real_answers


def test_everybody_who_wrote_is_named_once_with_all_that_he_wrote(miniature: ReleaseParameters) -> None:
    config = of(
        miniature,
        {
            "mutator": llm("llama", "qwen"),
            "twin": Role(kind="none"),
            "translator": Role(kind="native"),
            "refuser": llm("llama"),
            "rejected": Role(kind="base"),
        },
        base=HUB,
    )
    assert authors(config) == [
        Author("`org/llama`", "llama3.1", ("questions", "refusals", "the other answers")),
        Author("`org/qwen`", "apache-2.0", ("questions",)),
    ]
    assert config.has_real_answers


def test_a_published_set_and_a_served_model_are_named(miniature: ReleaseParameters) -> None:
    published = Role(kind="published")
    config = of(
        miniature,
        {"mutator": published, "translator": published, "refuser": llm("served"), "rejected": published},
        published=SetLicence(source="org/set", license="llama3.1"),
    )
    assert authors(config) == [
        Author("the published set `org/set`", "llama3.1", ("questions", "translations", "the other answers")),
        Author("`a-chat`", None, ("refusals",)),
    ]
    assert config.has_real_answers


@pytest.mark.parametrize(("profile", "licence"), [("miniature", "apache-2.0"), ("smollm2", "apache-2.0")])
def test_the_project_ships_licences_that_hold(profile: str, licence: str, tmp_path: Any) -> None:
    (tmp_path / "profiles").symlink_to(ROOT / "profiles")
    text = (ROOT / "params.yaml").read_text().replace("profile: miniature", f"profile: {profile}")
    (tmp_path / "params.yaml").write_text(text)
    config = load(ReleaseParameters, tmp_path)
    assert common(author.licence for author in authors(config)) == licence
    assert config.has_real_answers is (profile != "miniature")


def test_built_with_llama_is_said_of_every_version_and_of_nothing_else() -> None:
    said = notice(["llama3.1", None, "apache-2.0", "llama3.3"])
    assert said.startswith("**Built with Llama.** Llama 3.1 is licensed under the Llama 3.1 Community License,")
    assert "Llama 3.3 is licensed" in said
    assert notice(["apache-2.0", None]) == ""


EVALUATION = Evaluation(
    {name: averages(1.0) for name in ("base", "english-only")},
    [row(name, "en", 1.0) for name in ("base", "english-only")],
)


@pytest.mark.parametrize(("writer", "shown"), [("llama", True), ("qwen", False)])
def test_a_model_that_learnt_from_a_llama_bears_its_name(
    writer: str, shown: bool, miniature: ReleaseParameters
) -> None:
    config = of(miniature, {"refuser": llm(writer)})
    card = model_card("english-only", config, Mix(rows=10, benign=2), EVALUATION)
    assert yaml.safe_load(card.split("---")[1])["license"] == ("llama3.1" if shown else "apache-2.0")
    assert ("\n# Llama RefusEU english-only\n\n**Built with Llama.**" in card) is shown
    assert ("\n# RefusEU english-only\n" in card) is not shown
