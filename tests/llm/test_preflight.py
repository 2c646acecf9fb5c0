from collections.abc import Callable
from pathlib import Path

import broken
import pytest

from refuseu.core.errors import UserError
from refuseu.llm.preflight import assert_sound
from refuseu.weights.reference import ModelReference


def test_a_whole_model_passes_and_so_does_an_adapter_on_it(tmp_path: Path) -> None:
    base = ModelReference(broken.whole(tmp_path / "base"))
    assert_sound(base)
    assert_sound(ModelReference(broken.adapter(tmp_path / "base", tmp_path / "adapter"), base=base))


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (broken.without_a_tensor, "its weights do not fit config.json: 1 missing"),
        (broken.of_another_kind, "its weights do not fit config.json: 15 missing"),
        (broken.not_finite, f"the weight {broken.QUERY} is not finite"),
        (broken.cut_off, "model.safetensors is damaged or cut off"),
        (broken.without_template, "the tokenizer has no chat template"),
        (
            lambda folder: broken.templated(folder, "{{ raise_exception('no') }}"),
            "the chat template cannot be used (no)",
        ),
        (lambda folder: broken.templated(folder, "{% if %}"), "the chat template cannot be used ("),
        (lambda folder: broken.templated(folder, broken.CLOCKED), "the chat template reads the clock"),
    ],
)
def test_a_fault_of_a_folder_is_told_without_a_load(made: Callable[[Path], Path], fault: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        assert_sound(ModelReference.read(made(tmp_path), entry="models.judge"))
    assert error.value.message.startswith(f"models.judge: {tmp_path}: {fault}")


def test_a_token_that_the_model_does_not_know_is_named(tmp_path: Path) -> None:
    tokenizer = broken.whole(tmp_path) / "tokenizer.json"
    text = tokenizer.read_text(encoding="utf-8")
    extra = (
        '"added_tokens": [{"id": 293, "content": "<extra>", "special": true, "single_word": false, "lstrip": false, '
    )
    extra += '"rstrip": false, "normalized": false}, '
    assert '"added_tokens": [' in text
    tokenizer.write_text(text.replace('"added_tokens": [', extra, 1), encoding="utf-8")
    with pytest.raises(
        UserError, match="has a token '<extra>' with the number 293, and the model knows only those below 293"
    ):
        assert_sound(ModelReference(tmp_path))


def test_who_is_asked_raw_prompts_needs_no_template(tmp_path: Path) -> None:
    assert_sound(ModelReference(broken.without_template(tmp_path)), conversations=False)


def test_a_date_makes_a_template_sound(tmp_path: Path) -> None:
    assert_sound(ModelReference(broken.templated(tmp_path, broken.CLOCKED)), '{"strftime_now": "2024-07-26"}')
