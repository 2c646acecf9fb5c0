from refuseu.results.order import by_resource, main_configs


def test_high_resource_languages_come_first_each_group_in_the_order_given() -> None:
    assert by_resource(["pl", "fr", "lv", "en", "cs"]) == ["fr", "en", "pl", "lv", "cs"]


def test_main_configs_are_all_but_single_language_runs() -> None:
    assert main_configs(["base", "only-de", "balanced", "base", "english-only"]) == ["base", "balanced", "english-only"]
