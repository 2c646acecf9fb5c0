import pytest

from refuseu.sources.languages import language_code


@pytest.mark.parametrize(
    ("spelling", "code"),
    [
        ("de", "de"),
        ("EN", "en"),
        ("en-US", "en"),
        ("pt_BR", "pt"),
        ("de-Latn-CH-1996", "de"),
        ("deu_Latn", "de"),
        ("slv", "sl"),
        (" Portuguese ", "pt"),
        ("portuguese (Brazil)", "pt"),
        ("Po\u0301lish", None),
        ("xx", None),
        ("zh-CN", None),
        ("", None),
        ("-en", None),
        ("English questions of ours", None),
        ("en, de", None),
        ("none", None),
    ],
)
def test_a_language_is_known_by_code_tag_and_name(spelling: str, code: str | None) -> None:
    assert language_code(spelling) == code
