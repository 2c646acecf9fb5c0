import gzip
import json
import math
import os
import signal
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engines.misbehaving import Reply, Server, fault, said, serving, wrote
from pydantic import ValidationError

from refuseu.core.errors import UserError
from refuseu.engines import machine
from refuseu.engines.machine import Machine
from refuseu.engines.openai import OpenaiEngine, OpenaiMachine, OpenaiModel
from refuseu.engines.openai_faults import OTHER_SERVER, PATIENCE, PROBES
from refuseu.llm.protocol import Completion, Finish, Sampling, completed, row_seed, user
from refuseu.llm.stored import StoredEngine
from refuseu.store.rows import Store

KEY = "planted-key-0123456789"
TEXT = "planted-text-of-a-row"
GREEDY = Sampling(8)
DRAWN = Sampling(8, temperature=0.7, top_p=0.9, seed=3)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (
        "ALL_PROXY",
        "all_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "NO_PROXY",
        "no_proxy",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "of-another-service")
    monkeypatch.setenv("SERVICE_KEY", KEY)


def named(model: str = "model", key: str | None = None) -> OpenaiModel:
    return OpenaiModel(engine="openai", model=model, key=key)


SECTION = OpenaiMachine(base_url="http://here:1/v1?secret", concurrency=1, retries=0, timeout=1.0)
HERE = Machine(workers=1, loaded=1, engines={"openai": SECTION})


def engine(server: Server, key: str | None = None, **settings: Any) -> OpenaiEngine:
    return OpenaiEngine(named(key=key), server.url, **{"retries": 1, "timeout": 30, **settings})


def ask(
    asked: OpenaiEngine | StoredEngine, rows: list[str], sampling: Sampling = GREEDY
) -> tuple[list[tuple[int, Completion]], str]:
    """What was yielded, and the error at the end."""
    yielded: list[tuple[int, Completion]] = []
    try:
        yielded.extend(asked.complete([user(row) for row in rows], sampling))
    except UserError as error:
        return yielded, error.message
    return yielded, ""


def outcome(reply: Reply) -> Completion:
    """Of the one row that gets ``reply``, though two others get theirs."""
    with serving({"bad": [reply]}) as server:
        yielded, error = ask(engine(server, retries=0), ["first", "bad", "last"])
        assert server.requests == {"first": 1, "bad": 1, "last": 1}
    done = dict(yielded)
    assert (error, len(yielded), sorted(done)) == ("", 3, [0, 1, 2])
    assert (done[0], done[2]) == (Completion("echo first"), Completion("echo last"))
    return done[1]


def stopped(server: Server, reason: str) -> str:
    """What is said where nothing came of the first row."""
    return f"model at {server.url}: {reason}; no row is done"


def failed(reason: str) -> Completion:
    return Completion("", Finish.FAILED, reason=reason)


def stored(asked: OpenaiEngine, rows: list[str], store: Store) -> list[str]:
    return [
        completion.text for completion in completed(StoredEngine("x", lambda: asked, store), [*map(user, rows)], GREEDY)
    ]


def test_each_row_gets_its_own_answer_once() -> None:
    rows = [f"row {number}" for number in range(40)]
    with serving() as server:
        yielded, error = ask(engine(server, concurrency=7), rows)
    assert error == ""
    assert sorted(yielded, key=lambda each: each[0]) == [
        (position, Completion(f"echo {row}")) for position, row in enumerate(rows)
    ]
    assert server.requests == dict.fromkeys(rows, 1)


def test_no_more_rows_are_under_way_than_allowed() -> None:
    full = threading.Barrier(3)
    rows = [f"row {number}" for number in range(10)]  # nine after the first: three times three
    script = {row: [Reply(said("ok").body, before=lambda: full.wait(30))] for row in rows[1:]}
    with serving(script) as server:
        yielded, _ = ask(engine(server, concurrency=3), rows)
    assert len(yielded) == 10
    assert server.most_at_once == 3


def test_all_that_decides_an_answer_is_sent() -> None:
    with serving() as server:
        ask(engine(server), ["row"], DRAWN)
    assert server.bodies == [
        {
            "model": "model",
            "messages": [{"role": "user", "content": "row"}],
            "max_completion_tokens": 8,
            "temperature": 0.7,
            "top_p": 0.9,
            "seed": row_seed(user("row"), DRAWN),
        }
    ]


def test_a_raw_prompt_goes_to_completions_as_it_stands() -> None:
    prompt = "<|user|>\n[INST] row [/INST]\n<|assistant|>"
    with serving({prompt: [wrote(" yes \n", "length")]}) as server:
        assert list(engine(server).complete([prompt], DRAWN)) == [(0, Completion("yes", Finish.LENGTH))]
    assert server.paths == ["/v1/completions"]
    assert server.bodies == [
        {
            "model": "model",
            "prompt": prompt,
            "max_tokens": 8,
            "add_special_tokens": False,
            "temperature": 0.7,
            "top_p": 0.9,
            "seed": row_seed(prompt, DRAWN),
        }
    ]


def test_first_tokens_after_a_raw_prompt_get_their_probability() -> None:
    logprobs = {"top_logprobs": [{"yes": math.log(0.6), "no": math.log(0.3)}, {"no": 0.0}]}
    with serving(
        {"raw": [wrote("yes", logprobs=logprobs)], "none": [wrote("yes", logprobs={"top_logprobs": []})]}
    ) as server:
        said = engine(server).complete(["raw", "none"], Sampling(1, first_tokens=("yes", "no")))
        (_, completion), (_, without) = said
    assert without == failed("the answer has no probabilities of tokens")
    assert completion.probabilities == pytest.approx((0.6, 0.3))
    assert server.bodies[0]["logprobs"] == 20


def test_variables_of_the_chat_template_are_sent_as_vllm_takes_them() -> None:
    with serving() as server:
        ask(engine(server), ["row"], Sampling(8, chat_template_kwargs='{"guardian_config": {"risk_name": "harm"}}'))
    assert server.paths == ["/v1/chat/completions"]
    assert server.bodies[0]["chat_template_kwargs"] == {"guardian_config": {"risk_name": "harm"}}


def test_a_models_own_variables_stand_below_those_of_the_call_and_are_a_part_of_its_identity() -> None:
    dated = {"date_string": "26 Jul 2024", "think": True}
    model = OpenaiModel.model_validate({"engine": "openai", "model": "m", "chat_template_kwargs": dated})
    with serving() as server:
        asked = OpenaiEngine(model, server.url, retries=0)
        ask(asked, ["row"])
        ask(asked, ["row"], Sampling(8, chat_template_kwargs='{"think": false}'))
    assert [body["chat_template_kwargs"] for body in server.bodies] == [dated, {**dated, "think": False}]
    assert asked.identity == 'openai:m {"date_string": "26 Jul 2024", "think": true}'


def test_a_server_is_given_no_clock() -> None:
    entry = {"engine": "openai", "model": "m", "chat_template_kwargs": {"strftime_now": "2024-07-26"}}
    with pytest.raises(ValidationError, match="strftime_now cannot be set on a server; name the variable"):
        OpenaiModel.model_validate(entry)


def test_what_openai_itself_does_not_take_is_one_sentence() -> None:
    asked = OpenaiEngine(named("gpt", "SERVICE_KEY"))
    with pytest.raises(UserError, match=r"^gpt: OpenAI's own service takes no raw prompts; give the model the engine"):
        list(asked.complete(["raw"], GREEDY))
    error = ask(asked, ["row"], Sampling(8, chat_template_kwargs="{}"))[1]
    assert error.startswith(
        "gpt: OpenAI's own service takes no variables for a chat template (chat_template_kwargs); give"
    )


def test_a_schema_is_strict() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    with serving() as server:
        ask(engine(server), ["row"], Sampling(8, schema=json.dumps(schema)))
    assert server.bodies[0]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": schema},
    }


def top(**probabilities: float) -> dict[str, Any]:
    tokens = [{"token": token, "logprob": math.log(value)} for token, value in probabilities.items()]
    return {"content": [{"token": "safe", "logprob": -0.1, "top_logprobs": tokens}]}


def test_first_tokens_get_their_probability_and_0_when_they_are_not_among_the_likeliest() -> None:
    sampling = Sampling(1, first_tokens=("safe", "unsafe", "other"))
    with serving({"row": [said("safe", logprobs=top(safe=0.6, u=0.1, uns=0.2, Safe=0.05))]}) as server:
        [(_, completion)], _ = ask(engine(server), ["row"], sampling)
    assert completion.probabilities == pytest.approx((0.6, 0.2, 0.0))
    assert (server.bodies[0]["logprobs"], server.bodies[0]["top_logprobs"]) == (True, 20)


@pytest.mark.parametrize("logprobs", [None, {"content": None}, {"content": []}])
def test_an_answer_without_the_probabilities_is_a_failed_row(logprobs: Any) -> None:
    sampling = Sampling(1, first_tokens=("safe",))
    script = {"with": [said("safe", logprobs=top(safe=0.5))], "row": [said("safe", logprobs=logprobs)]}
    with serving(script) as server:
        yielded, error = ask(engine(server), ["with", "row"], sampling)
        assert (yielded[1], error) == ((1, failed("the answer has no probabilities of tokens")), "")
        assert ask(engine(server), ["row", "with"], sampling) == (
            [],
            stopped(server, f"the answer has no probabilities of tokens; {OTHER_SERVER}"),
        )
        assert server.requests == {"with": 1, "row": 2}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (said(" cut \n", "length"), Completion("cut", Finish.LENGTH)),
        (said(None, "length"), Completion("", Finish.LENGTH)),
        (said("whole", "eos"), Completion("whole")),
        (said("whole", "end_turn"), Completion("whole")),
        (said("whole", "STOP"), Completion("whole")),
        (said("whole", None), Completion("whole")),
        (said("whole", "something_new"), Completion("whole")),
        (said("cut", "max_tokens"), Completion("cut", Finish.LENGTH)),
        (said(""), Completion("")),
        (said("No.", message={"reasoning_content": " why\n"}), Completion("No.", reasoning="why")),
        (said("No.", message={"reasoning": "why"}), Completion("No.", reasoning="why")),
        (said("No.", message={"reasoning": {"effort": "low"}}), Completion("No.")),
        (said(None, "length", message={"reasoning": "why"}), Completion("", Finish.LENGTH, reasoning="why")),
        (said("partly", "content_filter"), Completion("", Finish.DECLINED)),
        (said("partly", "SAFETY"), Completion("", Finish.DECLINED)),
        (said(None, message={"refusal": "No."}), Completion("", Finish.DECLINED)),
        (fault(400, code="content_filter"), Completion("", Finish.DECLINED)),
        (fault(400, code="context_length_exceeded"), Completion("", Finish.TOO_LONG)),
        (fault(400, "prompt contains 9 input tokens", code=400, param="input_tokens"), Completion("", Finish.TOO_LONG)),
        (fault(400, "exceeds the available context size"), Completion("", Finish.TOO_LONG)),
    ],
)
def test_the_service_s_own_endings_are_outcomes_of_their_row(reply: Reply, expected: Completion) -> None:
    assert outcome(reply) == expected


NOT_A_COMPLETION = "the answer is no completion"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(b"{'no json"), NOT_A_COMPLETION),
        (Reply(b'"' + TEXT.encode() + b'"'), NOT_A_COMPLETION),
        (Reply(b'{"choices": []}'), NOT_A_COMPLETION),
        (Reply(b'{"error": {"message": "in a good answer"}}'), NOT_A_COMPLETION),
        (said(TEXT, "abort"), "the server broke the answer off"),
        (said(TEXT, "error"), "the server broke the answer off"),
        (said(None, None), "the server broke the answer off"),
        (said(None), "the answer has no text (its content is null)"),
        (
            Reply(b'{"choices": [{"finish_reason": "stop", "message": {}}]}'),
            "the answer has no text (its content is null)",
        ),
        (said(None, "tool_calls"), "the answer has no text (its content is null)"),
        (
            said(None, "tool_calls", message={"tool_calls": [{"id": "1"}]}),
            "the answer is the call of a tool and no text",
        ),
        (said(" ", "stop", message={"tool_calls": [{"id": "1"}]}), "the answer is the call of a tool and no text"),
        (said("", message={"function_call": {"name": "f"}}), "the answer is the call of a tool and no text"),
        (said("", "something_new"), "the server broke the answer off"),
        (Reply(b"<html>Please log in.</html>"), "the answer is a page for people"),
        (said(TEXT, message={"content": [TEXT]}), NOT_A_COMPLETION),
        (Reply(said(TEXT).body, cut=True), "the connection broke off"),
        (fault(400, TEXT, code="invalid_value", param="messages"), "the server answers 400, invalid_value, messages"),
        (fault(400, TEXT, code=TEXT, param=TEXT), "the server answers 400"),
        (fault(422), "the server answers 422"),
        (fault(422, f"extra input top_p: {TEXT}"), "the server answers 422, top_p"),
        (fault(429), "the server answers 429"),
        (fault(429, headers={"Retry-After": "Wed, 21 Oct 2065 07:28:00 GMT"}), "the server answers 429"),
        (Reply(b"<html>", 503), "the server answers 503"),
    ],
)
def test_a_row_that_fails_is_an_outcome_with_its_reason(reply: Reply, reason: str) -> None:
    assert outcome(reply) == failed(reason)


@pytest.mark.parametrize(
    "passing",
    [
        fault(429, headers={"Retry-After": "0.01"}),
        fault(429),
        fault(500),
        Reply(b"", 503),
        Reply(said("half").body, cut=True),
    ],
)
def test_what_passes_is_asked_again_and_yielded_once(passing: Reply) -> None:
    with serving({"row": [passing, said("at last")]}) as server:
        yielded, error = ask(engine(server), ["first", "row", "last"])
    assert error == ""
    assert sorted(yielded, key=lambda each: each[0])[1] == (1, Completion("at last"))
    assert len(yielded) == 3
    assert server.requests == {"first": 1, "row": 2, "last": 1}


def test_a_server_that_takes_too_long_is_not_waited_for() -> None:
    over = threading.Event()
    with serving({"slow": [Reply(said("late").body, before=lambda: over.wait(30))]}) as server:
        yielded, error = ask(engine(server, retries=0, timeout=0.5), ["first", "slow", "last"])
        over.set()
    assert (dict(yielded)[1], len(yielded), error) == (failed("no answer in time"), 3, "")


@pytest.mark.parametrize(
    ("reply", "key", "sentence"),
    [
        (fault(401, TEXT), "SERVICE_KEY", "the key of SERVICE_KEY is refused (401); export the right one"),
        (fault(401), None, "a key is wanted (401); name the environment variable"),
        (fault(403), "SERVICE_KEY", "the key of SERVICE_KEY may not use it (403)"),
        (fault(404, TEXT), None, "no such model or address (404); correct `model` in profiles/"),
        (Reply(b"<html>Not found</html>", 404), None, "no such model or address (404); correct `model` in profiles/"),
        (fault(400, TEXT, code="model_not_found"), None, "no such model (400, model_not_found)"),
        (fault(402, TEXT), "SERVICE_KEY", "the account has no credit left (402)"),
        (Reply(b"<html>Please log in.</html>"), None, f"the answer is a page for people; {OTHER_SERVER}"),
        (Reply(b""), None, f"the answer is no completion; {OTHER_SERVER}"),
        (Reply(b"null and void"), None, f"the answer is no completion; {OTHER_SERVER}"),
        (Reply(b"", 304), None, "the server sends requests on to another address (304), where"),
        (Reply(b"", 307, {"Location": "/v2/"}), None, "the server sends requests on to http://127.0.0.1:"),
        (
            Reply(b"", 302, {"Location": "https://me:key@b.org:8443/q?key=k"}),
            None,
            "on to https://b.org:8443 (302), where",
        ),
        (Reply(b"", 308, {"Location": "//[::1"}), None, "the server sends requests on to another address (308), where"),
        (Reply(b"", 405), None, f"the server answers 405; {OTHER_SERVER}"),
        (fault(422, "Extra inputs are not permitted: seed"), None, f"the server answers 422, seed; {OTHER_SERVER}"),
        (
            Reply(b'{"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"]}]}', 422),
            None,
            f"the server answers 422, max_completion_tokens; {OTHER_SERVER}",
        ),
        (
            fault(400, "response_format is not supported"),
            None,
            f"the server answers 400, response_format; {OTHER_SERVER}",
        ),
        (fault(400, param="model"), None, f"the server answers 400, model; {OTHER_SERVER}"),
        (
            fault(429, headers={"Retry-After": "3600"}),
            None,
            "the server asks to wait for 3600 seconds (429); run it again",
        ),
        (
            fault(503, headers={"Retry-After": "121"}),
            None,
            "the server asks to wait for 121 seconds (503); run it again",
        ),
        (fault(429, code="insufficient_quota"), "SERVICE_KEY", "no credit left (429, insufficient_quota)"),
        (fault(400, code="unsupported_parameter", param="temperature"), None, "takes no temperature (400"),
        (
            fault(400, code="unknown_parameter", param="chat_template_kwargs"),
            None,
            "knows no chat_template_kwargs (400",
        ),
    ],
)
def test_what_no_row_can_help_is_one_sentence_after_the_first_row(reply: Reply, key: str | None, sentence: str) -> None:
    rows = [f"row {number}" for number in range(50)]
    with serving({row: [reply] for row in rows}) as server:
        yielded, error = ask(engine(server, retries=0, key=key), rows)
        assert server.requests == {"row 0": 1}
    assert yielded == []
    assert error.startswith(f"model at {server.url}: ")
    assert sentence in error
    assert error.endswith("; no row is done")
    assert TEXT not in error


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        url = f"http://127.0.0.1:{held.getsockname()[1]}/v1"
    asked = OpenaiEngine(named(), url, retries=0)
    yielded, error = ask(asked, ["one", "two"])
    assert yielded == []
    assert error == (
        f"model at {url}: the server cannot be reached; start it, or correct its base URL in machines/; no row is done"
    )


def test_when_the_key_is_refused_half_way_the_rows_under_way_are_kept_and_the_others_not_asked() -> None:
    rows = [f"row {number}" for number in range(9)]
    with serving({"row 4": [fault(401)]}) as server:
        yielded, error = ask(engine(server, key="SERVICE_KEY", concurrency=1), rows)
    assert [position for position, _ in yielded] == [0, 1, 2, 3]
    assert error == (
        f"model at {server.url}: the key of SERVICE_KEY is refused (401); export the right one; 4 of 9 rows are done, "
        "and are kept"
    )


def test_a_server_that_fails_row_after_row_is_given_up() -> None:
    rows = [f"row {number}" for number in range(PATIENCE + 5)]
    with serving({row: [fault(500)] for row in rows[1:]}) as server:
        yielded, error = ask(engine(server, retries=0, concurrency=1), rows)
    busy = [(position, failed("the server answers 500")) for position in range(1, PATIENCE)]
    assert yielded == [(0, Completion("echo row 0")), *busy]
    assert sum(server.requests.values()) == PATIENCE + 1
    assert error == (
        f"model at {server.url}: {PATIENCE} rows failed one after the other, and the server answers 500; 1 of 25 rows are done, "
        "and are kept"
    )


def test_rows_that_fail_by_themselves_do_not_stop_the_others() -> None:
    rows = [f"row {number}" for number in range(PATIENCE + 5)]
    with serving({row: [fault(400)] for row in rows[1:-1]}) as server:
        yielded, error = ask(engine(server, concurrency=1), rows)
    assert (yielded[-1], len(yielded), error) == ((PATIENCE + 4, Completion(f"echo {rows[-1]}")), len(rows), "")


def test_a_server_that_no_row_was_answered_by_is_given_up_after_few() -> None:
    rows = [f"row {number}" for number in range(50)]
    with serving({row: [fault(400, TEXT)] for row in rows}) as server:
        yielded, error = ask(engine(server), rows)
        assert sum(server.requests.values()) == PROBES
        assert server.most_at_once == 1
    assert yielded == [(position, failed("the server answers 400")) for position in range(PROBES - 1)]
    assert error == stopped(server, f"{PROBES} rows failed one after the other, and the server answers 400")


LONG = fault(400, code="context_length_exceeded")


def test_a_first_row_that_is_too_long_says_nothing_of_the_server() -> None:
    rows = [f"row {number}" for number in range(30)]
    with serving({"row 0": [LONG], "row 1": [fault(400, code="content_filter")], "row 2": [fault(400)]}) as server:
        yielded, error = ask(engine(server), rows)
    outcomes = [Completion("", Finish.TOO_LONG), Completion("", Finish.DECLINED), failed("the server answers 400")]
    assert (error, len(yielded), [done for _, done in yielded[:3]]) == ("", len(rows), outcomes)
    with serving({"row 0": [LONG], **{row: [fault(422)] for row in rows[1:]}}) as server:
        yielded, error = ask(engine(server), rows)
        assert server.requests == {"row 0": 1, "row 1": 1}
    assert yielded == [(0, outcomes[0])]
    assert error.endswith(f"the server answers 422; {OTHER_SERVER}; 1 of 30 rows are done, and are kept")


def test_pages_in_place_of_answers_stop_the_work_half_way_too() -> None:
    rows = [f"row {number}" for number in range(PATIENCE + 9)]
    with serving({row: [Reply(b"<html>Your session is over.</html>")] for row in rows[1:]}) as server:
        _, error = ask(engine(server, concurrency=1), rows)
        assert sum(server.requests.values()) == PATIENCE + 1
    assert f"{PATIENCE} rows failed one after the other, and the answer is a page for people; 1 of" in error


def test_an_unknown_reason_to_end_is_noted_once_and_the_answers_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"row {number}" for number in range(9)]
    script = {row: [said(row, "something_new" if number % 2 else TEXT)] for number, row in enumerate(rows)}
    with serving(script) as server:
        asked = engine(server)
        assert stored(asked, rows, Store(tmp_path / "rows.sqlite")) == rows
        assert stored(asked, rows, Store(tmp_path / "rows.sqlite")) == rows
        assert server.requests == dict.fromkeys(rows, 1)
    notes = sorted(capsys.readouterr().err.splitlines())
    assert [each.split("'")[1] for each in notes] == ["something else", "something_new"]
    assert all(each.startswith(f"Note: model at {server.url}: answers end by the finish reason") for each in notes)


def test_it_is_not_said_that_others_are_kept_where_none_is(tmp_path: Path) -> None:
    with serving({"one": [fault(400)]}) as server, pytest.raises(UserError) as raised:
        stored(engine(server), ["one"], Store(tmp_path / "rows.sqlite"))
    assert raised.value.message == (
        "x: 1 of 1 rows failed (their positions count from 0): the server answers 400: 0; no row is done"
    )


def test_after_a_failure_only_the_failed_rows_are_asked_again(tmp_path: Path) -> None:
    rows = [f"row {number}" for number in range(12)]
    script = {"row 3": [fault(500), said("echo row 3")], "row 7": [Reply(b"{"), said("echo row 7")]}
    with serving(script) as server:
        asked = engine(server, retries=0, concurrency=4)
        with pytest.raises(
            UserError, match=r"2 of 12 rows failed .*the answer is no completion: 7; the server answers 500: 3;"
        ):
            stored(asked, rows, Store(tmp_path / "rows.sqlite"))
        assert server.requests == dict.fromkeys(rows, 1)
        assert stored(asked, rows, Store(tmp_path / "rows.sqlite")) == [f"echo {row}" for row in rows]
        assert server.requests == dict.fromkeys(rows, 1) | {"row 3": 2, "row 7": 2}


def test_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        over.wait(30)

    over = threading.Event()
    rows = [f"row {number}" for number in range(6)]
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with serving({"row 3": [Reply(said("too late").body, before=interrupt), said("echo row 3")]}) as server:
            asked = engine(server, concurrency=1)
            with pytest.raises(KeyboardInterrupt):
                stored(asked, rows, Store(tmp_path / "rows.sqlite"))
            over.set()
            assert stored(asked, rows, Store(tmp_path / "rows.sqlite")) == [f"echo {row}" for row in rows]
            assert server.requests == dict.fromkeys(rows, 1) | {"row 3": 2}
    finally:
        signal.signal(signal.SIGINT, heard)


def test_a_caller_that_stops_leaves_nothing_under_way() -> None:
    rows = [f"row {number}" for number in range(6)]
    with serving() as server:
        completions = engine(server, concurrency=1).complete([user(row) for row in rows], GREEDY)
        assert next(completions) == (0, Completion("echo row 0"))
        completions.close()
        assert server.requests == {"row 0": 1}


def test_the_engine_can_be_asked_more_than_once() -> None:
    with serving() as server:
        asked = engine(server)
        assert ask(asked, ["one"]) == ask(asked, ["one"]) == ([(0, Completion("echo one"))], "")
        assert ask(asked, []) == ([], "")


def test_the_key_is_sent_and_shown_nowhere(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv("REFUSEU_PROGRESS", "log")
    echoing = [fault(401, f"bad key {KEY}", code=KEY, param=KEY), fault(400, KEY, code=KEY), Reply(KEY.encode())]
    errors = []
    for number, reply in enumerate(echoing):
        with serving({"two": [reply]}) as server:
            asked = engine(server, key="SERVICE_KEY", retries=0)
            kept = StoredEngine(asked.identity, lambda it=asked: it, Store(tmp_path / f"{number}.sqlite"), "respond")
            errors.append(ask(kept, ["one", "two"])[1])
            assert server.authorizations == {f"Bearer {KEY}"}
    seen = capfd.readouterr()
    assert all(errors)
    assert "respond: 1 of 2 rows" in seen.err
    assert caplog.text
    assert KEY not in "".join([*errors, seen.out, seen.err, caplog.text, repr(asked), asked.identity])


def test_without_a_key_s_name_no_other_key_is_sent() -> None:
    with serving() as server:
        ask(engine(server), ["row"])
    assert server.authorizations == {"Bearer none"}


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_a_missing_key_is_one_sentence(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICE_KEY")
    if value is not None:
        monkeypatch.setenv("SERVICE_KEY", value)
    with pytest.raises(UserError, match="the environment variable SERVICE_KEY holds no key; export SERVICE_KEY="):
        OpenaiEngine(named(key="SERVICE_KEY"))


@pytest.mark.parametrize("value", [f"{KEY}\nX: y", f"{KEY}ž", f"Bearer {KEY}"])
def test_a_key_that_no_header_can_carry_is_not_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_KEY", value)
    with pytest.raises(UserError, match="SERVICE_KEY holds something that is no key") as raised:
        OpenaiEngine(named(key="SERVICE_KEY"))
    assert KEY not in raised.value.message


@pytest.mark.parametrize("url", ["localhost:8000/v1", "http://", "http://[::1/v1", "http://host:port/v1"])
def test_an_address_that_is_none_is_one_sentence(url: str) -> None:
    with pytest.raises(UserError, match="the base URL of a server reads http://host:8000/v1"):
        OpenaiEngine(named(), url)


@pytest.mark.parametrize("proxy", ["socks5://me:secret@127.0.0.1:9", "http://127.0.0.1:9", "ftp://no", "http://[::1"])
def test_a_server_on_this_machine_is_asked_by_no_proxy(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, proxy)
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    with serving() as server:
        assert ask(engine(server), ["one"]) == ([(0, Completion("echo one"))], "")
        assert (
            named().missing(
                "served",
                HERE.model_copy(update={"engines": {"openai": SECTION.model_copy(update={"base_url": server.url})}}),
            )
            == []
        )


def test_a_proxy_that_cannot_be_used_is_told_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:secret@127.0.0.1:9")
    sentence = (
        "the environment variable ALL_PROXY names a proxy that cannot be used (a SOCKS proxy takes the package socksio, which is "
        "not installed); correct it, or unset it"
    )
    with pytest.raises(UserError) as raised:
        OpenaiEngine(named(), "http://served.example.org/v1")
    assert raised.value.message == sentence
    assert named().missing("served", HERE) == [sentence]


def test_a_proxy_that_is_asked_is_named_where_nothing_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{held.getsockname()[1]}")
    asked = OpenaiEngine(named(), "http://served.example.org/v1", retries=0)
    assert ask(asked, ["one"])[1].startswith(
        "model at http://served.example.org/v1 (by the proxy of HTTP_PROXY): the server cannot be reached"
    )


def test_a_server_elsewhere_is_asked_by_its_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        asked = OpenaiEngine(named(), "http://served.example.org/v1", retries=0)
        assert ask(asked, ["one"]) == ([(0, Completion("echo one"))], "")
    assert proxy.paths == ["http://served.example.org/v1/chat/completions"]


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda _: None)
    with pytest.raises(
        UserError, match=r"^served: the engine openai takes the package openai, .* openai -c requirements.lock'"
    ):
        named().open("served", HERE)


def test_what_a_server_cannot_do_is_one_sentence() -> None:
    with serving() as server:
        asked = engine(server)
        assert "cannot be made to begin its answer" in ask(asked, ["row"], Sampling(8, prefix="Sure"))[1]
        with pytest.raises(UserError, match="gives no log-likelihoods"):
            asked.log_likelihoods([(user("row"), "answer")])
        assert not server.requests


def test_the_identity_follows_from_the_name_alone() -> None:
    engines = [OpenaiEngine(named("a")), OpenaiEngine(named("a", "SERVICE_KEY"), "http://other/v1")]
    assert [each.identity for each in engines] == ["openai:a", "openai:a"]
    assert named("b").identity == "openai:b"


def test_all_that_is_missing_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICE_KEY")
    odd = Machine(workers=1, loaded=1, engines={"openai": SECTION.model_copy(update={"base_url": "here"})})
    assert named("gpt", "SERVICE_KEY").missing("mine", odd) == [
        "the base URL of a server reads http://host:8000/v1 or https://host/v1; correct it in machines/",
        "the environment variable SERVICE_KEY holds no key; export SERVICE_KEY=… before the stage is run",
    ]
    assert named().missing("mine", Machine(workers=1, loaded=1)) == [
        "mine: the engine openai needs a section openai in machines/; name a machine that has one by REFUSEU_MACHINE (make: "
        "MACHINE=h100)"
    ]
    assert named().missing("mine", HERE) == []
    assert named().address("mine", HERE) == "http://here:1/v1"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_with_both_places_and_nothing_is_sent_there(status: int) -> None:
    with serving() as other:
        location = other.url.replace("//", f"//me:{KEY}@") + f"/chat/completions?question={TEXT}"
        with serving({TEXT: [Reply(b"", status, {"Location": location})]}) as server:
            yielded, error = ask(engine(server, key="SERVICE_KEY"), [TEXT, TEXT])
    assert (yielded, server.requests, other.requests) == ([], {TEXT: 1}, {})
    place = other.url.removesuffix("/v1")
    assert error.startswith(
        f"model at {server.url}: the server sends requests on to {place} ({status}), where nothing was sent"
    )
    assert KEY not in error
    assert TEXT not in error


def blanks(megabytes: int) -> Iterator[bytes]:
    yield from (b" " * 2**20 for _ in range(megabytes))


def packed(megabytes: int) -> bytes:
    pack = zlib.compressobj(wbits=31)
    return b"".join([*map(pack.compress, blanks(megabytes)), pack.compress(said("late").body), pack.flush()])


ENDLESS = 200
"""Megabytes that a server would send; beyond the buffers of a connection nothing of them is read."""


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(packed(300), headers={"Content-Encoding": "gzip"}), id="300 MB of gzip"),
        pytest.param(Reply(b"", rest=lambda: blanks(ENDLESS)), id="without an end"),
        pytest.param(Reply(b"{" + b" " * 2**24), id="long"),
    ],
)
def test_no_more_is_taken_than_the_tokens_asked_for_can_be(reply: Reply, status: int) -> None:
    reply = replace(reply, status=status)
    tracemalloc.start()
    with serving({"bad": [reply]}) as server:
        tracemalloc.reset_peak()
        yielded, error = ask(engine(server, retries=3), ["first", "bad", "last"], Sampling(32))
        _, most = tracemalloc.get_traced_memory()
        assert server.requests == {"first": 1, "bad": 1, "last": 1}
    tracemalloc.stop()
    reason = "the answer is longer than what was asked for can be (1.1 MB)"
    assert (error, dict(yielded)[1], len(yielded)) == ("", failed(reason), 3)
    assert server.sent < ENDLESS * 2**20 / 4
    assert most < 6 * 2**20 + 2 * len(reply.body)


def test_a_server_whose_first_answer_is_too_long_is_asked_nothing_more() -> None:
    reply = Reply(b"", rest=lambda: blanks(ENDLESS))
    with serving({"bad": [reply]}) as server:
        assert ask(engine(server), ["bad", "last"]) == (
            [],
            stopped(server, f"the answer is longer than what was asked for can be (1.1 MB); {OTHER_SERVER}"),
        )
    assert server.requests == {"bad": 1}


@pytest.mark.parametrize(
    "sampling", [Sampling(1, first_tokens=("yes",)), Sampling(64), Sampling(64, first_tokens=("no",))]
)
def test_the_longest_answer_that_can_be_is_taken(sampling: Sampling) -> None:
    """Every token is 128 signs, which JSON writes as six bytes each."""
    token = "\x01" * 128
    entry = {"token": token, "logprob": -123.45678901234567, "bytes": [255] * 128}
    content = [{**entry, "top_logprobs": [entry] * 20}] * sampling.max_new_tokens
    logprobs = {"logprobs": {"content": content}} if sampling.first_tokens else {}
    with serving({"row": [said(token * sampling.max_new_tokens, "length", **logprobs)]}) as server:
        yielded, error = ask(engine(server), ["row"], sampling)
    assert error == ""
    assert yielded[0][1].text == token * sampling.max_new_tokens


def test_gzip_is_unpacked_and_other_packings_are_refused() -> None:
    whole, other = gzip.compress(said("whole").body), {"Content-Encoding": "br"}
    script = {
        "packed": [Reply(whole, headers={"Content-Encoding": "GZIP"})],
        "odd": [Reply(said("odd").body, headers=other)],
        "broken": [Reply(whole[5:], headers={"Content-Encoding": "gzip"})],
    }
    with serving(script) as server:
        yielded, error = ask(engine(server, retries=0), ["packed", "odd", "broken"])
    assert error == ""
    assert dict(yielded) == {
        0: Completion("whole"),
        1: failed("the answer is packed in a way that was not asked for"),
        2: failed("the connection broke off"),
    }


def test_a_body_that_drips_is_not_waited_for() -> None:
    def drops() -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.1)
            yield b" "

    with serving({"slow": [Reply(b"", rest=drops)]}) as server:
        yielded, error = ask(engine(server, retries=0, timeout=0.5), ["first", "slow", "last"])
        assert server.sent < 20
    assert (dict(yielded)[1], len(yielded), error) == (failed("no answer in time"), 3, "")


@pytest.mark.parametrize("message", [{}, {"tool_calls": [{"id": "1"}]}])
def test_an_answer_without_a_text_is_not_kept_and_asked_again(message: dict[str, Any], tmp_path: Path) -> None:
    store = Store(tmp_path / "rows.sqlite")
    with serving({"row": [said(None, "tool_calls", message=message), said("late")]}) as server:
        asked = StoredEngine("x", lambda: engine(server), store)
        _, error = ask(asked, ["first", "row"])
        assert "1 of 2 rows failed" in error
        assert dict(ask(asked, ["first", "row"])[0])[1] == Completion("late")


def test_a_base_url_with_a_password_is_refused_and_not_shown() -> None:
    with serving() as server, pytest.raises(UserError) as raised:
        OpenaiEngine(named(), server.url.replace("//", "//me:secret@"))
    assert raised.value.message.startswith(
        "model: the base URL holds a user, a password or a key, which would stand in"
    )
    assert "secret" not in raised.value.message
