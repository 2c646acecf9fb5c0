import shutil
from datetime import date
from pathlib import Path

import pytest
import yaml
from parameter_files import Content, Edit, write
from pydantic import ValidationError
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.core.sections import load
from refuseu.label.settings import LabelParameters
from refuseu.parameters import Parameters, load_all

PROFILES = sorted(str(path.relative_to(ROOT / "profiles").with_suffix("")) for path in ROOT.glob("profiles/**/*.yaml"))

GENERATOR = {
    "kind": "generator",
    "models": ["base"],
    "questions_per_slot": 2,
    "max_new_tokens": 8,
    "temperature": 0.7,
}


def message_of(root: Path) -> str:
    with pytest.raises(UserError) as error:
        load_all(root)
    assert error.value.exit_code == 1
    return error.value.message


def test_there_are_profiles() -> None:
    assert {"miniature", "smoke"} <= set(PROFILES)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_is_in_order(profile: str, tmp_path: Path) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**params, "profile": profile}), encoding="utf-8")
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    assert load_all(tmp_path).profile == profile


def test_a_model_of_others_may_be_called_model(tmp_path: Path) -> None:
    root = write(tmp_path, lambda params, _: params["eval"].update(models={"model": {"folder": "/a/folder"}}))
    assert load_all(root).eval.models["model"].folder == "/a/folder"


def test_nobody_need_write_twins(tmp_path: Path) -> None:
    root = write(tmp_path, lambda _, profile: profile["rainbow-teaming"].update(twin={"kind": "none"}))
    assert load_all(root).rainbow_teaming.twin.kind == "none"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda _, profile: profile["split"].update(tset=1), "split.tset: unknown key"),
        (lambda params, _: params.update(seed=2**32), "seed: must be less than 4294967296"),
        (
            lambda params, _: params["styles"].update(plain="Plain"),
            "styles.plain: is the name of asking without a style",
        ),
        (
            lambda params, _: params["train"]["configs"].update(custom=None),
            "train.configs.custom: must be a mapping of keys to values, was read as nothing",
        ),
        (
            lambda _, profile: profile["base"].update(heads=5),
            " base: hidden_size 64 must be a multiple of twice the heads",
        ),
        (lambda _, profile: profile["base"].update(batch_size=30), "base.batch_size: must be a multiple of 4"),
        (lambda params, _: params["report"].update(dpi=100000), "report.dpi: must be less than"),
        (lambda params, _: params.update(tset=1), "tset: unknown key"),
        (
            lambda params, _: params["eval"].update(models={"mine": {"model": "nobody"}}),
            "eval.models.mine.model: 'nobody' is none of models, which are",
        ),
        *(
            (
                lambda _, profile, repo=repo: profile["models"]["base"].update(revision="c0ffee", **repo),
                "models.base: revision: only a repo of the hub has one; take it out",
            )
            for repo in ({}, {"repo": "./a"}, {"repo": "/a"})
        ),
        (
            lambda params, _: params["eval"].update(models={"balanced": {"folder": "/a"}}),
            "eval: models.balanced: is the name of one of our own models; take another",
        ),
        (
            lambda params, _: params["eval"].update(
                sets={"My set": {"source": "a.csv", "text": "t", "every_lang": "en"}}
            ),
            "eval: sets: 'My set' is no name; use a-z, 0-9 and '-'",
        ),
        (
            lambda params, _: params["eval"].update(
                sets={"mine": {"source": "a.csv", "text": "t", "every_lang": "xx"}}
            ),
            "eval.sets.mine.every_lang: unknown language 'xx'",
        ),
        (
            lambda params, _: params["eval"].update(
                sets={"mine": {"source": "org/set", "revision": "main", "text": "t", "every_lang": "en"}}
            ),
            "eval.sets.mine.revision: must be a commit, 40 hexadecimal digits: a branch or a tag may hold other data tomorrow",
        ),
        (lambda _, profile: profile.pop("split"), "split: missing"),
        (lambda _, profile: profile.pop("dpo"), "dpo: missing"),
        (lambda _, profile: profile["split"].update(test_per_cell=-1), "split.test_per_cell: must be greater"),
        (lambda _, profile: profile["split"].update(near_duplicate=1.0), "split.near_duplicate: must be less"),
        (lambda _, profile: profile["dpo"].update(steps=0), "dpo.steps: must be greater than 0"),
        (
            lambda _, profile: profile["dpo"].update(learning_rate=float("inf")),
            "dpo.learning_rate: must be a fin",
        ),
        (
            lambda params, _: params["train"].update(benign_share=0.6),
            "train.benign_share: must be less than or",
        ),
        (lambda params, _: params["rainbow-teaming"].update(max_bleu=1.0), "rainbow-teaming.max_bleu: must be"),
        (lambda params, _: params["languages"].append("xx"), "unknown language 'xx'; known are en, de, fr"),
        (lambda params, _: params["languages"].append("en"), "languages: 'en' stands twice"),
        (lambda params, _: params["languages"].remove("en"), "languages: must hold en"),
        (
            lambda params, _: params["languages"].remove("lv"),
            "train.single: 'lv' is not in languages; add it there, or take it out here",
        ),
        (
            lambda params, _: params["train"]["configs"].update({"only-de": {"languages": ["de"]}}),
            "train.configs.only-de: names that begin with 'only-' are those of train.single; write the language there, or",
        ),
        (lambda params, _: params["train"]["single"].append("de"), "train.single: 'de' stands twice"),
        (lambda params, _: params["train"]["seeds"].append(1), "train.seeds: 1 stands twice"),
        (lambda params, _: params["train"].update(seeds=[]), "train.seeds: needs at least 1"),
        (lambda params, _: params["train"].update(seeds=[-1]), "train.seeds: entry 1: must be"),
        (lambda params, _: params["train"].update(seeds=0), "train.seeds: must be a list"),
        (
            lambda params, _: params["eval"].update(models={"only-de": {"folder": "/a"}}),
            "eval: models.only-de: is the name of one of our own models; take another",
        ),
        (
            lambda params, _: params["train"].update(languages=["tr"]),
            "train.languages: entry 1: unknown language",
        ),
        (
            lambda params, _: params["train"]["configs"].update(none={"languages": ["de"], "without": ["de"]}),
            "train.configs.none: no language is left",
        ),
        (lambda params, _: params["train"].update(configs={}), "train.configs: needs at least 1"),
        (
            lambda params, _: params["eval"].update(reference="nope"),
            "eval.reference: 'nope' is not one of train.configs",
        ),
        (
            lambda params, _: params["report"]["benign_pairs"].update(without_pairs="nope"),
            "report.benign_pairs.without_pairs: 'nope' is not one of train.configs; name one, or write null",
        ),
        (
            lambda _, profile: profile["label"].update(adjudicator={"kind": "lexicon"}),
            "label: adjudicator: must differ from all judges",
        ),
        (
            lambda _, profile: profile["label"].update(judges={"nearest": {"kind": "lexicon"}}),
            "label: judges.nearest: is the adjudicator's name in tables; take another",
        ),
        (lambda _, profile: profile["label"].update(judges={}), "label.judges: needs at least 1"),
        (
            lambda _, profile: profile["label"].update(judges=["lexicon", "ngrams"]),
            "label.judges: must be a mapping of keys to values, was read as a list; write its keys below its name",
        ),
        (
            lambda _, profile: profile["label"]["judges"].update(lexicon={"kind": "oracle"}),
            "label.judges.lexicon: kind 'oracle' is none of lexicon, ngrams, nearest, phrases, llama-guard-3, ",
        ),
        (lambda _, profile: profile["label"]["judges"].update(lexicon={}), "label.judges.lexicon: kind is missing"),
        (
            lambda _, profile: profile["rainbow-teaming"].update(mutator={"kind": "none"}),
            "rainbow-teaming.mutator: kind 'none' is none of phrasebook, llm, generator, published",
        ),
        (
            lambda _, profile: profile["rainbow-teaming"].update(twin={"kind": "ngrams"}),
            "rainbow-teaming.twin: kind 'ngrams' is none of phrasebook, llm, none",
        ),
        (
            lambda _, profile: profile["rainbow-teaming"].update(preference={"kind": "llm", "model": "x"}),
            "rainbow-teaming.preference.max_new_tokens: missing",
        ),
        (
            lambda _, profile: profile["respond"].update(
                refuser={"kind": "llm", "model": "x", "max_new_tokens": 1, "temperature": -0.1}
            ),
            "respond.refuser.temperature: must be greater than or equal to 0",
        ),
        (
            lambda _, profile: profile["translate"].update(
                translator={"kind": "llm", "model": "x", "max_new_tokens": 1, "top_p": 1.1}
            ),
            "translate.translator.top_p: must be less than or equal to 1",
        ),
        (
            lambda _, profile: profile["rainbow-teaming"].update(mutator={"kind": "published"}),
            "rainbow-teaming: twin: must be none, since twins are written for the questions of a search alone",
        ),
        (
            lambda _, profile: profile["translate"].update(translator={"kind": "published"}),
            "translate.translator: cannot be published where rainbow-teaming.mutator is not; let both be of the kind published",
        ),
        (
            lambda _, profile: profile["rainbow-teaming"].update(mutator=GENERATOR),
            "rainbow-teaming: twin: must be none, since twins are written for the questions of a search alone",
        ),
        (
            lambda _, profile: profile["rainbow-teaming"].update(mutator={**GENERATOR, "temperature": 0.0}),
            "rainbow-teaming.mutator: temperature: must be above 0 where a model writes several questions for a slot",
        ),
        (
            lambda _, profile: profile["rainbow-teaming"].update(mutator={**GENERATOR, "models": ["base", "base"]}),
            "rainbow-teaming.mutator.models: 'base' stands twice",
        ),
        (
            lambda _, profile: (
                profile["rainbow-teaming"].update(
                    mutator={**GENERATOR, "models": ["base", "nobody"]}, twin={"kind": "none"}
                )
                or profile["translate"].update(translator={"kind": "native"})
            ),
            "rainbow-teaming.mutator.models: 'nobody' is none of models, which are base",
        ),
        (
            lambda _, profile: profile["rainbow-teaming"].update(mutator=GENERATOR, twin={"kind": "none"}),
            "translate.translator: must be native, since a generator writes questions in each language",
        ),
        (
            lambda _, profile: profile["translate"].update(translator={"kind": "native"}),
            "translate.translator: cannot be native where rainbow-teaming.mutator is no generator; its questions are in English",
        ),
        (
            lambda _, profile: profile["respond"].update(rejected={"kind": "published"}),
            "respond: cannot be published where translate.translator is not; let both be of the kind published",
        ),
        (
            lambda _, profile: profile["split"].update(assignment="published"),
            "split.assignment: cannot be published where rainbow-teaming.mutator is not; let both be of the kind published",
        ),
        (lambda _, profile: profile.pop("models"), "models: missing"),
        (
            lambda _, profile: profile["models"].update(base={"engine": "guess"}),
            "models.base: engine 'guess' is none of transformers, vllm, openai",
        ),
        (lambda _, profile: profile["models"].update(base={"dtype": "float64"}), "models.base: engine is missing"),
        (
            lambda _, profile: profile["models"]["base"].update(dtype="int8"),
            "models.base.dtype: must be 'float64', 'float32', 'bfloat16' or 'float16'",
        ),
        (
            lambda _, profile: profile["models"].update(judge={"engine": "openai", "model": "x", "repo": "org/name"}),
            "models.judge.repo: unknown key",
        ),
        (
            lambda _, profile: profile["base"].update(kind="found"),
            "base: kind 'found' is none of trained, hub, gguf",
        ),
        (lambda _, profile: profile.update(base={"kind": "hub", "steps": 1}), "base.steps: unknown key"),
        (
            lambda params, _: params.update(train=3),
            "train: must be a mapping of keys to values, was read as the number 3; write its keys below its name",
        ),
        (
            lambda _, profile: profile["rainbow-teaming"].update(twin={"kind": "phrasebook", "model": "x"}),
            "profiles/smoke.yaml: rainbow-teaming.twin.model: unknown key",
        ),
        (lambda params, _: params["label"].update(question="most"), "label.question: must be 'all' or 'any'"),
        (
            lambda params, _: params["languages"].append(date(2020, 1, 1)),
            "languages: entry 13: must be a text, was read as the date 2020-01-01; write it in quotes",
        ),
        (
            lambda params, _: params["categories"].update(S1=12),
            "categories.S1: must be a text, was read as the number 12; write it in quotes",
        ),
        (
            lambda params, _: params["styles"].update({1984: "Orwell"}),
            "styles.1984: its name must be a text, was read as the number 1984; write it in quotes",
        ),
        (
            lambda params, _: params["train"].update({3: 4}),
            "train.3: its name must be a text, was read as the number 3; write it in quotes",
        ),
        (
            lambda params, _: params["train"].update(languages="de"),
            "train.languages: must be a list, was read as the text 'de'; write it like [a, b]",
        ),
        (
            lambda params, _: params.update(seed=True),
            "seed: must be a whole number, was read as the truth value true; write it in digits, like 12",
        ),
        (
            lambda _, profile: profile["dpo"].update(steps="yes"),
            "dpo.steps: must be a whole number, was read as the text 'yes'; write it in digits, like 12",
        ),
        (
            lambda _, profile: profile["dpo"].update(learning_rate="high"),
            "dpo.learning_rate: must be a number, was read as the text 'high'; write it in digits, like 0.5",
        ),
        (
            lambda _, profile: profile["translate"].update(min_chrf=None),
            "translate.min_chrf: must be a number, was read as nothing; write it in digits, like 0.5",
        ),
    ],
)
def test_a_wrong_value_names_files_and_key(edit: Edit, expected: str, tmp_path: Path) -> None:
    message = message_of(write(tmp_path, edit))
    assert message.startswith(("params.yaml: ", "profiles/smoke.yaml: ", "params.yaml or profiles/smoke.yaml: "))
    assert expected in message


@pytest.mark.parametrize(
    ("section", "name", "allowed", "refused"),
    [
        ("base", "vocabulary", 300, 299),
        ("base", "batch_size", 4, 6),
        ("base", "learning_rate", 1e-9, 0.0),
        ("rainbow-teaming", "max_bleu", 0.0, -0.001),
        ("rainbow-teaming", "temperature", 1e-9, 0.0),
        ("translate", "min_chrf", 100.0, 100.001),
        ("split", "test_per_cell", 1, 0),
        ("split", "dev_per_category", 0, -1),
        ("split", "near_duplicate", 0.999, 1.0),
        ("train", "benign_share", 0.5, 0.501),
        ("dpo", "warmup", 0.0, 1.0),
        ("dpo", "sft_weight", 0.0, -0.001),
        ("dpo", "max_dropped", 1.0, 1.001),
        ("eval", "confidence", 0.999, 1.0),
        ("eval", "max_unparsed", 1.0, 1.001),
        ("report", "dpi", 20, 19),
        ("report", "dpi", 1200, 1201),
    ],
)
def test_the_last_value_that_is_allowed_and_the_first_that_is_not(
    section: str, name: str, allowed: float, refused: float, tmp_path: Path
) -> None:
    def setting(value: float) -> Edit:
        def edit(params: Content, profile: Content) -> None:
            (params if name in params.get(section, {}) else profile)[section][name] = value

        return edit

    for folder in ("allowed", "refused"):
        (tmp_path / folder).mkdir()
    load_all(write(tmp_path / "allowed", setting(allowed)))
    assert f"{section}.{name}: " in message_of(write(tmp_path / "refused", setting(refused)))


LLM = {"kind": "llm", "model": "absent", "max_new_tokens": 1}
GUARD = {"kind": "llama-guard-3", "model": "absent"}


@pytest.mark.parametrize(
    ("section", "part", "value"),
    [
        ("rainbow-teaming", "mutator", LLM),
        ("rainbow-teaming", "twin", LLM),
        ("rainbow-teaming", "scorer", GUARD),
        ("rainbow-teaming", "preference", LLM),
        ("translate", "translator", LLM),
        ("translate", "translator", {"kind": "seq2seq", "model": "absent", "max_tokens": 1}),
        ("respond", "refuser", LLM),
        ("label", "judges.guard", GUARD),
        ("label", "adjudicator", {"kind": "chat", "model": "absent"}),
    ],
)
def test_a_part_of_an_unknown_model_is_named_with_those_there_are(
    section: str, part: str, value: Content, tmp_path: Path
) -> None:
    def edit(params: Content, profile: Content) -> None:
        *above, last = part.split(".")
        place = profile[section]
        for name in above:
            place = place[name]
        place[last] = value
        profile["models"]["other"] = {"engine": "openai", "model": "x"}

    assert message_of(write(tmp_path, edit)) == (
        f"params.yaml or profiles/smoke.yaml: {section}.{part}.model: 'absent' is none of models, which are base, other"
    )


def test_every_part_that_a_model_plays_is_known(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        profile["models"]["absent"] = {"engine": "openai", "model": "x"}
        profile["respond"]["refuser"] = LLM
        profile["label"]["judges"] = {"model": GUARD, "words": {"kind": "lexicon"}}

    assert dict(load_all(write(tmp_path, edit)).played()) == {
        "respond.refuser.model": "absent",
        "label.judges.model.model": "absent",
    }


@pytest.mark.parametrize("repo", [{}, {"repo": ""}])
def test_a_base_of_the_hub_needs_a_repository(repo: Content, tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        profile["models"]["base"] = {"engine": "transformers", "dtype": "float32", **repo}
        profile["base"] = {"kind": "hub"}

    assert message_of(write(tmp_path, edit)) == (
        "params.yaml or profiles/smoke.yaml: models.base.repo: missing; "
        "a base of kind hub is the model of this repository"
    )


def test_a_base_that_is_served_cannot_be_trained_further(tmp_path: Path) -> None:
    served = {"engine": "openai", "model": "x"}
    assert message_of(write(tmp_path, lambda _, profile: profile["models"].update(base=served))) == (
        "params.yaml or profiles/smoke.yaml: models.base: must be a model with weights, for it is trained further; "
        "not engine openai"
    )


def test_without_a_base_among_the_models_nobody_knows_what_runs_it(tmp_path: Path) -> None:
    assert message_of(write(tmp_path, lambda _, profile: profile.update(models={}))) == (
        "params.yaml or profiles/smoke.yaml: models.base: missing; "
        "it says what runs the un-aligned model, and in which numbers"
    )


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    message = message_of(write(tmp_path, lambda _, profile: profile["split"].update(one=1, two=2)))
    assert "split.one: unknown key; split.two: unknown key" in message


@pytest.mark.parametrize("key", ["sk-abc123", " SERVICE_KEY_abc123", 123123, ["sk-abc123"]])
def test_a_key_that_stands_in_a_profile_is_refused_and_not_shown(key: object, tmp_path: Path) -> None:
    served = {"engine": "openai", "model": "a-model", "key": key}
    message = message_of(write(tmp_path, lambda _, profile: profile["models"].update(ruler=served)))
    assert message == (
        "profiles/smoke.yaml: models.ruler.key: must be the name of an environment variable (capital letters, "
        "digits and _) such as OPENAI_API_KEY; export the key in that variable, and write it into no file"
    )
    with pytest.raises(UserError, match=r"key: must be the name of an environment variable") as error:
        load(LabelParameters, tmp_path)
    assert "123" not in error.value.message
    with pytest.raises(ValidationError) as raised:
        LabelParameters.model_validate({"models": {"ruler": served}})
    assert "123" not in str(raised.value)


@pytest.mark.parametrize("name", ["base", "../elsewhere", "Two Words"])
def test_a_config_is_named_like_a_folder(name: str) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    profile = yaml.safe_load((ROOT / "profiles" / "miniature.yaml").read_text())
    params["train"]["configs"][name] = {"languages": "all"}
    merged = {key: {**params.get(key, {}), **section} for key, section in profile.items()}
    with pytest.raises(ValidationError, match="a config's name is a folder's"):
        Parameters.model_validate({**params, **merged})
