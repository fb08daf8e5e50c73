"""Each benchmark runs, on something tiny; nothing here looks at a time."""

from __future__ import annotations

import dataclasses
import math
import sys
from contextlib import ExitStack

import pytest
import torch
from benchmarks.__main__ import main
from benchmarks.measuring import Isolated
from benchmarks.records import Record

from benchmarks import (
    anytime,
    classification,
    costs,
    gpu,
    losses,
    peer,
    port,
    rates,
    sampling,
    scaling,
    scoring,
    steps,
)
from pixelbayes.core import PixelCNNConfig
from pixelbayes.core.likelihood import log_logistic_bin, to_axis
from pixelbayes.data import LabelledImages, Resize
from pixelbayes.data.images import ImageDataset
from pixelbayes.evaluation import Estimate
from pixelbayes.inference import BayesClassifier
from pixelbayes.report import ModelResult, SplitResult

TINY = PixelCNNConfig(
    classes=2, image_size=(8, 8), channels=1, features=4, blocks_per_stage=1, mixtures=1
)


def drawable(record: Record, module) -> bool:
    return bool(module.draw(Record.from_json(record.to_json())))


def test_sampling_compares_equal_levels():
    plan = sampling.Plan(
        config=TINY, batches=(1, 2), repeats=1, passes=2, memory_batches=(), widths=(4,)
    )
    record = sampling.measure(plan)
    assert record.table("The naive sampler").rows[0]["equal"] == 100.0
    assert [row["batch"] for row in record.table("Time").rows] == [1, 2]
    assert drawable(record, sampling)


def test_a_folder_without_a_port_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no model\.py and utils\.py"):
        port.port_steps(str(tmp_path), TINY, 1, 1)


def write_port(folder):
    (folder / "model.py").write_text(
        "import torch\n"
        "class PixelCNN(torch.nn.Conv2d):\n"
        "    def __init__(self, nr_resnet, nr_filters, input_channels, nr_logistic_mix):\n"
        "        super().__init__(input_channels, nr_filters, 1)\n"
        "    def forward(self, x, sample=False):\n"
        "        return super().forward(x)\n"
    )
    (folder / "utils.py").write_text(
        "calls, draws = [], []\n"
        "def discretized_mix_logistic_loss(x, out):\n"
        "    calls.append(out.shape)\n"
        "    return out.sum()\n"
        "def sample_from_discretized_mix_logistic(out, components):\n"
        "    draws.append(components)\n"
        "    return out[:, :1]\n"
    )


def test_a_port_is_trained_and_draws_as_it_stands(tmp_path, monkeypatch):
    write_port(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    port.port_steps(str(tmp_path), TINY, 2, 3)()
    port.port_passes(str(tmp_path), TINY, 1, 2)()
    utilities = sys.modules.pop("utils")
    assert utilities.calls == [(2, TINY.features, 8, 8)] * 3
    assert utilities.draws == [1, 1]
    del sys.modules["model"]


class Here(ExitStack):
    """Work that would have a process of its own, in this one."""

    def __init__(self, build, *arguments):
        super().__init__()
        self.work = build(*arguments)

    def __call__(self):
        return self.work()


def test_a_port_and_the_package_draw_in_turns(tmp_path, monkeypatch):
    write_port(tmp_path)
    monkeypatch.setattr(port, "Isolated", Here)
    monkeypatch.setattr("sys.path", list(sys.path))
    plan = port.Plan(config=TINY, features=(4,), batch=2, steps=1, repeats=1, drawn=(1,), passes=2)
    record = port.measure(plan, tmp_path)
    (row,) = record.table("Images drawn").rows
    assert row["passes"] == 2
    assert row["port"].median / row["own"].median == pytest.approx(row["ratio"].median)
    assert drawable(record, port)
    del sys.modules["model"], sys.modules["utils"]


def test_the_naive_time_is_the_fixed_cost_and_a_share_for_each_pass():
    assert sampling.naive_seconds([3.0], [1.0], passes=2, config=TINY) == [1.0 + 64.0]


@pytest.mark.parametrize("fusion", ["gated", "late"])
def test_classification_compares_equal_likelihoods(fusion):
    plan = classification.Plan(
        config=TINY,
        classes=(3,),
        fusions=(fusion,),
        images=3,
        alone=1,
        repeats=1,
        memory_classes=(),
    )
    record = classification.measure(plan)
    assert record.table("Images per second").rows[0]["difference"] < 1e-2
    assert drawable(record, classification)


def test_losses_of_both_sides_agree_without_dropout():
    plan = losses.Plan(
        config=dataclasses.replace(TINY, features=6),
        batch=8,
        steps=3,
        seeds=(0,),
        exact_steps=2,
        final=2,
    )
    record = losses.measure(plan)
    assert record.table("Distance").rows[0]["largest"] < 1e-4
    assert {len(curve) for curve in record.curves.values()} == {3}
    assert drawable(record, losses)


def test_the_gpu_script_runs_wherever_it_is_told_to():
    plan = gpu.Plan(
        configs={"tiny": TINY},
        sampling=(1, 2),
        naive=2,
        passes=2,
        training=(2,),
        classification=2,
        alone=1,
        repeats=1,
        matrices=(16,),
    )
    record = gpu.measure(plan, torch.device("cpu"))
    assert record.table("Cached sampling").rows[1]["ratio"].n == 1
    assert record.table("Training steps").rows[0]["side"] == "baseline, float32"
    assert drawable(record, gpu)


@pytest.fixture
def noise(tiny_model, random_levels):
    """Three splits of twelve images for the tiny model, of any size."""

    def dataset(size: tuple[int, int]) -> ImageDataset:
        config = dataclasses.replace(tiny_model.network.config, image_size=size)
        splits = {
            name: LabelledImages(
                random_levels(12, config, seed),
                torch.arange(12) % 3,
                tuple(f"{name}/{i}" for i in range(12)),
            )
            for seed, name in enumerate(("train", "validation", "test"))
        }
        return ImageDataset("noise", tiny_model.classes, splits, Resize(size))

    return dataset


def test_an_anytime_threshold_that_costs_everything_agrees_always(tiny_model, noise):
    plan = anytime.Plan(agreement=0.5, confidence=0.5, thresholds=5, timed=3, repeats=1)
    record = anytime.measure(plan, tiny_model, noise((8, 8)))
    first = [points[0] for points in record.curves.values()]
    assert [(point["cost"], point["agreement"]) for point in first] == [(1.0, 100.0)] * 3
    assert drawable(record, anytime)


@pytest.mark.parametrize("fusion", ["gated", "late"])
def test_scores_of_levels_with_exact_tails_are_those_of_the_classifier(
    tiny_network, random_levels, fusion
):
    network = tiny_network(fusion=fusion)
    levels = random_levels(5, network.config)
    ours = scoring._log_likelihoods(network, to_axis(levels, torch.float64), log_logistic_bin, 2)
    expected = BayesClassifier(network).log_likelihoods(levels)
    assert torch.allclose(ours, expected, rtol=1e-12)


def test_the_papers_likelihood_differs_in_the_tails_only():
    x = to_axis(torch.arange(256), torch.float64)
    near, far = torch.tensor(0.1, dtype=torch.float64), torch.tensor(-7.0, dtype=torch.float64)
    near_scale = torch.tensor(-2.0, dtype=torch.float64)
    exact, paper = log_logistic_bin(x, near, near_scale), scoring.paper_log_bin(x, near, near_scale)
    probable = exact > math.log(scoring.SMALLEST_PROBABILITY)
    assert probable.any()
    assert torch.allclose(exact[probable], paper[probable], rtol=1e-6)
    tail = log_logistic_bin(x, near, far) - scoring.paper_log_bin(x, near, far)
    assert tail.abs().max() > 1.0


def test_scoring_compares_every_way_with_the_first(tiny_model, noise):
    record = scoring.measure(scoring.QUICK, tiny_model.network, noise((16, 16)))
    first, *others = record.tables[0].rows
    assert "more" not in first
    assert len(others) == 6
    assert all("more" in row for row in others)


def test_exponents_are_slopes_in_the_log_log_plot():
    assert scaling.exponent([1, 10, 100], [2, 200, 20000]) == pytest.approx(2.0)
    assert scaling.exponent([1, 2], [0.0, 1.0]) is None


def test_memory_ends_where_the_last_slope_leads():
    assert scaling.end_of_memory([1, 2], [3.0, 3.0], 0.0, 10.0) is None
    assert scaling.end_of_memory([1, 2], [3.0, 3.0001], 0.0, 10.0) is None
    assert scaling.end_of_memory([1, 2, 4], [37.0, 40.0, 52.0], 36.0, 100.0) == pytest.approx(8.0)
    assert scaling.end_of_memory([1, 2, 4], [37.0, 40.0, 52.0], 36.0, 36.0 + 1e6) is None


def test_without_the_instructions_no_bfloat16_is_measured(monkeypatch):
    monkeypatch.setattr(losses, "has_bfloat16", lambda _: False)
    plan = losses.Plan(config=TINY, batch=4, steps=2, seeds=(0,), exact_steps=1, final=1)
    record = losses.measure(plan)
    assert not any("bfloat16" in name for name in record.curves)
    assert steps.NO_BFLOAT16 in record.table("Loss").notes


@pytest.mark.parametrize(
    ("flags", "known"),
    [("avx2 fma", False), ("avx512f avx512_bf16", True), ("amx_bf16", True), ("asimd bf16", True)],
)
def test_bfloat16_is_looked_up_among_the_processors_flags(monkeypatch, flags, known):
    monkeypatch.setattr(steps.Path, "read_text", lambda *_, **__: f"flags : {flags}\n")
    assert steps.has_bfloat16(torch.device("cpu")) == known


def test_large_operations_state_their_arithmetic():
    product, convolution = rates.kernels(torch.float32, sides=(16,))
    assert product.flops == 2 * 16**3
    assert convolution.flops == 2 * 9 * 256**2 * 16 * 32**2


def test_a_step_needs_three_times_the_arithmetic_of_a_pass():
    from benchmarks.subjects import images_and_labels, network
    from torch.utils.flop_counter import FlopCounterMode

    levels, labels = images_and_labels(TINY, 2)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(TINY)(levels, labels)
    forward = counter.get_total_flops() / 2
    assert 2.5 * forward < steps.step_flops(TINY) <= 3.2 * forward


def test_work_in_another_process_answers_and_tells_its_memory():
    with Isolated(scaling.classification, TINY, 2) as side:
        assert side().shape == (2, 2)
        memory = side.memory()
    assert memory.peak >= memory.before > 0


def test_without_a_gpu_the_benchmark_says_so_and_succeeds(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["gpu", "--output", str(tmp_path)]) == 0
    assert "no GPU" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_without_the_peer_the_benchmark_says_how_to_install_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(peer, "is_installed", lambda: False)
    assert main(["peer", "--output", str(tmp_path)]) == 0
    assert "pip install tensorflow-cpu" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_none_is_one_line_and_exit_code_2(capsys, tmp_path):
    assert main(["anytime", str(tmp_path / "nowhere"), "--output", str(tmp_path)]) == 2
    assert "error: no run in" in capsys.readouterr().err


def test_more_classes_take_fewer_images_at_a_time():
    plan = classification.Plan(images=16)
    assert [plan.images_for(classes) for classes in (2, 4, 10, 100)] == [16, 16, 6, 2]


def test_costs_set_published_numbers_beside_the_time_of_each_model(tiny_model, random_levels):
    levels = random_levels(2, tiny_model.network.config)
    right = Estimate(80.0, 76.0, 84.0, 519, "%")
    result = ModelResult(
        name="tiny",
        kind="pixelcnn",
        seed=0,
        fusion="gated",
        parameters=1,
        epochs=1,
        best_epoch=1,
        reason="epochs",
        splits={"validation": SplitResult(split="validation", n=519, measures={"accuracy": right})},
    )
    record = costs.measure(
        {"tiny": tiny_model, "twin": tiny_model},
        levels,
        {"tiny": result, "twin": result},
        {"tiny": 1.5, "twin": 2.0},
        beside="twin",
        repeats=2,
    )
    rows = record.table("Validation").rows
    assert [row["model"] for row in rows] == ["tiny", "twin"]
    assert (rows[1]["times"].low, rows[1]["times"].high) == (1.0, 1.0)
    assert rows[0]["accuracy"] == "80.0 % [76.0, 84.0]"
    assert "bits_per_dim" not in rows[0]
    assert [row["hours"] for row in rows] == [1.5, 2.0]


def test_every_published_model_whose_cost_is_stated_has_results():
    for one in costs.PUBLISHED.values():
        for name in (one.result, *one.begun):
            assert (costs.RESULTS / f"{name}.json").is_file(), name
