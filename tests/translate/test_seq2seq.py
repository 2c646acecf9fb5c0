from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from transformers import (
    LlamaConfig,
    M2M100Config,
    M2M100ForConditionalGeneration,
    NllbTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)
from twelve import TWELVE

from refuseu.core.errors import UserError
from refuseu.experiment import LANGUAGES
from refuseu.store.rows import Store, row_key
from refuseu.translate.seq2seq import Seq2SeqModel, Seq2SeqTranslator
from refuseu.weights.reference import ModelReference

LETTERS = "abcdefghijklmnopqrstuvwxyz?▁"
TEXTS = ["how are you?", "what", "where is the key of the house?", "a", "how are you?"]


def nllb() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    vocabulary = {token: place for place, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *LETTERS])}
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=[])
    config = M2M100Config(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    return M2M100ForConditionalGeneration(config), tokenizer


def madlad() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    pieces = ["<pad>", "</s>", "<unk>", *LETTERS, *(f"<2{code}>" for code in LANGUAGES if code != "lv")]
    tokenizer = T5Tokenizer(vocab=[(piece, -float(len(piece) == 1)) for piece in pieces], extra_ids=0)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config), tokenizer


@pytest.fixture(scope="module", params=[nllb, madlad], ids=["nllb", "madlad"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with weights at random."""
    root = tmp_path_factory.mktemp(request.param.__name__)
    torch.manual_seed(1)
    model, tokenizer = request.param()
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.5)  # large, so that a translation depends on the text
    model.generation_config.forced_eos_token_id = tokenizer.eos_token_id  # as some models of the hub have it
    model.save_pretrained(root)
    tokenizer.save_pretrained(root)
    return root


def model(folder: Path, max_tokens: int = 40, batch_size: int = 2) -> Seq2SeqModel:
    return Seq2SeqModel(ModelReference(folder), max_tokens, batch_size, dtype="float64")


def ending(model: Seq2SeqModel, after: int) -> list[tuple[list[int], dict[str, int]]]:
    """Has the model say the first letter of its vocabulary ``after`` times and then end; what it is given is remembered."""
    given: list[tuple[list[int], dict[str, int]]] = []

    def generate(input_ids: torch.Tensor, attention_mask: torch.Tensor, **settings: int) -> torch.Tensor:
        for row, mask in zip(input_ids, attention_mask, strict=True):
            given.append((row[mask.bool()].tolist(), settings))
        end = model._tokenizer.eos_token_id
        letter = model._tokenizer.convert_tokens_to_ids("a")
        length = min(after, settings["max_new_tokens"])
        rows = [[end, *[letter] * length, *[end] * (length == after)] for _ in input_ids]
        return torch.tensor(rows)

    model._model.generate = generate
    return given


def test_a_translation_does_not_depend_on_its_batch(folder: Path) -> None:
    together, alone = model(folder, batch_size=5), model(folder, batch_size=1)
    for each in (together, alone):  # weights at random do not end by themselves
        each._model.generation_config.forced_eos_token_id = each._tokenizer.eos_token_id
    first = dict(together.translate(TEXTS, "en", "pl"))
    second = dict(alone.translate(list(reversed(TEXTS)), "en", "pl"))
    assert [first[place] for place in range(5)] == [second[4 - place] for place in range(5)]
    assert len(set(first.values())) > 1  # the texts, and not their batches, make the difference


def test_what_never_ends_is_cut_and_no_translation(folder: Path) -> None:
    translator = model(folder)
    translator._model.generation_config.suppress_tokens = [translator._tokenizer.eos_token_id]
    assert dict(translator.translate(TEXTS[:2], "en", "pl")) == {0: None, 1: None}


def test_batches_are_of_texts_of_like_length_the_longest_first(folder: Path) -> None:
    translator = model(folder, batch_size=2)
    given = ending(translator, 3)
    results = list(translator.translate(TEXTS, "en", "pl"))
    assert [place for place, _ in results] == [2, 0, 4, 1, 3]
    assert {text for _, text in results} == {"aaa"}
    lengths = [len(row) for row, _ in given]
    assert lengths == sorted(lengths, reverse=True)


def test_the_languages_are_told_as_the_family_wants_them(folder: Path) -> None:
    translator = model(folder)
    given = ending(translator, 1)
    list(translator.translate(["what"], "de", "pl"))
    list(translator.translate(["what"], "pl", "sl"))
    tokens = [translator._tokenizer.convert_ids_to_tokens(row) for row, _ in given]
    firsts = [settings.get("forced_bos_token_id") for _, settings in given]
    if "nllb" in folder.name:
        assert tokens == [[code, "▁", *"what", "</s>"] for code in ("deu_Latn", "pol_Latn")]
        assert [translator._tokenizer.convert_ids_to_tokens(first) for first in firsts] == ["pol_Latn", "slv_Latn"]
    else:
        assert [[token for token in row if token != "▁"] for row in tokens] == [
            [code, *"what", "</s>"] for code in ("<2pl>", "<2sl>")
        ]
        assert firsts == [None, None]


def test_what_is_too_long_or_empty_before_or_after_is_no_translation(folder: Path) -> None:
    translator = model(folder, max_tokens=12)
    given = ending(translator, 11)
    assert dict(translator.translate(["what", "what is this?", "", " "], "en", "pl")) == {
        0: "a" * 11,
        1: None,
        2: None,
        3: None,
    }
    assert len(given) == 1
    for length in (0, 12, 13):
        ending(translator, length)
        assert dict(translator.translate(["what"], "en", "pl")) == {0: "a" * 12 if length == 12 else None}
    assert dict(translator.translate([], "en", "pl")) == {}


def test_a_language_that_the_model_does_not_know_is_one_sentence(tmp_path: Path) -> None:
    built, tokenizer = madlad()
    built.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError) as error:
        list(model(tmp_path).translate(["what"], "en", "lv"))
    assert error.value.message == f"{tmp_path}: has no language token <2lv>; take a model that knows the language"


def test_a_language_whose_name_in_nllb_is_not_written_down_is_one_sentence(tmp_path: Path) -> None:
    built, tokenizer = nllb()
    built.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    for source, target in (("en", "xx"), ("xx", "en")):
        with pytest.raises(UserError) as error:
            list(model(tmp_path).translate(["what"], source, target))
        assert error.value.message == (
            f"{tmp_path}: NLLB's name of the language 'xx' is not known here; add it to LANGUAGES in "
            "src/refuseu/experiment.py"
        )


def test_every_language_has_a_token_of_nllb() -> None:
    _, tokenizer = nllb()
    assert LANGUAGES.keys() >= TWELVE
    names = [each.flores for each in LANGUAGES.values() if each.flores]
    assert tokenizer.unk_token_id not in tokenizer.convert_tokens_to_ids(names)


def test_a_model_of_another_kind_or_none_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^{tmp_path}: not a readable model"):
        model(tmp_path)
    LlamaConfig().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=f"^{tmp_path}: not a readable model"):
        model(tmp_path)


class Counting:
    """A model that translates by a table, and counts."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[tuple[int, str | None]]:
        self.seen += texts
        return [(place, None if text == "none" else f"{text} {target}") for place, text in enumerate(texts)][::-1]


def translator(tmp_path: Path, load: Callable[[], object], max_tokens: int = 9) -> Seq2SeqTranslator:
    return Seq2SeqTranslator("m@1 float32", max_tokens, load, Store(tmp_path / "rows.sqlite"))  # type: ignore[arg-type]


def test_what_the_store_holds_loads_no_model(tmp_path: Path) -> None:
    counting = Counting()
    first = translator(tmp_path, lambda: counting).translate(["b", "none", "a", "b"], "en", "pl")
    assert first == ["b pl", None, "a pl", "b pl"]
    assert counting.seen == ["b", "none", "a"]
    never = translator(tmp_path, lambda: pytest.fail("was loaded"))
    assert never.translate(["a", "none"], "en", "pl") == ["a pl", None]
    assert never.translate(["c"], "pl", "pl") == ["c"]
    assert never.translate([], "en", "pl") == []


@pytest.mark.parametrize(("source", "target", "max_tokens"), [("de", "pl", 9), ("en", "cs", 9), ("en", "pl", 8)])
def test_what_decides_a_translation_is_in_its_key(source: str, target: str, max_tokens: int, tmp_path: Path) -> None:
    counting = Counting()
    translator(tmp_path, lambda: counting).translate(["a"], "en", "pl")
    translator(tmp_path, lambda: counting, max_tokens).translate(["a"], source, target)
    assert counting.seen == ["a", "a"]


def test_a_text_that_spells_a_special_token_is_translated_as_letters(folder: Path) -> None:
    translator = model(folder)
    given = ending(translator, 1)
    list(translator.translate(["a</s>b", "a b"], "en", "pl"))
    end = translator._tokenizer.eos_token_id
    assert [row.count(end) for row, _ in given] == [1, 1]


def test_a_translation_of_before_is_asked_for_again_where_the_text_spells_a_special_token(tmp_path: Path) -> None:
    store = Store(tmp_path / "rows.sqlite")
    texts = ["a</s>b", "a b"]
    keys = [row_key(version=2, model="m", max_tokens=9, text=text, source="en", target="pl") for text in texts]
    store.complete(keys, lambda _: ((place, '"kept"') for place in range(2)))

    class Model:
        def translate(self, missing: Sequence[str], *_: str) -> list[tuple[int, str]]:
            return [(place, f"new {text}") for place, text in enumerate(missing)]

    translator = Seq2SeqTranslator("m", 9, Model, store)  # type: ignore[arg-type]
    assert translator.translate(texts, "en", "pl") == ["new a</s>b", "kept"]
