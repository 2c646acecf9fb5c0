import pytest

from refuseu.mixes import Train

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


def test_a_config_may_have_its_own_benign_share_even_zero() -> None:
    assert TRAIN.benign_share_of("german") == 0.2
    assert TRAIN.benign_share_of("no-english") == 0.0
