from pathlib import Path
from statistics import fmean

import pytest
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.experiment import HIGH_RESOURCE, LANGUAGES
from refuseu.results.paper import TRAINED, Counterpart, PaperAsr, counterparts

TABLE = ROOT / "data/paper/asr.csv"
CONFIGS = ("instruct", "abliterated", *TRAINED)
MODELS = [Counterpart(size, config) for size in ("8b", "70b") for config in CONFIGS]  # type: ignore[arg-type]
OTHERS = [lang for lang in LANGUAGES if lang not in HIGH_RESOURCE]
UNREAD = {Counterpart("70b", config) for config in TRAINED[1:]}
"""Models whose mean over all languages could not be read."""


@pytest.fixture(scope="module")
def paper() -> PaperAsr:
    return PaperAsr.read(TABLE)


def test_the_table_has_what_could_be_read_and_nothing_twice(paper: PaperAsr) -> None:
    for model in MODELS:
        means = ["high-resource", "others", *([] if model in UNREAD else ["all"])]
        assert list(paper.of(model)) == ["es", "pt", *OTHERS, *means], model
    assert len({row[:3] for row in map(tuple, (each.model_dump().values() for each in paper.rows))}) == len(paper.rows)
    assert paper.of(Counterpart("8b", "custom")) == {}


@pytest.mark.parametrize("model", MODELS)
def test_the_papers_means_follow_from_its_rows_but_for_rounding(model: Counterpart, paper: PaperAsr) -> None:
    """A mean of numbers with two decimals, printed with two, is off by at most half of the last one on either side."""
    of = paper.of(model)
    assert fmean(of[lang] for lang in OTHERS) == pytest.approx(of["others"], abs=0.00501)
    if model not in UNREAD:
        assert (of["high-resource"] + of["others"]) / 2 == pytest.approx(of["all"], abs=0.00501)
    # Four of the six languages were not read: what is left for them must be a rate.
    assert 0 <= 6 * of["high-resource"] - of["es"] - of["pt"] <= 400


def test_the_numbers_that_stand_in_our_texts(paper: PaperAsr) -> None:
    small, large = (paper.of(Counterpart(size, "abliterated")) for size in ("8b", "70b"))  # type: ignore[arg-type]
    languages = ["es", "pt", *OTHERS]
    assert [round(end(small[lang] for lang in languages)) for end in (min, max)] == [42, 79]
    assert [round(end(large[lang] for lang in languages)) for end in (min, max)] == [50, 89]
    assert all(paper.of(Counterpart("8b", config))["all"] < 4 for config in TRAINED)


SMALL = "mlabonne/Meta-Llama-3.1-8B-Instruct-abliterated@0123"
BENIGN = dict.fromkeys((*TRAINED, "custom", "balanced-no-benign"), 0)


def test_aligned_models_have_the_size_of_the_base() -> None:
    large = SMALL.replace("Meta-Llama-3.1-8B-Instruct-abliterated", "Llama-3.1-70B-Instruct-lorablated")
    for base, size in ((SMALL, "8b"), (large, "70b")):
        adapters = dict.fromkeys(("english-only", "custom"), f"{base}+abc vllm bfloat16")
        found = counterparts({"base": f"{base} vllm bfloat16", **adapters, "balanced": "abc vllm bfloat16"}, BENIGN)
        assert found == {
            "base": (size, "abliterated"),
            "english-only": (size, "english-only"),
            "balanced": (size, "balanced"),
        }


def test_a_mix_with_benign_pairs_and_a_base_of_ones_own_are_not_the_papers() -> None:
    identities = {"base": f"{SMALL} vllm bfloat16", "balanced": "abc", "english-only": "def"}
    assert list(counterparts(identities, {**BENIGN, "balanced": 7})) == ["base", "english-only"]
    assert list(counterparts(identities, {})) == ["base"]
    assert counterparts({**identities, "base": "abc transformers float64"}, BENIGN) == {}


def test_models_of_others_are_known_by_their_repository() -> None:
    instruct = "meta-llama/Llama-3.1-70B-Instruct@0123"
    identities = {"mine": f"{instruct} vllm bfloat16", "tuned": f"{instruct}+abc vllm bfloat16", "gpt": "openai:gpt"}
    assert counterparts(identities, BENIGN) == {"mine": ("70b", "instruct")}
    # Trained from the aligned model, a config is not the paper's.
    assert list(counterparts({"base": f"{instruct} vllm bfloat16", "balanced": "abc"}, BENIGN)) == ["base"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "not a readable table ([Errno 2] No such file or directory"),
        ("", "not a readable table (No columns to parse from file)"),
        ("language,size,config,asr\nes,9b,balanced,1.5\n", "row 1: size: must be "),
        ("language,size,config,asr\nes,8b,balanced,\n", "row 1: asr: "),
        ("language,size,config,asr\nes,8b,balanced,high\n", "row 1: asr: must be a number"),
    ],
)
def test_a_table_of_another_shape_is_one_sentence(text: str | None, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "asr.csv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        PaperAsr.read(path)
    assert error.value.message.startswith(f"{path}: {fault}")
    assert error.value.message.endswith(f"; 'git restore {path}' brings it back")
