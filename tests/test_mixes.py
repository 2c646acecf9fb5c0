import pytest

from refuseu.mixes import Train

TRAIN = Train.model_validate(
    {
        "seeds": [3, 1],
        "languages": ["pl", "en"],
        "benign_share": 0.2,
        "configs": {
            "custom": {},
            "everything": {"languages": "all"},
            "no-english": {"languages": "all", "without": ["en"], "benign_share": 0.0},
            "german": {"languages": ["de"]},
        },
        "single": ["pl", "de"],
    }
)

GERMAN = TRAIN.configs["german"]


def test_a_config_is_trained_with_every_seed_and_a_single_language_with_the_first() -> None:
    configs = [(name, seed) for name in ("custom", "everything", "no-english", "german") for seed in (3, 1)]
    assert [*configs, ("only-pl", 3), ("only-de", 3)] == TRAIN.runs
    assert [model.stage for model in TRAIN.runs[-3:]] == ["dpo@german-1", "dpo-single@pl", "dpo-single@de"]
    assert TRAIN.runs[1].folder == "custom/1"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("custom", ["en", "pl"]),
        ("everything", ["en", "de", "pl"]),
        ("no-english", ["de", "pl"]),
        ("german", ["de"]),
        ("only-pl", ["pl"]),
    ],
)
def test_languages_of_a_config_in_the_given_order(name: str, expected: list[str]) -> None:
    assert TRAIN.languages_of(name, ["en", "de", "pl"]) == expected


def test_single_languages_leave_out_custom() -> None:
    assert TRAIN.single_languages(["en", "de", "pl"]) == {"german": "de", "only-pl": "pl"}
    assert TRAIN.model_copy(update={"languages": ["pl"]}).single_languages(["en", "de", "pl"]) == {
        "german": "de",
        "only-pl": "pl",
    }


def test_the_first_of_two_configs_of_one_language_stands_for_it() -> None:
    train = TRAIN.model_copy(update={"configs": {"one": GERMAN, "two": GERMAN}})
    assert train.single_languages(["en", "de"]) == {"one": "de"}


def test_a_config_may_have_its_own_benign_share_even_zero() -> None:
    assert TRAIN.benign_share_of("german") == 0.2
    assert TRAIN.benign_share_of("no-english") == 0.0


def test_a_single_language_has_the_benign_share_of_all() -> None:
    assert TRAIN.benign_share_of("only-de") == 0.2
