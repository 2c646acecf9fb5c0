import pytest
from click.testing import CliRunner
from planned import RAY, machine, training, vllm
from repository import ROOT

from refuseu.commands import doctor, estimate
from refuseu.commands.estimate import Estimate, Prices, duration
from refuseu.llm.size import Size
from refuseu.parameters import load_all
from refuseu.plan import models
from refuseu.plan.arithmetic import H100, Line, Run, gpus_taken, hours_here, paid, work_of
from refuseu.results.markdown import Table

EIGHT = machine(vllm=vllm(tensor_parallel=4), ray=RAY, training=training(processes=8, accelerate="fsdp2"))
SIZES = {"Llama-3.1-70B-Instruct": 70e9, "Llama-3.1-70B-Instruct-lorablated": 70e9, "PolyGuard-Qwen": 7.6e9}


@pytest.fixture(autouse=True)
def sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all models: 8 B, or as above."""
    monkeypatch.setattr(models, "_size", lambda repo, revision: Size(int(SIZES.get(repo.split("/")[1], 8e9)), 1.0))


def run(profile: str = "paper-8b") -> Run:
    return Run(load_all(ROOT, profile))


def column(table: Table, name: str) -> list[str]:
    return [row[table.header.index(name)] for row in table.rows]


def test_the_command_prints_the_estimate_then_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("REFUSEU_MACHINE", "cpu")
    result = CliRunner().invoke(estimate.main, ["--profile", "miniature"])
    assert result.exit_code == 0, result.output
    stages, configs, _, assumed, missing = result.output.split("\n\n")
    assert [line.split()[0] for line in stages.splitlines()[2:] if line[0] != " "] == [
        "base", "rainbow-teaming", "translate", "respond", "label", "split", "dpo", "eval", "total",
    ]  # fmt: skip
    assert "only-de, 10 more" in configs and "one more seed" in configs
    assert "tokens of a word" in assumed and missing == "Nothing is missing on this machine.\n"


@pytest.mark.parametrize("where", sorted(path.stem for path in (ROOT / "machines").glob("*.yaml")))
@pytest.mark.parametrize("profile", sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml")))
def test_a_page_fits_a_terminal_and_has_no_column_of_dashes(
    profile: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSEU_MACHINE", "")  # so that it is restored
    monkeypatch.chdir(ROOT)
    parameters, here = doctor.load_named(profile, where)
    found = Estimate(Run(parameters), here, Prices(2.5, 0.15, 0.6))
    assert max(map(len, found.page().splitlines())) <= 100
    for table in (found.stages(), found.models(), found.costs()):
        for cells in zip(*table.rows, strict=True):
            assert set(cells) - {"", "–"}


def test_each_model_has_the_gpus_that_its_size_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("REFUSEU_MACHINE", "")  # so that it is restored
    expected = {"base": "8 x 1", "instruct": "2 x 4", "llama-guard-3": "8 x 1", "polyguard": "8 x 1", "gpt-4o-mini": ""}
    for profile, base in (("paper-8b", "8 x 1"), ("paper-70b", "2 x 4")):
        found = models.table(*doctor.load_named(profile, "h100x8"))
        shown = dict(zip(column(found, "model"), column(found, "GPUs"), strict=True))
        assert {name: shown[name] for name in expected} == {**expected, "base": base}
    monkeypatch.setattr(models, "_size", lambda repo, revision: None)
    assert (
        dict(
            zip(
                column(found, "model"), column(models.table(*doctor.load_named(profile, "h100x8")), "GPUs"), strict=True
            )
        )["polyguard"]
        == "?"
    )


def test_the_total_is_all_that_is_asked() -> None:
    found = Estimate(run(), EIGHT, Prices())
    whole = Line.sum(found.work.values())
    total = found.stages().rows[-1]
    assert total[:4] == ["total asked", *map(models.short, (whole.rows, whole.read, whole.written))]
    assert total[-1] == duration(whole.hours(H100) / 8)


def test_hours_that_leave_a_model_out_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_size", lambda repo, revision: None)
    found = Estimate(run(), EIGHT, Prices(gpu=1.0))
    known = Line.sum(found.work.values()).hours(H100)
    assert found.stages().rows[-1][-1] == f"≥ {duration(known / 8)}"  # PolyGuard-Qwen's name says no size
    assert column(found.costs(), "amount")[0] == f"≥ {known:.0f}"
    assert column(found.costs(), "money")[-1].startswith("≥ ")
    assert "of polyguard, whose size is not known" in found.page()
    assert "~70G" in found.page() and "by the model's name" in found.page()


def test_all_gpus_of_the_machine_are_paid_for_all_of_the_time() -> None:
    """On two nodes the models are asked on 16 GPUs, and trained on eight of them."""
    nodes = machine(
        vllm=vllm(tensor_parallel=4), ray={**RAY, "workers": 4, "address": "auto"}, training=training(processes=8)
    )
    asked = Line.sum(line for (stage, _), line in work_of(run()).items() if stage != "dpo").hours(H100)
    trained = work_of(run())["dpo", "base"].hours(H100)
    (hours, *_) = Estimate(run(), nodes, Prices(gpu=2.0))._costs(work_of(run()))
    assert hours.amount == pytest.approx(asked + 2 * trained)
    assert hours.money == pytest.approx(2 * hours.amount)


def test_a_training_on_several_nodes_takes_the_gpus_of_all() -> None:
    one, two = (machine(vllm=vllm(), training=training(processes=8, nodes=nodes)) for nodes in (1, 2))
    assert two.training.devices == 16
    work = {("dpo", "base"): work_of(run())["dpo", "base"]}
    assert hours_here(run(), two, work) == pytest.approx((hours_here(run(), one, work) or 0) / 2)
    assert gpus_taken(run(), two, work) == 16


def test_money_is_amounts_times_prices() -> None:
    found = Estimate(run(), EIGHT, Prices(gpu=2.5, read=0.15, written=0.6))
    line = paid(found.run, found.work)["gpt-4o-mini"]
    hours, calls, read, written = found._costs(found.work)
    assert (calls.amount, calls.money) == (line.rows, None)
    assert (read.amount, read.money) == (line.read, pytest.approx(0.15 * line.read / 1e6))
    assert (written.amount, written.money) == (line.written, pytest.approx(0.6 * line.written / 1e6))
    whole = sum(each.money or 0.0 for each in (hours, read, written))
    assert column(found.costs(), "money")[-1] == estimate.money(whole)


def test_a_total_without_some_price_is_a_lower_bound() -> None:
    assert column(Estimate(run(), EIGHT, Prices(read=1.0, written=1.0)).costs(), "money")[-1].startswith("≥ ")
    assert Estimate(run(), EIGHT, Prices()).costs().header == ["paid for", "amount"]


def test_a_model_of_each_mix_has_its_cost_and_so_has_one_more_seed() -> None:
    table = Estimate(run(), EIGHT, Prices(gpu=2.5)).models()
    assert table.header == [
        "a model of", "languages", "models", "pairs", "H100: dpo", "H100: all", "time here", "paid calls", "money",
    ]  # fmt: skip
    assert column(table, "a model of") == [
        "balanced, 1 more", "high-resource", "english-only", "no-english", "custom", "only-de, 10 more", "one more seed",
    ]  # fmt: skip
    assert column(table, "languages") == ["12", "6", "1", "11", "2", "1", ""]
    assert column(table, "models") == ["3", "3", "3", "3", "3", "1", "6"]
    assert column(table, "paid calls") == [*["2,880"] * 6, "17.3k"]
    costs = [float(money.lstrip("~≥ ")) for money in column(table, "money")]
    assert costs[-1] == pytest.approx(2 * costs[0] + sum(costs[1:5]), rel=0.05)


def test_a_machine_that_does_not_run_every_model_has_no_time_here() -> None:
    found = Estimate(run(), machine(), Prices(gpu=2.0))
    assert "H100 time" in found.stages().header and "time here" not in found.stages().header
    assert column(found.costs(), "paid for")[0] == "H100 hours"


def test_cpus_that_do_it_all_need_no_gpu() -> None:
    found = Estimate(run("miniature"), machine(), Prices(gpu=2.0))
    assert found.stages().header[-1] == "time here" and "H100 time" not in found.stages().header
    assert found.costs().rows == []


@pytest.mark.parametrize("text", ["", "-1", "2,5", "$2", "nan", "inf", "1e3", "two", "٣", "2.", "9" * 400])
def test_a_price_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(estimate.main, ["--price-gpu", text])
    assert result.exit_code == 1
    assert result.output == (
        f"Error: PRICE_GPU (--price-gpu): {text!r} is no price; write digits and a point, as in 2.5\n"
    )


def test_prices_of_tokens_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(estimate.main, ["--price-input", "0.15"])
    assert result.exit_code == 1 and result.output.endswith("give both or none\n")


@pytest.mark.parametrize(
    ("hours", "text"),
    [(None, ""), (0.001, "4 s"), (0.25, "15 min"), (1.0, "1.0 h"), (9.94, "9.9 h"), (1234.5, "1,234 h")],
)
def test_a_time_has_the_unit_that_suits_it(hours: float | None, text: str) -> None:
    assert duration(hours) == text
