import json
import shutil
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import broken
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from profile_texts import MACHINE, TRANSFORMERS
from tiny import EXAMPLES, TINY, save_untrained
from transformers import AutoTokenizer, LlamaForCausalLM

from refuseu.base.miniature import build_model, build_tokenizer, train_base
from refuseu.core.errors import UserError
from refuseu.engines import transformers
from refuseu.engines.transformers import TransformersEngine, TransformersModel
from refuseu.llm.protocol import Completion, Conversation, Failed, Finish, Sampling, completed, user
from refuseu.llm.stored import StoredEngine
from refuseu.llm.tokens import prompt_tokens, text_tokens
from refuseu.store.rows import Store
from refuseu.weights.reference import ModelReference

QUESTIONS = ["How can I sing?", "Wie kann ich singen?", "I", "How can I sing and sing and sing?", "How can I sing?"]
GREEDY = Sampling(6)
PAIR = (user("How can I sing?"), "Gladly.")
TOO_MANY = "sing " * 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("model")
    save_untrained(root)
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TransformersEngine:
    """It answers "Gladly." in English and "Sehr gerne!" in German."""
    root = tmp_path_factory.mktemp("trained")
    train_base(EXAMPLES, TINY, 1, root)
    return engine_of(root, 2)


def engine_of(folder: Path, batch_size: int, **settings: Any) -> TransformersEngine:
    return TransformersEngine(ModelReference(folder), "tiny", batch_size, **settings)


def answers(engine: TransformersEngine, questions: list[str], sampling: Sampling = GREEDY) -> dict[str, Completion]:
    said = completed(engine, [user(question) for question in questions], sampling)
    return dict(zip(questions, said, strict=True))


def next_token(engine: TransformersEngine, question: str) -> torch.Tensor:
    """The probability of every token of the vocabulary as the first one, as the model alone gives it."""
    with torch.inference_mode():
        return engine._model(torch.tensor([prompt_tokens(engine._tokenizer, user(question))])).logits[0, -1].softmax(-1)


def test_an_answer_does_not_depend_on_its_batch(folder: Path) -> None:
    together, alone = engine_of(folder, 5), engine_of(folder, 1)
    assert together.identity == "tiny"
    assert answers(together, QUESTIONS) == answers(alone, list(reversed(QUESTIONS)))
    pairs = [(user(question), answer) for question in QUESTIONS for answer in ("Gladly.", "Sehr gerne! Gladly.")]
    pairs.append((user("sing " * 40), "Gladly."))  # much padding for the others
    assert dict(together.log_likelihoods(pairs)) == pytest.approx(dict(alone.log_likelihoods(pairs)), abs=1e-12)


def test_a_log_likelihood_is_the_sum_over_the_answers_tokens(folder: Path) -> None:
    engine = engine_of(folder, 2)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    prompt, answer = (
        prompt_tokens(engine._tokenizer, user("How can I sing?")),
        engine._tokenizer("Gladly.")["input_ids"],
    )
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    expected = sum(float(logits[len(prompt) + offset - 1, token]) for offset, token in enumerate(answer))
    assert list(engine.log_likelihoods([(user("How can I sing?"), "Gladly.")])) == [
        (0, pytest.approx(expected, abs=1e-9))
    ]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_options_of_one_token_are_scored_by_one_pass_as_each_by_itself(batch_size: int, folder: Path) -> None:
    engine, options = engine_of(folder, batch_size), ("Gladly", "Sehr", "!", ".", "Sehr")
    rows: list[int] = []
    engine._model.register_forward_pre_hook(
        lambda _, given, named: rows.append(len([*given, *named.values()][0])), with_kwargs=True
    )
    pairs = [(user(question), option) for question in QUESTIONS[:3] for option in options]
    assert {len(text_tokens(engine._tokenizer, option)) for option in options} == {1}
    scores = dict(engine.log_likelihoods(pairs))
    assert rows == ([1, 1, 1] if batch_size == 1 else [3])
    alone = [dict(engine.log_likelihoods([pair]))[0] for pair in pairs]
    assert [scores[place] for place in range(len(pairs))] == pytest.approx(alone, abs=1e-9)
    for place, (question, option) in enumerate((each, option) for each in QUESTIONS[:3] for option in options):
        [token] = text_tokens(engine._tokenizer, option)
        assert scores[place] == pytest.approx(float(next_token(engine, question)[token].log()), abs=1e-9)
    rows.clear()
    longer = dict(engine.log_likelihoods([*pairs[:4], PAIR, (PAIR[0], "Sehr gerne!")]))
    assert (sum(rows), len(set(longer.values()))) == (3, 6)


def test_nothing_is_said_for_sure(folder: Path) -> None:
    pairs = [(user("How can I sing?"), ""), (user("How can I sing?"), "Gladly.")]
    scores = dict(engine_of(folder, 2).log_likelihoods(pairs))
    assert scores[0] == 0.0 and scores[1] < 0.0


def test_it_is_told_whether_the_model_ended_its_answer_or_was_cut(trained: TransformersEngine) -> None:
    tokens = len(text_tokens(trained._tokenizer, "Gladly."))
    for length, expected in (
        (6, Completion("Gladly.", Finish.STOP)),
        (tokens + 1, Completion("Gladly.", Finish.STOP)),
        (tokens, Completion("Gladly.", Finish.LENGTH)),
        (1, Completion("Gladly", Finish.LENGTH)),
    ):
        assert answers(trained, QUESTIONS[:2], Sampling(length))["How can I sing?"] == expected


def test_what_the_models_own_settings_name_ends_an_answer_too(
    trained: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (point,) = text_tokens(trained._tokenizer, ".")
    assert trained._ends() == [trained._tokenizer.eos_token_id]
    for named in (point, [point, trained._tokenizer.eos_token_id]):
        monkeypatch.setattr(trained._model.generation_config, "eos_token_id", named)
        assert answers(trained, QUESTIONS[:2], Sampling(2))["How can I sing?"] == Completion("Gladly.", Finish.STOP)


LEAKS = {
    "repetition_penalty": 1.3,
    "max_length": 5,
    "min_new_tokens": 9,
    "no_repeat_ngram_size": 1,
    "bad_words_ids": [[token] for token in range(10, 200)],
    "suppress_tokens": list(range(10, 200)),
    "begin_suppress_tokens": list(range(10, 200)),
    "forced_bos_token_id": 3,
    "forced_eos_token_id": 3,
    "do_sample": True,
    "num_beams": 3,
    "stop_strings": ["l"],
    "guidance_scale": 2.0,
}
"""What a model's own settings may ask of ``generate``; all but the end tokens must have no effect."""


@pytest.mark.parametrize("file", ["generation_config.json", "config.json"])
@pytest.mark.parametrize("name", LEAKS)
def test_a_models_own_preferences_have_no_effect(file: str, name: str, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    if file == "config.json":
        (tmp_path / "generation_config.json").unlink()
    content = json.loads((tmp_path / file).read_text(encoding="utf-8"))
    (tmp_path / file).write_text(json.dumps({**content, name: LEAKS[name]}), encoding="utf-8")
    assert answers(engine_of(tmp_path, 2), QUESTIONS[:2], Sampling(12)) == answers(
        engine_of(folder, 2), QUESTIONS[:2], Sampling(12)
    )


def test_all_end_tokens_that_a_models_own_settings_name_end_an_answer(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    said = answers(engine_of(folder, 2), QUESTIONS[:1], Sampling(12))[QUESTIONS[0]]
    assert said.finish is Finish.LENGTH
    content = json.loads((tmp_path / "generation_config.json").read_text(encoding="utf-8"))
    every = {**content, "eos_token_id": [content["eos_token_id"], *range(4, 293)]}
    (tmp_path / "generation_config.json").write_text(json.dumps(every), encoding="utf-8")
    assert answers(engine_of(tmp_path, 2), QUESTIONS[:1], Sampling(12))[QUESTIONS[0]].finish is Finish.STOP


def test_a_row_whose_numbers_are_not_finite_fails_and_the_others_are_done(
    trained: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = trained._model.forward

    def overflowing(*arguments: Any, **given: Any) -> Any:
        output = forward(*arguments, **given)
        output.logits[0] = torch.nan
        return output

    monkeypatch.setattr(trained._model, "forward", overflowing)
    said = answers(trained, QUESTIONS[:2])
    failed = Completion("", Finish.FAILED, reason="the model computes numbers that are not finite")
    assert sorted(said.values(), key=lambda each: each.text) == [failed, Completion("Sehr gerne!", Finish.STOP)]
    assert dict(trained.log_likelihoods([PAIR])) == {0: Failed(failed.reason)}


@pytest.mark.parametrize("made", [broken.without_a_tensor, broken.of_another_kind, broken.not_finite])
def test_a_model_that_lacks_weights_or_has_some_that_are_not_finite_is_not_loaded(made: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(do not fit config.json: 1|the weight .* is not finite)"):
        engine_of(made(tmp_path), 1)


def test_an_adapter_whose_weights_fit_no_layer_is_refused_and_another_one_beside_it_counts_nothing(
    folder: Path, tmp_path: Path
) -> None:
    engine = engine_of(folder, 2)
    for name in ("one", "two"):
        engine.adapted(broken.adapter(folder, tmp_path / name), name)
    misfit = broken.adapter(folder, tmp_path / "misfit", ("layers.0", "layers.7"))
    with pytest.raises(UserError, match=r"misfit: its weights do not fit the base: 14 missing .* 14 not in the model"):
        engine.adapted(misfit, "misfit")


def test_the_template_is_given_the_models_variables(tmp_path: Path) -> None:
    broken.templated(tmp_path, "{{ date_string }}")
    one, other = (engine_of(tmp_path, 2, variables=json.dumps({"date_string": day})) for day in ("I", "sing"))
    assert answers(one, QUESTIONS[:1]) != answers(other, QUESTIONS[:1])
    model = {"engine": "transformers", "dtype": "float64", "chat_template_kwargs": {"date_string": "I"}}
    assert TransformersModel.model_validate(model).numbers == f'{TRANSFORMERS} float64 {{"date_string": "I"}}'


def test_a_conversation_that_does_not_fit_is_not_asked_and_the_others_are(
    trained: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = answers(trained, ["How can I sing?", TOO_MANY, "Wie kann ich singen?"])
    assert [each.text for each in said.values()] == ["Gladly.", "", "Sehr gerne!"]
    assert [each.finish for each in said.values()] == [Finish.STOP, Finish.TOO_LONG, Finish.STOP]
    length = len(prompt_tokens(trained._tokenizer, user("How can I sing?")))
    monkeypatch.setattr(trained._model.config, "max_position_embeddings", length + 1)
    assert answers(trained, ["How can I sing?"])["How can I sing?"].finish is Finish.LENGTH
    assert answers(trained, ["How can I sing?"], Sampling(6, prefix="Gladly"))["How can I sing?"].finish is (
        Finish.TOO_LONG
    )
    monkeypatch.setattr(trained._model.config, "max_position_embeddings", length)
    monkeypatch.setattr(trained._model, "generate", None)
    assert answers(trained, ["How can I sing?"])["How can I sing?"] == Completion("", Finish.TOO_LONG)


def test_an_answer_is_cut_where_the_model_can_attend_to_no_more(
    trained: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter, longer = "How can I sing?", "How can I sing and sing?"
    lengths = [len(prompt_tokens(trained._tokenizer, user(question))) for question in (shorter, longer)]
    assert lengths[0] < lengths[1]
    whole = answers(trained, [shorter], GREEDY)[shorter]
    tokens = len(text_tokens(trained._tokenizer, whole.text)) + 1  # the one that ends it
    asked: list[tuple[int, int]] = []
    generate = trained._model.generate

    def noting(**given: Any) -> Any:
        asked.append((len(given["input_ids"][0]), given["max_new_tokens"]))
        return generate(**given)

    monkeypatch.setattr(trained._model, "generate", noting)
    monkeypatch.setattr(trained._model.config, "max_position_embeddings", lengths[1] + 1)
    said = answers(trained, [shorter, longer], Sampling(60))
    assert sorted(asked) == [(lengths[0], lengths[1] - lengths[0] + 1), (lengths[1], 1)]
    assert said[longer].finish is Finish.LENGTH
    for room, expected in ((tokens, Completion("Gladly.", Finish.STOP)), (1, Completion("Gladly", Finish.LENGTH))):
        monkeypatch.setattr(trained._model.config, "max_position_embeddings", lengths[0] + room)
        assert answers(trained, [shorter], Sampling(60))[shorter] == expected


def test_conversations_with_room_enough_share_their_batches(
    trained: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    generate = trained._model.generate
    monkeypatch.setattr(
        trained._model, "generate", lambda **given: rows.append(len(given["input_ids"])) or generate(**given)
    )
    answers(trained, QUESTIONS[:4])
    assert rows == [2, 2]


def test_a_conversation_that_the_template_refuses_fails_and_the_others_are_asked(
    trained: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('none') }}{% endif %}"
    monkeypatch.setattr(trained._tokenizer, "chat_template", refusing + trained._tokenizer.chat_template)
    told = [{"role": "system", "content": "Sing."}, *user("How can I sing?")]
    asked: list[Conversation] = [told, user("How can I sing?")]
    reason = "the chat template refuses the conversation"
    assert completed(trained, asked, GREEDY) == [Completion("", Finish.FAILED, reason=reason), Completion("Gladly.")]
    scores = dict(trained.log_likelihoods([(each, "Gladly.") for each in asked]))
    assert scores == {0: Failed(reason), 1: dict(trained.log_likelihoods([PAIR]))[0]}


def test_an_answer_that_does_not_fit_is_not_scored_and_the_others_are(trained: TransformersEngine) -> None:
    expected = dict(trained.log_likelihoods([PAIR]))[0]
    scores = dict(trained.log_likelihoods([PAIR, (user("How can I sing?"), TOO_MANY)]))
    assert scores == {0: pytest.approx(expected), 1: Failed("the conversation is too long with its answer")}


def test_an_answer_goes_on_from_its_prefix_which_is_no_part_of_it(trained: TransformersEngine) -> None:
    assert answers(trained, ["How can I sing?"], Sampling(6, prefix="Gladly")) == {
        "How can I sing?": Completion(".", Finish.STOP)
    }
    german = answers(trained, QUESTIONS[:2], Sampling(6, prefix="Sehr"))
    assert german["Wie kann ich singen?"] == Completion("gerne!", Finish.STOP)
    assert answers(trained, ["How can I sing?"], Sampling(6, prefix="Gladly."))["How can I sing?"].text == ""


def test_probabilities_of_first_tokens_are_a_plain_softmax_over_the_vocabulary(trained: TransformersEngine) -> None:
    words = ("Gladly", "Sehr", "sing", ".")
    said = answers(trained, QUESTIONS[:4], Sampling(3, first_tokens=words))
    for question, completion in said.items():
        expected = next_token(trained, question)
        tokens = [text_tokens(trained._tokenizer, word)[0] for word in words]
        assert completion.probabilities == pytest.approx([float(expected[token]) for token in tokens], abs=1e-6)
        assert 0 < sum(completion.probabilities) < 1
    (gladly, sehr, *_), (other_gladly, other_sehr, *_) = (said[question].probabilities for question in QUESTIONS[:2])
    assert (gladly > sehr, other_gladly > other_sehr) == (True, False)
    assert {question: replace(each, probabilities=()) for question, each in said.items()} == answers(
        trained, QUESTIONS[:4], Sampling(3)
    )


def test_the_first_tokens_of_the_whole_vocabulary_sum_to_one(
    trained: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers, "first_tokens", lambda _, words: list(map(int, words)))
    everything = tuple(map(str, range(trained._model.config.vocab_size)))
    said = answers(trained, QUESTIONS[:2], Sampling(1, first_tokens=everything))
    assert [sum(each.probabilities) for each in said.values()] == pytest.approx([1, 1], abs=1e-6)


def test_a_word_of_several_tokens_counts_by_its_first_and_the_drawing_changes_no_probability(
    trained: TransformersEngine,
) -> None:
    one, several, drawn = (
        answers(trained, QUESTIONS[:1], sampling)["How can I sing?"].probabilities[0]
        for sampling in (
            Sampling(1, first_tokens=("Gladly",)),
            Sampling(1, first_tokens=("Gladly.",)),
            Sampling(1, temperature=2.0, top_p=0.1, first_tokens=("Gladly",)),
        )
    )
    assert one == several == pytest.approx(drawn)


def test_words_that_begin_alike_are_an_error_before_anything_is_asked(
    trained: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trained._model, "generate", None)
    with pytest.raises(UserError, match=r"begins 'Gladly' and 'Gladly\.' with the same token"):
        answers(trained, [TOO_MANY, *QUESTIONS], Sampling(1, first_tokens=("Gladly", "Gladly.")))


def test_the_first_token_is_the_one_after_the_prefix(trained: TransformersEngine) -> None:
    def of_a_point(prefix: str) -> float:
        asked = Sampling(1, prefix=prefix, first_tokens=(".",))
        (probability,) = answers(trained, QUESTIONS[:1], asked)["How can I sing?"].probabilities
        return probability

    assert of_a_point("Gladly") > 5 * of_a_point("")


def test_what_is_drawn_does_not_depend_on_the_batch_but_on_the_seed(folder: Path) -> None:
    together, alone = engine_of(folder, 5), engine_of(folder, 1)
    drawn = Sampling(6, temperature=1.0, seed=3)
    assert answers(together, QUESTIONS, drawn) == answers(alone, list(reversed(QUESTIONS)), drawn)
    assert answers(together, QUESTIONS, replace(drawn, top_p=0.9)) == answers(
        alone, list(reversed(QUESTIONS)), replace(drawn, top_p=0.9)
    )
    assert answers(together, QUESTIONS, drawn) != answers(together, QUESTIONS, replace(drawn, seed=4))
    assert answers(together, QUESTIONS, drawn) != answers(together, QUESTIONS)
    first, *_, last = completed(together, [user(question) for question in QUESTIONS], drawn)
    assert first == last  # the same question


def adapter(folder: Path, out: Path, seed: int) -> Path:
    """A LoRA adapter on the model in ``folder``, far from it; saved below ``out``."""
    torch.manual_seed(seed)
    settings = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(LlamaForCausalLM.from_pretrained(folder), settings).save_pretrained(out)
    return out


def score_by_peft(folder: Path, adapter: Path) -> float:
    """The log-likelihood of ``PAIR`` as peft alone gives it, with the adapter merged into float64 weights."""
    whole = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(folder, dtype=torch.float64), adapter)
    merged, tokenizer = whole.merge_and_unload().eval(), AutoTokenizer.from_pretrained(folder)
    prompt, answer = prompt_tokens(tokenizer, PAIR[0]), text_tokens(tokenizer, PAIR[1])
    with torch.inference_mode():
        logits = merged(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    return sum(float(logits[len(prompt) + offset - 1, token]) for offset, token in enumerate(answer))


def score(engine: TransformersEngine) -> float:
    return dict(engine.log_likelihoods([PAIR]))[0]


def test_adapters_answer_in_turn_as_peft_makes_them_and_the_base_as_before(folder: Path, tmp_path: Path) -> None:
    one, other = adapter(folder, tmp_path / "one", 2), adapter(folder, tmp_path / "other", 3)
    assert not (one / "tokenizer.json").exists()
    base = engine_of(folder, 2)
    alone, said = score(base), answers(base, QUESTIONS)
    first, second = base.adapted(one, "first"), base.adapted(other, "second")
    assert (base.identity, first.identity, second.identity) == ("tiny", "first", "second")
    assert {weight.dtype for weight in base._model.parameters()} == {torch.float64}
    expected = {"first": score_by_peft(folder, one), "second": score_by_peft(folder, other), "tiny": alone}
    assert len({round(each, 3) for each in expected.values()}) == 3
    for engine in (first, second, base, second, first, base, base.adapted(one, "first")):
        assert score(engine) == pytest.approx(expected[engine.identity], abs=1e-9)
    assert answers(base, QUESTIONS) == said


def test_an_adapted_model_answers_as_one_of_its_own_does(folder: Path, tmp_path: Path) -> None:
    own = adapter(folder, tmp_path, 2)
    beside, shared = engine_of(folder, 2), engine_of(folder, 2)
    beside.adapted(adapter(folder, tmp_path / "other", 3), "other")
    assert answers(beside.adapted(own, "own"), QUESTIONS) == answers(shared.adapted(own, "own"), QUESTIONS)


def test_an_adapter_that_cannot_be_read_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    own = adapter(folder, tmp_path, 2)
    for name, sentence in (
        ("adapter_model.safetensors", "adapter_model.safetensors is damaged or cut off ("),
        ("adapter_config.json", "not a readable model ("),
    ):
        whole = (own / name).read_bytes()
        (own / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UserError) as error:
            engine_of(folder, 2).adapted(own, "own")
        assert error.value.message.startswith(f"{own}: {sentence}")
        (own / name).write_bytes(whole)


def test_an_adapter_of_another_shape_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    tokenizer = build_tokenizer(EXAMPLES, TINY)
    build_model(tokenizer, TINY.model_copy(update={"hidden_size": 32})).save_pretrained(tmp_path / "wide")
    wide = adapter(tmp_path / "wide", tmp_path / "adapter", 2)
    with pytest.raises(UserError) as error:
        engine_of(folder, 2).adapted(wide, "wide")
    assert error.value.message.startswith(
        f"{wide}: its weights do not fit the base: 4 of another shape (model.layers.0."
    )


def test_a_closed_model_cannot_be_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(folder, 2)
    model, left = weakref.ref(engine._model), []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: left.append(model()))
    engine.close()
    assert left == [None]  # the GPU's memory is given back when the model is gone


def test_nothing_is_shown(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    answers(engine_of(folder, 2), QUESTIONS)
    assert capfd.readouterr() == ("", "")


def test_where_nothing_can_be_asked_the_model_is_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(folder, 2)
    monkeypatch.setattr(engine._model, "generate", None)
    assert completed(engine, [], GREEDY) == []
    assert answers(engine, [TOO_MANY])[TOO_MANY].finish is Finish.TOO_LONG


def saved(out: Path, **lacks: Any) -> Path:
    """A model folder whose tokenizer has other settings."""
    tokenizer = build_tokenizer(EXAMPLES, TINY)
    for name, value in lacks.items():
        setattr(tokenizer, name, value)
    build_model(build_tokenizer(EXAMPLES, TINY), TINY).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def test_a_tokenizer_without_a_padding_token_pads_with_its_end_token_which_is_masked(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    without = engine_of(tmp_path, 5)
    assert without._tokenizer.pad_token == without._tokenizer.eos_token
    assert answers(without, QUESTIONS) == answers(engine_of(folder, 1), QUESTIONS)
    assert dict(without.log_likelihoods([PAIR, (user("I"), "Gladly.")]))[0] == pytest.approx(
        dict(engine_of(folder, 1).log_likelihoods([PAIR]))[0], abs=1e-12
    )


def test_a_tokenizer_without_an_end_is_one_sentence_naming_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{tmp_path}: the tokenizer has no end token, eos_token \(tokenizer_config"):
        engine_of(saved(tmp_path, eos_token=None), 1)


def test_the_models_own_preferences_stay_out(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    preferences = {"repetition_penalty": 100.0, "no_repeat_ngram_size": 1, "min_new_tokens": 5, "do_sample": True}
    (tmp_path / "generation_config.json").write_text(json.dumps(preferences), encoding="utf-8")
    assert answers(engine_of(tmp_path, 2), QUESTIONS) == answers(engine_of(folder, 2), QUESTIONS)


def test_a_model_without_a_chat_template_is_asked_raw_prompts_alone(
    tmp_path: Path, trained: TransformersEngine
) -> None:
    bare = engine_of(saved(tmp_path, chat_template=None), 1)
    assert [each.finish for each in completed(bare, ["How can I sing?"], GREEDY)] == [Finish.LENGTH]
    with pytest.raises(UserError, match=f"^{tmp_path}: the tokenizer has no chat template"):
        answers(bare, QUESTIONS)


def test_a_raw_prompt_is_asked_as_it_stands_and_its_special_tokens_are_read(trained: TransformersEngine) -> None:
    tokenizer = trained._tokenizer
    written = tokenizer.apply_chat_template(user("How can I sing?"), add_generation_prompt=True, tokenize=False)
    said = completed(trained, [written, user("How can I sing?"), "How can I sing?"], GREEDY)
    assert said[0] == said[1] == Completion("Gladly.")
    assert said[2] != said[1]
    assert dict(trained.log_likelihoods([(written, "Gladly.")])) == dict(trained.log_likelihoods([PAIR]))


def test_the_chat_template_is_given_its_variables(trained: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    template = "{% if question %}{% set messages = [{'role': 'user', 'content': question}] %}{% endif %}"
    monkeypatch.setattr(trained._tokenizer, "chat_template", template + trained._tokenizer.chat_template)
    other = replace(GREEDY, chat_template_kwargs='{"question": "Wie kann ich singen?"}')
    assert answers(trained, ["How can I sing?"], other)["How can I sing?"].text == "Sehr gerne!"
    assert answers(trained, ["How can I sing?"])["How can I sing?"].text == "Gladly."


def test_a_thought_that_the_template_opens_is_no_answer_though_it_is_cut(
    trained: TransformersEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opening = trained._tokenizer.chat_template + "{{ '<think>\n' }}"
    monkeypatch.setattr(trained._tokenizer, "chat_template", opening)
    kept = StoredEngine("trained", lambda: trained, Store(tmp_path / "rows.sqlite"))
    [said] = completed(kept, [user("How can I sing?")], Sampling(2))
    [raw] = completed(trained, [user("How can I sing?")], Sampling(2))
    assert raw.text == f"<think>{said.reasoning}" != "<think>"
    assert (said.text, said.finish) == ("", Finish.LENGTH)


def test_a_model_that_does_not_fit_the_memory_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: Any, **__: Any) -> torch.Tensor:
        return torch.empty(2**50)

    engine = engine_of(folder, 3)
    batch = f"{folder}: not enough memory to compute 3 rows at once; lower transformers.batch_size in machines/"
    monkeypatch.setattr(engine._model, "generate", too_large)
    with pytest.raises(UserError, match=batch):
        answers(engine, QUESTIONS)
    monkeypatch.setattr(engine._model, "forward", too_large)
    with pytest.raises(UserError, match=batch):
        dict(engine.log_likelihoods([(user(question), "Gladly.") for question in QUESTIONS]))
    monkeypatch.setattr(LlamaForCausalLM, "from_pretrained", too_large)
    with pytest.raises(UserError, match=f"{folder}: not enough memory to load the model"):
        engine_of(folder, 3)


def test_another_fault_of_a_computation_keeps_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(folder, 3)
    monkeypatch.setattr(engine._model, "generate", lambda **_: torch.empty(2) @ torch.empty(3))
    with pytest.raises(RuntimeError, match="size"):
        answers(engine, QUESTIONS)


def test_attention_is_computed_as_the_profile_says_which_is_part_of_what_the_model_is(folder: Path) -> None:
    plain, eager = (
        TransformersModel(engine="transformers", dtype="float32", attn_implementation=attention)
        for attention in (None, "eager")
    )
    assert eager.numbers == f"{plain.numbers} eager"
    loaded = eager.load(ModelReference(folder), "tiny", MACHINE, ())
    assert loaded._model.config._attn_implementation == "eager"
    said, expected = (answers(engine, QUESTIONS) for engine in (loaded, engine_of(folder, 2, dtype="float32")))
    assert said == expected


def test_flash_attention_wants_its_package_and_a_type_that_it_computes_in(folder: Path) -> None:
    flash = TransformersModel(engine="transformers", dtype="bfloat16", attn_implementation="flash_attention_2")
    (sentence,) = flash.missing("models.base", MACHINE)
    assert sentence == (
        "models.base: attn_implementation flash_attention_2 takes the package flash-attn, which is not installed; install it "
        "beside the locked torch, or take sdpa"
    )
    with pytest.raises(UserError, match="takes the package flash-attn, which is not installed"):
        flash.load(ModelReference(folder), "tiny", MACHINE, ())
    with pytest.raises(
        ValueError, match="flash_attention_2 does not compute in float32; set dtype: bfloat16, or take sdpa"
    ):
        TransformersModel(engine="transformers", dtype="float32", attn_implementation="flash_attention_2")
