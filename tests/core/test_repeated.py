import pytest

from refuseu.core.files import distinct, first_repeated


def test_the_first_that_stands_twice_is_named_and_a_list_without_one_comes_back() -> None:
    assert distinct(["en", "de", "fr"]) == ["en", "de", "fr"]
    assert distinct([]) == []
    with pytest.raises(ValueError, match=r"^'de' stands twice$"):
        distinct(["en", "de", "fr", "de", "en"])


def test_its_place_is_that_of_the_second() -> None:
    assert first_repeated(["a", "b", "a", "b"]) == 2
    assert first_repeated([1, 2, 3]) is None
