import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from pydantic import ValidationError

from refuseu import config
from refuseu.config import DpoConfig, RainbowTeamingConfig, SplitConfig, load, parameter_names
from refuseu.config.__main__ import main
from refuseu.errors import UserError
from refuseu.parameters import Parameters, Section, Train
from refuseu.taxonomy import LANGUAGES

ROOT = Path(__file__).parent.parent
PROFILES = sorted(str(path.relative_to(ROOT / "profiles").with_suffix("")) for path in ROOT.glob("profiles/**/*.yaml"))
STAGES = [kind for name, kind in vars(config).items() if name.endswith("Config") and name != "TrainConfig"]
STAGES = [kind for kind in STAGES if isinstance(kind, type) and issubclass(kind, Section)]

Content = dict[str, Any]
Edit = Callable[[Content, Content], object]


def write(root: Path, edit: Edit = lambda params, profile: None) -> Path:
    """The repository's params.yaml and smoke profile below ``root``, after ``edit``."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")) | {"profile": "smoke"}
    profile = yaml.safe_load((ROOT / "profiles" / "smoke.yaml").read_text(encoding="utf-8"))
    edit(params, profile)
    (root / "profiles").mkdir()
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    (root / "profiles" / "smoke.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    return root


def message_of(root: Path) -> str:
    with pytest.raises(UserError) as error:
        load(SplitConfig, root)
    assert error.value.exit_code == 1
    return error.value.message


def test_there_are_profiles_and_stages() -> None:
    assert {"miniature", "smoke"} <= set(PROFILES)
    assert {kind.__name__ for kind in STAGES} >= {"BaseConfig", "RainbowTeamingConfig", "SplitConfig", "EvalConfig"}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_validates_for_every_stage(profile: str, tmp_path: Path) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**params, "profile": profile}), encoding="utf-8")
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    for stage in STAGES:
        assert isinstance(load(stage, tmp_path), stage)


def test_both_halves_of_a_section_are_one_object(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        params["rainbow-teaming"]["elites_per_cell"] = 7
        profile["rainbow-teaming"]["mutations"] = 9

    settings = load(RainbowTeamingConfig, write(tmp_path, edit)).rainbow_teaming
    assert (settings.elites_per_cell, settings.mutations) == (7, 9)


def test_parameters_are_frozen(tmp_path: Path) -> None:
    loaded = load(SplitConfig, write(tmp_path))
    with pytest.raises(ValidationError, match="frozen"):
        loaded.seed = 2


def test_parameter_names_are_spelt_as_in_yaml() -> None:
    names = parameter_names(RainbowTeamingConfig)
    assert "rainbow-teaming" in names and "rainbow_teaming" not in names
    assert parameter_names(SplitConfig) == ["seed", "languages", "split", "train"]
    assert {name for stage in STAGES for name in parameter_names(stage)} <= set(parameter_names(Parameters))


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda params, _: params["split"].update(tset=1), "split.tset: unknown parameter"),
        (lambda params, _: params.update(seed=2**32), "seed: Input should be less than 4294967296"),
        (
            lambda params, _: params["styles"].update(plain="Plain"),
            "styles.plain: is the name of asking without a style",
        ),
        (lambda params, _: params["train"]["configs"].update(custom=None), "train.configs.custom: must be a section"),
        (
            lambda _, profile: profile["base"].update(heads=5),
            "base: hidden_size 64 must be a multiple of twice the heads",
        ),
        (lambda _, profile: profile["base"].update(batch_size=30), "base.batch_size: Input should be a multiple of 4"),
        (lambda params, _: params["report"].update(dpi=100000), "report.dpi: Input should be less than"),
        (lambda params, _: params.update(tset=1), "tset: unknown parameter"),
        (lambda params, _: params.pop("split"), "split: missing"),
        (lambda _, profile: profile.pop("dpo"), "dpo: missing"),
        (lambda params, _: params["split"].update(test_per_cell=-1), "split.test_per_cell: Input should be greater"),
        (lambda params, _: params["split"].update(near_duplicate=1.0), "split.near_duplicate: Input should be less"),
        (lambda _, profile: profile["dpo"].update(steps=0), "dpo.steps: Input should be greater than 0"),
        (
            lambda _, profile: profile["dpo"].update(learning_rate=float("inf")),
            "dpo.learning_rate: Input should be a fin",
        ),
        (
            lambda params, _: params["train"].update(benign_share=0.6),
            "train.benign_share: Input should be less than or",
        ),
        (lambda params, _: params["rainbow-teaming"].update(max_bleu=1.0), "rainbow-teaming.max_bleu: Input should be"),
        (lambda params, _: params["languages"].append("xx"), "unknown language 'xx'; known are en, de, fr"),
        (lambda params, _: params["languages"].append("en"), "languages: 'en' stands twice"),
        (lambda params, _: params["languages"].remove("en"), "languages: must hold en"),
        (
            lambda params, _: params["languages"].remove("lv"),
            "train.configs.only-lv: 'lv' is not in languages; add it there, or take the config out",
        ),
        (
            lambda params, _: params["train"].update(languages=["tr"]),
            "train.languages.0: unknown language",
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
        (lambda params, _: params["label"].update(adjudicator="lexicon"), "label.adjudicator: must differ from both"),
        (lambda params, _: params["label"].update(judges=["lexicon"]), "label.judges: needs at least 2"),
        (
            lambda params, _: params["label"].update(judges=["lexicon", "lexicon"]),
            "label.judges: 'lexicon' stands twice",
        ),
        (lambda params, _: params["label"].update(question="most"), "label.question: Input should be 'all' or 'any'"),
        (
            lambda params, _: params["languages"].append(date(2020, 1, 1)),
            "languages.12: must be a text, was read as the date 2020-01-01; write it in quotes",
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
            lambda params, _: params["translate"].update(min_chrf=None),
            "translate.min_chrf: must be a number, was read as nothing; write it in digits, like 0.5",
        ),
    ],
)
def test_a_wrong_value_names_files_and_key(edit: Edit, expected: str, tmp_path: Path) -> None:
    message = message_of(write(tmp_path, edit))
    assert message.startswith("params.yaml or profiles/smoke.yaml: ")
    assert expected in message


@pytest.mark.parametrize(
    ("section", "name", "allowed", "refused"),
    [
        ("base", "vocabulary", 300, 299),
        ("base", "batch_size", 4, 6),
        ("base", "learning_rate", 1e-9, 0.0),
        ("base", "refused_asks", 1.0, 1.001),
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
    load(SplitConfig, write(tmp_path / "allowed", setting(allowed)))
    assert f"{section}.{name}: " in message_of(write(tmp_path / "refused", setting(refused)))


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    message = message_of(write(tmp_path, lambda params, _: params["split"].update(one=1, two=2)))
    assert "split.one: unknown parameter; split.two: unknown parameter" in message


def test_a_key_may_stand_in_one_file_only(tmp_path: Path) -> None:
    root = write(tmp_path, lambda _, profile: profile["eval"].update(reference="balanced"))
    assert message_of(root) == "profiles/smoke.yaml: eval.reference also stands in params.yaml; keep one of the two"


def test_a_profile_holds_sections_only(tmp_path: Path) -> None:
    root = write(tmp_path, lambda _, profile: profile.update(seed=3))
    assert message_of(root) == "profiles/smoke.yaml: seed must be a section of parameters"


def test_an_unknown_profile_names_the_known_ones(tmp_path: Path) -> None:
    root = write(tmp_path, lambda params, _: params.update(profile="large"))
    assert message_of(root) == "params.yaml: profile 'large' is unknown; known are smoke"


def test_missing_params(tmp_path: Path) -> None:
    assert message_of(tmp_path) == f"{tmp_path}/params.yaml: no such file; run from the repository's root"


@pytest.mark.parametrize(("typed", "read"), [("1e-3", 0.001), ("0.001", 0.001), (".5", 0.5), ("1", 1.0)])
def test_a_number_is_read_as_it_is_meant(typed: str, read: float, tmp_path: Path) -> None:
    profile = write(tmp_path, lambda _, profile: profile["dpo"].update(learning_rate="TYPED")) / "profiles/smoke.yaml"
    profile.write_text(profile.read_text().replace("TYPED", typed))
    assert load(DpoConfig, tmp_path).dpo.learning_rate == read


def test_a_code_that_looks_like_a_truth_value_is_a_text_with_quotes_and_without(tmp_path: Path) -> None:
    """As ``dvc exp run -S`` leaves it: the quotes that were in params.yaml are gone."""
    params = write(tmp_path, lambda params, _: params["languages"].append("TYPED")) / "params.yaml"
    params.write_text(params.read_text().replace("TYPED", "no"))
    assert "languages.12: unknown language 'no'; known are en, de" in message_of(tmp_path)


@pytest.mark.parametrize("name", ["params.yaml", "profiles/smoke.yaml"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1, 2", "not valid YAML: line 1: "),
        ("a: 2020-99-99", "not valid YAML: month must be"),
        ("- 1\n", "must be a mapping of parameter names"),
        ("", "must be a mapping"),
    ],
)
def test_broken_yaml_names_the_file(name: str, text: str, expected: str, tmp_path: Path) -> None:
    (write(tmp_path) / name).write_text(text, encoding="utf-8")
    assert message_of(tmp_path).startswith(f"{tmp_path / name}: {expected}")


TRAIN = Train.model_validate(
    {
        "languages": ["pl", "en"],
        "benign_share": 0.2,
        "configs": {
            "custom": {},
            "everything": {"languages": "all"},
            "no-english": {"languages": "all", "without": ["en"], "benign_share": 0.0},
            "german": {"languages": ["de"]},
        },
    }
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("custom", ["en", "pl"]),
        ("everything", ["en", "de", "pl"]),
        ("no-english", ["de", "pl"]),
        ("german", ["de"]),
    ],
)
def test_languages_of_a_config_in_the_given_order(name: str, expected: list[str]) -> None:
    assert TRAIN.languages_of(name, ["en", "de", "pl"]) == expected


def test_single_languages_leave_out_custom() -> None:
    assert TRAIN.single_languages(["en", "de", "pl"]) == {"german": "de"}
    assert TRAIN.model_copy(update={"languages": ["pl"]}).single_languages(["en", "de", "pl"]) == {"german": "de"}


def test_the_first_of_two_configs_of_one_language_stands_for_it() -> None:
    german = {"languages": ["de"]}
    train = Train.model_validate({"languages": ["de"], "benign_share": 0, "configs": {"one": german, "two": german}})
    assert train.single_languages(["en", "de"]) == {"one": "de"}


def test_a_parameter_may_not_stand_twice(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / "params.yaml").write_text((root / "params.yaml").read_text() + "seed: 3\n")
    with pytest.raises(UserError, match=r'params\.yaml: not valid YAML: line \d+: found duplicate key "seed"'):
        load(SplitConfig, root)


def test_a_config_may_have_its_own_benign_share_even_zero() -> None:
    assert TRAIN.benign_share_of("german") == 0.2
    assert TRAIN.benign_share_of("no-english") == 0.0


@pytest.mark.parametrize("name", ["base", "../elsewhere", "Two Words"])
def test_a_config_is_named_like_a_folder(name: str) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    profile = yaml.safe_load((ROOT / "profiles" / "miniature.yaml").read_text())
    params["train"]["configs"][name] = {"languages": "all"}
    merged = {key: {**params.get(key, {}), **section} for key, section in profile.items()}
    with pytest.raises(ValidationError, match="a config's name is a folder's"):
        Parameters.model_validate({**params, **merged})


@pytest.fixture
def runnable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository's parameters and phrasebooks, and a place for its row store."""
    write(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "phrasebook").symlink_to(ROOT / "data" / "phrasebook")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "rows.sqlite"))
    return tmp_path


def test_what_is_in_order_is_passed_in_silence(runnable: Path) -> None:
    for name in ("balanced", "custom"):
        (runnable / "models" / "dpo" / name).mkdir(parents=True)
    result = CliRunner().invoke(main)
    assert (result.exit_code, result.output) == (0, "")


def test_a_language_that_the_identifier_does_not_know_is_named_before_any_stage(
    runnable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LANGUAGES, "nb", "Norwegian Bokmål")
    (runnable / "params.yaml").write_text(
        (runnable / "params.yaml").read_text().replace("- lv\nprofile", "- lv\n- nb\nprofile")
    )
    result = CliRunner().invoke(main)
    assert result.exit_code == 1
    assert "languages: the identifier py3langid has no language 'nb'" in result.output


def test_a_category_that_no_phrasebook_has_is_named_before_any_stage(runnable: Path) -> None:
    text = (runnable / "params.yaml").read_text()
    (runnable / "params.yaml").write_text(text.replace("categories:\n", "categories:\n  S15: Fifteenth\n"))
    assert CliRunner().invoke(main).output == (
        "Error: data/phrasebook/en.yaml: asks.S15: missing; params.yaml names it, so every language needs it\n"
    )


def test_a_model_of_no_config_is_named_before_any_stage(runnable: Path) -> None:
    (runnable / "models" / "dpo" / "slavic").mkdir(parents=True)
    assert "models/dpo/slavic: no config of train.configs has this name" in CliRunner().invoke(main).output


def test_a_row_store_that_is_none_is_named_before_any_stage(runnable: Path) -> None:
    (runnable / "rows.sqlite").write_bytes(b"no database " * 100)
    assert "rows.sqlite: not a row store" in CliRunner().invoke(main).output
