import shutil
from pathlib import Path

import pytest
from parameter_files import Content, Edit, write
from pydantic import ValidationError
from repository import ROOT

from refuseu.base.settings import BaseParameters
from refuseu.core.errors import UserError
from refuseu.core.sections import Section, distinct, first_repeated, load, machine_file, merged_sections
from refuseu.dpo.settings import DpoParameters
from refuseu.eval.settings import EvalParameters
from refuseu.label.settings import LabelParameters
from refuseu.llm.settings import Weights
from refuseu.parameters import Parameters
from refuseu.rainbow_teaming.settings import RainbowTeamingParameters
from refuseu.release.settings import ReleaseParameters
from refuseu.report.settings import ReportParameters
from refuseu.respond.settings import RespondParameters
from refuseu.split.settings import SplitParameters
from refuseu.translate.settings import TranslateParameters

STAGES = {
    "base": BaseParameters,
    "rainbow-teaming": RainbowTeamingParameters,
    "translate": TranslateParameters,
    "respond": RespondParameters,
    "label": LabelParameters,
    "split": SplitParameters,
    "dpo": DpoParameters,
    "eval": EvalParameters,
    "report": ReportParameters,
    "release": ReleaseParameters,
}


def message_of(root: Path, stage: type[Section] = SplitParameters) -> str:
    with pytest.raises(UserError) as error:
        load(stage, root)
    assert error.value.exit_code == 1
    return error.value.message


def keys(stage: type[Section]) -> set[str]:
    """The top-level keys of params.yaml and the profile that ``stage`` reads, or reads a part of."""
    return {(field.alias or name).partition(".")[0] for name, field in stage.model_fields.items()}


def test_every_stage_has_its_parameters() -> None:
    assert STAGES.keys() == {path.stem for path in (ROOT / "stages").glob("*.py")}
    assert all(keys(stage) <= keys(Parameters) for stage in STAGES.values())
    assert "rainbow-teaming" in keys(RainbowTeamingParameters)


@pytest.mark.parametrize("stage", STAGES.values())
def test_every_stage_reads_its_own_sections_and_no_other(stage: type[Section], tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        for name, content in (("params", params), ("profile", profile)):
            for key in content.keys() - keys(stage) - {"profile"}:
                content[key] = {f"broken in the {name}": True}

    assert isinstance(load(stage, write(tmp_path, edit)), stage)


@pytest.mark.parametrize(("name", "stage"), STAGES.items())
def test_every_stage_refuses_a_section_of_its_own_that_is_wrong(
    name: str, stage: type[Section], tmp_path: Path
) -> None:
    own = name if name in keys(stage) else "dpo"  # release has no section
    root = write(tmp_path, lambda _, profile: profile.setdefault(own, {}).update(tset=1))
    said = message_of(root, stage)
    assert said.removesuffix(", is it sets?") == f"profiles/smoke.yaml: {own}.tset: unknown key"


def test_of_the_models_the_base_reads_its_own_alone(tmp_path: Path) -> None:
    root = write(tmp_path, lambda _, profile: profile["models"].update(guard={"engine": "guess"}))
    assert load(BaseParameters, root).model == Weights()


@pytest.mark.parametrize("models", [{"guard": {"engine": "guess"}}, {}])
def test_a_part_of_a_section_that_is_missing_is_named(models: Content, tmp_path: Path) -> None:
    root = write(tmp_path, lambda _, profile: profile.update(models=models))
    assert message_of(root, BaseParameters) == "profiles/smoke.yaml: models.base: missing"


def test_a_part_of_what_is_no_section_is_missing(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        profile.pop("models")
        params["models"] = 3

    message = message_of(write(tmp_path, edit), BaseParameters)
    assert message == "params.yaml: models.base: missing"


def test_both_halves_of_a_section_are_one_object(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        params["rainbow-teaming"]["temperature"] = 0.7
        profile["rainbow-teaming"]["mutations"] = 9

    settings = load(RainbowTeamingParameters, write(tmp_path, edit)).rainbow_teaming
    assert (settings.temperature, settings.mutations) == (0.7, 9)


def test_parameters_are_frozen(tmp_path: Path) -> None:
    loaded = load(SplitParameters, write(tmp_path))
    with pytest.raises(ValidationError, match="frozen"):
        loaded.seed = 2


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        params.update(seed="one")
        profile["split"].update(test_per_cell=0)
        profile["split"].pop("near_duplicate")

    assert message_of(write(tmp_path, edit)) == (
        "params.yaml: seed: must be a whole number, was read as the text 'one'; write it in digits, like 12; "
        "profiles/smoke.yaml: split.test_per_cell: must be greater than 0; split.near_duplicate: missing"
    )


def test_a_section_that_is_missing_is_named(tmp_path: Path) -> None:
    message = message_of(write(tmp_path, lambda _, profile: profile.pop("split")))
    assert message == "params.yaml or profiles/smoke.yaml: split: missing"


def test_a_key_may_stand_in_one_file_only(tmp_path: Path) -> None:
    root = write(tmp_path, lambda _, profile: profile["eval"].update(reference="balanced"))
    assert message_of(root) == "profiles/smoke.yaml: eval.reference also stands in params.yaml; keep one of the two"


def test_an_unknown_profile_names_the_known_ones(tmp_path: Path) -> None:
    root = write(tmp_path, lambda params, _: params.update(profile="large"))
    assert message_of(root) == (
        f"{tmp_path}/profiles/large.yaml: cannot be read (No such file or directory); "
        "params.yaml: profile must be one of smoke"
    )


def test_a_profile_that_is_not_named_is_one_sentence(tmp_path: Path) -> None:
    root = write(tmp_path, lambda params, _: params.pop("profile"))
    assert message_of(root).endswith("; params.yaml: profile must be one of smoke")


def test_missing_params(tmp_path: Path) -> None:
    assert message_of(tmp_path) == (
        f"{tmp_path}/params.yaml: cannot be read (No such file or directory); run from the repository's root"
    )


@pytest.mark.parametrize("value", [3, "three", ["three"], None])
@pytest.mark.parametrize("section", ["split", "seed", "styles"])
def test_a_profile_holds_sections_only(section: str, value: object, tmp_path: Path) -> None:
    root = write(tmp_path, lambda _, profile: profile.update({section: value}))
    assert message_of(root) == f"profiles/smoke.yaml: {section} must be a section of parameters"


@pytest.mark.parametrize("value", [3, "three", ["three"], None])
def test_a_section_of_params_that_is_none_is_one_sentence(value: object, tmp_path: Path) -> None:
    root = write(tmp_path, lambda params, _: params.update(eval=value))
    assert message_of(root) == "params.yaml: eval must be a section of parameters"


@pytest.mark.parametrize("name", ["params.yaml", "profiles/smoke.yaml"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1, 2", "not valid YAML: line 1: "),
        ("a: 2020-99-99", "not valid YAML: month must be"),
        ("- 1\n", "must hold parameters by their names, like 'seed: 1'"),
        ("3\n", "must hold parameters by their names, like 'seed: 1'"),
        ("", "must hold parameters by their names, like 'seed: 1'"),
    ],
)
def test_broken_yaml_names_the_file(name: str, text: str, expected: str, tmp_path: Path) -> None:
    (write(tmp_path) / name).write_text(text, encoding="utf-8")
    message = message_of(tmp_path)
    assert message.removeprefix(f"{tmp_path}/").startswith(f"{name}: {expected}")
    assert "\n" not in message


@pytest.mark.parametrize(("typed", "read"), [("1e-3", 0.001), ("0.001", 0.001), (".5", 0.5), ("1", 1.0)])
def test_a_number_is_read_as_it_is_meant(typed: str, read: float, tmp_path: Path) -> None:
    profile = write(tmp_path, lambda _, profile: profile["dpo"].update(learning_rate="TYPED")) / "profiles/smoke.yaml"
    profile.write_text(profile.read_text().replace("TYPED", typed))
    assert load(DpoParameters, tmp_path).dpo.learning_rate == read


def test_a_code_that_looks_like_a_truth_value_is_a_text_with_quotes_and_without(tmp_path: Path) -> None:
    """As ``dvc exp run -S`` leaves it: the quotes that were in params.yaml are gone."""
    params = write(tmp_path, lambda params, _: params["languages"].append("TYPED")) / "params.yaml"
    params.write_text(params.read_text().replace("TYPED", "no"))
    assert "unknown language 'no'; known are en, de" in message_of(tmp_path)


def test_a_parameter_may_not_stand_twice(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / "params.yaml").write_text((root / "params.yaml").read_text() + "seed: 3\n")
    with pytest.raises(UserError, match=r'params\.yaml: not valid YAML: line \d+: found duplicate key "seed"'):
        load(SplitParameters, root)


def test_the_first_that_stands_twice_is_named_and_a_list_without_one_comes_back() -> None:
    assert distinct(["en", "de", "fr"]) == ["en", "de", "fr"]
    assert distinct([]) == []
    with pytest.raises(ValueError, match=r"^'de' stands twice$"):
        distinct(["en", "de", "fr", "de", "en"])


def test_its_place_is_that_of_the_second() -> None:
    assert first_repeated(["a", "b", "a", "b"]) == 2
    assert first_repeated([1, 2, 3]) is None


def declared(root: Path) -> Path:
    """The parameters beside the pipeline, which declares what its stages read."""
    shutil.copy2(ROOT / "dvc.yaml", root)
    return root


@pytest.mark.parametrize("stage", STAGES.values())
def test_every_stage_refuses_a_section_that_no_stage_reads(stage: type[Section], tmp_path: Path) -> None:
    root = declared(write(tmp_path, lambda params, _: params.update({"trian": {"benign_share": 0.3}})))
    assert message_of(root, stage) == "params.yaml: trian: unknown section, is it train?"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda params, _: params.update(sed=2), "params.yaml: sed: unknown section, is it seed?"),
        (lambda params, _: params.update(zzz=2), "params.yaml: zzz: unknown section"),
        (lambda _, profile: profile.update(evl={"a": 1}), "profiles/smoke.yaml: evl: unknown section, is it eval?"),
        (
            lambda params, _: params.update(split={"test_per_sell": 3}),
            "params.yaml: split: no stage reads this section here; write it into profiles/smoke.yaml",
        ),
        (
            lambda params, _: params.update(split={"test_per_cell": 3}),
            "profiles/smoke.yaml: split.test_per_cell also stands in params.yaml; keep one of the two",
        ),
        (
            lambda _, profile: profile.update(train={"benign_sare": 0.1}),
            "profiles/smoke.yaml: train: no stage reads this section here; write it into params.yaml",
        ),
    ],
)
def test_a_section_is_refused_where_no_stage_reads_it(edit: Edit, message: str, tmp_path: Path) -> None:
    assert message_of(declared(write(tmp_path, edit)), DpoParameters) == message


def test_every_profile_and_a_section_of_the_authors_own_are_taken(tmp_path: Path) -> None:
    root = declared(
        write(tmp_path, lambda params, profile: (params.update({"x-codes": [1]}), profile.update({"x-a": 2})))
    )
    assert load(SplitParameters, root).seed == 1
    for path in (ROOT / "profiles").glob("*.yaml"):
        assert merged_sections(ROOT, path.stem)


def test_keys_that_are_nearly_right_are_named_also_below_a_kind(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        params["label"]["qestion"] = "all"
        profile["label"]["judges"]["lexicon"]["knd"] = "x"

    assert message_of(write(tmp_path, edit), LabelParameters) == (
        "profiles/smoke.yaml: label.judges.lexicon.knd: unknown key, is it kind?; params.yaml: label.qestion: unknown key, is "
        "it question?"
    )


@pytest.mark.parametrize("profile", ["../elsewhere", "/etc/x", "linked"])
def test_a_profile_outside_of_its_folder_is_refused(profile: str, tmp_path: Path) -> None:
    write(tmp_path, lambda params, _: params.update(profile=profile))
    (tmp_path / "elsewhere.yaml").write_text("split: {}\n")
    (tmp_path / "profiles/linked.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    assert message_of(tmp_path).startswith("params.yaml: profile: ")
    assert f" out of {tmp_path}/profiles, where nothing tracks it" in message_of(tmp_path)


def test_a_machine_outside_of_its_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFUSEU_MACHINE", "../../elsewhere")
    with pytest.raises(UserError, match=f"^REFUSEU_MACHINE: '../../elsewhere.yaml' leads out of {tmp_path}/machines"):
        machine_file(tmp_path)
