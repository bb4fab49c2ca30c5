"""What a study costs, as `plan --price` estimates it."""

import pytest

from jobs.planning import plan
from jobs.results.schema import Attempt
from jobs.results.writer import new_attempt_id, write
from jobs.study import study

TEXT = """study: s
trial:
  data: {name: file, path: mine.csv}
  n_clusters: 2
  method: cc
  batch_size: 8
  epochs: 3
  encoder: {name: mlp, widths: [4]}
seeds: [0, 1, 2, 3, 4, 5]
resources: {cpu: 2}
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine.csv").write_text("a,b\n" + "".join(f"{n % 2 * 9 + n / 10},{n * n % 7}\n" for n in range(20)))
    (tmp_path / "study.yaml").write_text(TEXT)
    return tmp_path / "study.yaml"


def finish(file, *lengths, device="cpu"):
    """Rows of the first trials of the plan, which took so many seconds."""
    for one, seconds in zip(plan.make(study.load(file)).trials, lengths, strict=False):
        about = {"trial_key": one.trial_key, "config_key": one.config_key, "seed": one.seed, "device": device}
        row = Attempt(study="s", attempt_id=new_attempt_id(), status="ok", seconds=seconds, **about)
        write(str(file.parent / "results"), row)


def shown(command, file, *options):
    code, out, err = command("plan", file, "--results", file.parent / "results", *options)
    assert code == 0, err
    return [line for line in out.splitlines() if line.startswith("cost")]


def test_the_cost_to_go_is_that_of_the_median_of_what_is_done(file, command):
    assert shown(command, file, "--price", "0.05/cpu-hour") == [
        "cost: not known: no trial is done yet; --probe measures one"
    ]
    finish(file, 3600.0, 7200.0, 9000.0)
    assert shown(command, file) == []
    # 3 trials to go, of 2 hours and 2 cores each.
    assert shown(command, file, "--price", "0.05/cpu-hour") == ["cost to go: about 0.6 = 12 cpu-hours x 0.05"]
    assert shown(command, file, "--price", "0.000001/cpu-hour") == ["cost to go: under 0.0001 (12 cpu-hours x 1e-06)"]
    finish(file, *[1.0] * 6)
    assert shown(command, file, "--price", "0.05/cpu-hour") == []


def test_what_a_card_costs_is_told_from_trials_that_ran_on_one(file, command):
    file.write_text(TEXT.replace("cpu: 2", "gpu: 0.25"))
    finish(file, 60.0)
    assert shown(command, file, "--price", "2.5/gpu-hour") == ["cost: not known: nothing was measured on a GPU"]
    finish(file, 60.0, 7200.0, device="NVIDIA H200")
    # 4 trials to go, a quarter of a card each; of the first, the row that counts is the earlier one, of a CPU.
    assert shown(command, file, "--price", "2.5/gpu-hour") == ["cost to go: about 5 = 2 gpu-hours x 2.5"]


def test_a_probe_tells_the_cost_of_the_whole_study(file, command):
    (line,) = shown(command, file, "--price", "1000/cpu-hour", "--probe")
    assert line.startswith("cost of the whole study: about ")
    said, _, hours = line.removeprefix("cost of the whole study: about ").partition(" = ")
    assert float(said) == pytest.approx(1000 * float(hours.partition(" ")[0]), rel=0.02)


@pytest.mark.parametrize(
    ("price", "why"),
    [
        ("2.5", "write it as 2.5/gpu-hour"),
        ("-1/gpu-hour", "write it as 2.5/gpu-hour"),
        ("2.5/gpu-hour", "hold no GPU: give the price as 0.05/cpu-hour"),
    ],
)
def test_a_price_that_does_not_fit_is_refused(file, command, price, why):
    code, _, err = command("plan", file, "--price", price, "--no-data")
    assert (code, err.count("\n"), why in err) == (2, 1, True)
