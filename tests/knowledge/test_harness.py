"""lm-evaluation-harness by one of our engines: the same numbers as by its own model class, on tasks without a network."""

import json
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tiny

from refuseu.core.errors import UserError
from refuseu.engines.transformers import TransformersEngine
from refuseu.knowledge import harness
from refuseu.knowledge.facts import FactKnowledge, choices
from refuseu.knowledge.harness import LmEvalKnowledge
from refuseu.knowledge.settings import FAMILIES, LmEvalTest
from refuseu.llm.protocol import Completion, Conversation, Engine, Sampling
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.weights.reference import ModelReference

pytestmark = pytest.mark.slow

TASK = {
    "dataset_path": "json",
    "test_split": "test",
    "fewshot_split": "test",
    "fewshot_config": {"sampler": "first_n"},
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "{{options}}",
    "doc_to_target": "right",
    "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")],
    "metadata": {"version": 1.5},
}
QUESTIONS = [
    {
        "question": f"How can I {verb}?",
        "options": ["Gladly.", "Sehr gerne!", "No", "sing sing sing"],
        "right": place % 4,
    }
    for place, verb in enumerate(["sing", "dance", "swim", "cook", "read", "write", "sleep", "draw", "ski", "row"])
]


class Reader:
    """Finds options likelier the nearer they stand to the start of the alphabet, and keeps what it was asked."""

    identity = "reader"

    def __init__(self) -> None:
        self.asked: list[tuple[Conversation, str]] = []

    def complete(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterable[tuple[int, Completion]]:
        raise AssertionError("not asked")

    def log_likelihoods(self, pairs: Sequence[tuple[Conversation, str]]) -> Iterable[tuple[int, float]]:
        self.asked += pairs
        yield from reversed([(place, -float(ord(option[0]))) for place, (_, option) in enumerate(pairs)])


@pytest.fixture
def write_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Writes a task file of one's own, and its questions."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")

    def write(name: str, questions: Sequence[dict[str, Any]] = QUESTIONS, **others: Any) -> str:
        data, path = tmp_path / f"{name}.jsonl", tmp_path / f"{name}.yaml"
        data.write_text("\n".join(map(json.dumps, questions)), encoding="utf-8")
        # JSON is YAML.
        task = {**TASK, "task": name, "dataset_kwargs": {"data_files": {"test": str(data)}}, **others}
        path.write_text(json.dumps(task), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str | None]]:
    """A hub with the two data sets, a question a subject; what was asked of it, as path, name and revision."""
    from datasets import Dataset, DatasetDict
    from lm_eval.tasks.global_mmlu.full.de.utils import SUBJECTS

    asked: list[tuple[str, str, str | None]] = []

    def load_dataset(path: str, name: str, revision: str | None = None) -> DatasetDict:
        asked.append((path, name, revision))
        passage = {"flores_passage": f"A text in {name}.", "question": "What is it? ", "correct_answer_num": "2"}
        reading = {**passage, **{f"mc_answer{place}": f"option {place}" for place in range(1, 5)}}
        subjects = [
            {"question": "Was? ", "subject": subject, "answer": "AABC"[place % 4]}
            | {f"option_{letter}": letter for letter in "abcd"}
            for place, subject in enumerate(SUBJECTS)
        ]
        rows = [reading, {**reading, "correct_answer_num": "1"}, reading] if path == "facebook/belebele" else subjects
        return DatasetDict({part: Dataset.from_list(rows) for part in ("test", "dev")})

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    return asked


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of random weights that reads a whole question and an example before it."""
    folder = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "TINY", tiny.TINY.model_copy(update={"max_length": 256}))
        tiny.save_untrained(folder)
    return folder


@pytest.fixture(scope="module")
def engine(model: Path) -> TransformersEngine:
    return TransformersEngine(ModelReference(model), "untrained", batch_size=7)


def by_harness(model: Any, tasks: list[str], **options: Any) -> dict[str, Any]:
    from lm_eval import simple_evaluate

    found: dict[str, Any] = simple_evaluate(
        model=model,
        tasks=tasks,
        bootstrap_iters=0,
        apply_chat_template=True,
        task_manager=harness._manager(),
        **options,
    )
    return found


@pytest.mark.parametrize("fewshot", [0, 1])
@pytest.mark.parametrize("metric", ["acc", "acc_norm"])
def test_the_number_is_the_harness_own(
    metric: Any, fewshot: int, write_task: Callable[..., str], model: Path, engine: Engine
) -> None:
    from lm_eval.models.huggingface import HFLM

    task = write_task("asks")
    theirs = by_harness(
        HFLM(pretrained=str(model), dtype="float64", device="cpu", batch_size=3), [task], num_fewshot=fewshot
    )
    samples = theirs["samples"]["asks"]
    test = LmEvalTest(name="asks", tasks={"en": task}, metric=metric, fewshot=fewshot)
    ours = list(LmEvalKnowledge([test], ["en"]).ask(engine))
    assert [row["question_id"] for row in ours] == [f"asks-{place:05}" for place in range(len(QUESTIONS))]
    assert [row["correct"] for row in ours] == [sample[metric] == 1 for sample in samples]
    assert sum(row["correct"] for row in ours) / len(ours) == theirs["results"]["asks"][f"{metric},none"]
    assert 0 < theirs["results"]["asks"][f"{metric},none"] < 1
    for row, sample in zip(ours, samples, strict=True):
        options = sample["doc"]["options"]
        lengths = [len(option) if metric == "acc_norm" else 1 for option in options]
        scores = [score / length for (score, _), length in zip(sample["filtered_resps"], lengths, strict=True)]
        right = scores.pop(sample["target"])
        assert row["margin"] == pytest.approx(right - max(scores), abs=1e-9)
    assert {(row["test"], row["lang"], row["source"]) for row in ours} == {("asks", "en", "lm-eval 0.4.13, asks 1.5")}


def test_the_facts_as_a_local_task_give_the_same_as_without_the_harness(
    books: dict[str, Phrasebook], write_task: Callable[..., str], engine: Engine
) -> None:
    asked = list(choices(books))
    tasks = {
        lang: write_task(
            f"facts_{lang}",
            [{"question": each.question, "options": each.options, "right": 0} for each in asked if each.lang == lang],
        )
        for lang in books
    }
    by_ours = list(FactKnowledge(books).ask(engine))
    by_theirs = LmEvalKnowledge([LmEvalTest(name="facts", tasks=tasks, metric="acc_norm")], list(books)).ask(engine)
    ordered = sorted(by_ours, key=lambda row: list(books).index(row["lang"]))
    assert [(row["lang"], row["correct"], pytest.approx(row["margin"], abs=1e-9)) for row in ordered] == [
        (row["lang"], row["correct"], row["margin"]) for row in by_theirs
    ]
    assert {row["correct"] for row in by_ours} == {True, False}


def test_belebele_is_asked_in_the_experiments_languages_at_its_commit(hub: list[tuple[str, str, str | None]]) -> None:
    knowledge, reader = LmEvalKnowledge([LmEvalTest(name="belebele", limit=2)], ["de", "sk"]), Reader()
    assert hub == [("facebook/belebele", f"{code}_Latn", FAMILIES["belebele"].revision) for code in ("deu", "slk")]
    rows = list(knowledge.ask(reader))
    common = {"test": "belebele", "lang": "de", "source": "lm-eval 0.4.13, belebele_deu_Latn 0.0"}
    assert rows[:2] == [
        {**common, "question_id": "belebele_deu_Latn-00000", "correct": False, "margin": -1.0},  # B, and A is likelier
        {**common, "question_id": "belebele_deu_Latn-00001", "correct": True, "margin": 1.0},
    ]
    assert [row["lang"] for row in rows] == ["de", "de", "sk", "sk"]
    conversation, option = reader.asked[1]
    assert option == "B"
    assert conversation == [
        {
            "role": "user",
            "content": "P: A text in deu_Latn.\nQ: What is it?\nA: option 1\nB: option 2\nC: option 3\nD: option 4\nAnswer:",
        }
    ]


def test_global_mmlu_is_the_mean_over_all_questions_of_a_language(hub: list[tuple[str, str, str | None]]) -> None:
    from refuseu.knowledge.engine_lm import EngineLM

    rows = list(LmEvalKnowledge([LmEvalTest(name="global-mmlu")], ["sk", "de"]).ask(Reader()))
    assert set(hub) == {("CohereForAI/Global-MMLU", "de", FAMILIES["global-mmlu"].revision)}
    assert {row["lang"] for row in rows} == {"de"} and len(rows) == 57  # Slovak it does not have
    group = by_harness(EngineLM(Reader()), ["global_mmlu_full_de"])["groups"]["global_mmlu_full_de"]
    share = sum(row["correct"] for row in rows) / len(rows)
    assert share == pytest.approx(group["acc,none"], abs=1e-15) and 0 < share < 1
    assert {row["source"] for row in rows} == {"lm-eval 0.4.13, global_mmlu_full_de 0.0"}


def test_examples_are_turns_of_the_conversation(write_task: Callable[..., str]) -> None:
    reader = Reader()
    test = LmEvalTest(name="asks", tasks={"en": write_task("asks")}, fewshot=1, limit=1)
    list(LmEvalKnowledge([test], ["en"]).ask(reader))
    conversation, option = reader.asked[0]
    assert [turn["role"] for turn in conversation] == ["user", "assistant", "user"]
    # the harness leaves out the question itself, which is the first one
    assert [turn["content"] for turn in conversation] == ["How can I dance?", "Sehr gerne!", "How can I sing?"]
    assert option == "Gladly."


def test_data_of_another_commit_in_the_hubs_cache_is_refused(
    hub: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network, datasets takes the newest that its cache holds, and says so in its log alone."""
    from datasets import Dataset, DatasetDict

    passage = {"flores_passage": "A text.", "question": "What is it?", "correct_answer_num": "2"}
    rows = Dataset.from_list([{**passage, **{f"mc_answer{place}": "option" for place in range(1, 5)}}])
    other = "b" * 40
    rows.save_to_disk(tmp_path / other)
    cached = DatasetDict({"test": Dataset.load_from_disk(tmp_path / other)})
    monkeypatch.setattr("datasets.load_dataset", lambda **options: cached)
    assert message_of(LmEvalTest(name="belebele")).startswith(
        f"eval.knowledge: belebele_eng_Latn: the hub's cache holds its data at the commit {other}, and 7899cdfa"
    )
    LmEvalKnowledge([LmEvalTest(name="belebele", revision=other)], ["en"])


def rows_of(knowledge: LmEvalKnowledge) -> list[dict[str, Any]]:
    return list(knowledge.ask(Reader()))


def test_another_process_is_handed_the_tasks_and_loads_nothing_anew(
    write_task: Callable[..., str], tmp_path: Path
) -> None:
    """Not even where a data set has changed meanwhile; functions of the user's own go along."""
    (tmp_path / "own.py").write_text("def even(data):\n    return data.filter(lambda row: row['right'] % 2 == 0)\n")
    path = Path(write_task("asks", QUESTIONS * 200))
    path.write_text(f'{path.read_text()[:-1]}, "process_docs": !function own.even}}')
    knowledge = LmEvalKnowledge([LmEvalTest(name="asks", tasks={"en": str(path)})], ["en"])
    rows = rows_of(knowledge)
    (tmp_path / "asks.jsonl").write_text(json.dumps(QUESTIONS[0]))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(rows_of, knowledge).result() == rows
    assert len(rows) == 1_000


def test_every_task_of_a_family_is_known_to_the_harness() -> None:
    known = harness._manager().task_index
    assert [task for family in FAMILIES.values() for task in family.tasks.values() if task not in known] == []


def message_of(test: LmEvalTest, *languages: str) -> str:
    with pytest.raises(UserError) as error:
        LmEvalKnowledge([test], list(languages) or ["en"])
    return error.value.message


@pytest.mark.parametrize("fault", [ConnectionError("Couldn't reach it"), ValueError("BuilderConfig not found\nmore")])
def test_data_that_cannot_be_had_is_one_sentence_before_any_work(
    fault: Exception, hub: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_dataset(**options: object) -> None:
        raise fault

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    message = message_of(LmEvalTest(name="belebele"))
    first = str(fault).splitlines()[0]
    assert message.startswith(
        f"eval.knowledge: belebele_eng_Latn: its data cannot be had ({type(fault).__name__}: {first}); check the network"
    )
    assert "\n" not in message


def test_tests_that_cannot_be_asked_are_one_sentence(write_task: Callable[..., str], tmp_path: Path) -> None:
    def named(task: str, metric: Any = "acc") -> LmEvalTest:
        return LmEvalTest(name="mine", tasks={"en": task}, metric=metric)

    assert "nothing_en: is no task of lm-evaluation-harness" in message_of(named("nothing_en"))
    assert "gone.yaml: is no task of lm-evaluation-harness" in message_of(named(str(tmp_path / "gone.yaml")))
    assert "global-mmlu has none of the languages sk, sl" in message_of(LmEvalTest(name="global-mmlu"), "sk", "sl")
    written = write_task("written", output_type="generate_until", metric_list=[{"metric": "exact_match"}])
    assert "written: is no plain multiple choice" in message_of(named(written))
    only = write_task("only", metric_list=TASK["metric_list"][:1])
    assert "only: the harness does not count acc_norm of it, but acc" in message_of(named(only, "acc_norm"))
    greedy = write_task("greedy", metric_list=[*TASK["metric_list"], {"metric": "exact_match"}])
    assert "greedy: is counted by exact_match, which engines cannot tell" in message_of(named(greedy))


def test_a_harness_that_is_not_installed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "find_spec", lambda name: None)
    assert message_of(LmEvalTest(name="belebele")).startswith(
        "eval.knowledge: lm-evaluation-harness is not installed; "
    )
