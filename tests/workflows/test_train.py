from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pixelbayes.data import open_source
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import CheckpointError, PixelBayes
from pixelbayes.training import DivergedError, OptimConfig, RunStopped, TrainingConfig
from pixelbayes.training.task import TrainingTask
from pixelbayes.workflows import DataConfig, NetworkConfig, Run, RunConfig, RunError, loading
from pixelbayes.workflows.loading import load_data
from pixelbayes.workflows.runs import is_locked, locked
from pixelbayes.workflows.teaching import soft_labels
from pixelbayes.workflows.train import build_network, train

STEPS = 4  # of an epoch: 50 images in batches of 16, the last one with 2
TIMES = ("images_per_s", "seconds")

HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
"""Before anything here trains."""


def config(**training: Any) -> RunConfig:
    """A small run with everything on that is random: dropout, mirror images, crops."""
    settings = {"batch_size": 16, "epochs": 3, "flip": True, "crop_margin": 1}
    return RunConfig(
        data=DataConfig(limit=50, allow_upscaling=True),
        network=NetworkConfig(features=6, mixtures=2, embedding=4),
        optim=OptimConfig(ema_decay=0.9, schedule="cosine", warmup_steps=3, gradient_clip=5.0),
        training=TrainingConfig(**{**settings, "accuracy_images": 20, **training}),
        seed=3,
    )


def at_step(
    monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], None]
) -> pytest.MonkeyPatch:
    """Does something in the middle of an optimiser step, counted from 1."""
    original = TrainingTask.training_step

    def step_with_action(task: TrainingTask, batch: Any, index: int) -> torch.Tensor:
        if task.trainer.global_step + 1 == step:
            action()
        return original(task, batch, index)

    monkeypatch.setattr(TrainingTask, "training_step", step_with_action)
    return monkeypatch


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def train_stopped_at(step: int, folder: Path, *, resume: bool = False) -> None:
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, step, ctrl_c)
        with pytest.raises(RunStopped):
            train(config(), folder, resume=resume, progress=False)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.set_num_threads(1)
    return train(config(), tmp_path_factory.mktemp("runs") / "whole", progress=False)


def assert_same_run(one: Run, other: Run) -> None:
    state, expected = (torch.load(run.resume_state, weights_only=True) for run in (one, other))
    assert state["global_step"] == expected["global_step"]
    assert set(state["state_dict"]) == set(expected["state_dict"])
    for name, tensor in expected["state_dict"].items():
        assert torch.equal(state["state_dict"][name], tensor), name
    for index, moments in expected["optimizer_states"][0]["state"].items():
        for name, tensor in moments.items():
            assert torch.equal(state["optimizer_states"][0]["state"][index][name], tensor), name
    for name in ("best", "last"):
        files = [run.path / name / "model.safetensors" for run in (one, other)]
        assert files[0].read_bytes() == files[1].read_bytes(), name
    columns, expected_columns = one.metrics(), other.metrics()
    for name in expected_columns:
        if name not in TIMES:
            assert columns[name] == expected_columns[name], name


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(2, id="in the first epoch"),
        pytest.param(STEPS + 3, id="before the last batch of an epoch"),
        pytest.param(2 * STEPS, id="between two epochs"),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    step: int, tmp_path: Path, uninterrupted: Run
) -> None:
    train_stopped_at(step, tmp_path / "run")

    resumed = train(config(), tmp_path / "run", resume=True, progress=False)

    assert_same_run(resumed, uninterrupted)


def test_a_run_can_be_stopped_and_resumed_twice_in_one_epoch(
    tmp_path: Path, uninterrupted: Run
) -> None:
    train_stopped_at(STEPS + 1, tmp_path / "run")
    train_stopped_at(STEPS + 2, tmp_path / "run", resume=True)

    resumed = train(config(), tmp_path / "run", resume=True, progress=False)

    assert_same_run(resumed, uninterrupted)


def test_a_crashed_run_repeats_its_unfinished_epoch(tmp_path: Path, uninterrupted: Run) -> None:
    def crash() -> None:
        raise OSError("disk on fire")

    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, STEPS + 2, crash)
        with pytest.raises(OSError, match="disk on fire"):
            train(config(), tmp_path / "run", progress=False)
    info = Run.open(tmp_path / "run").info
    assert (info["status"], info["reason"]) == ("failed", "OSError: disk on fire")

    resumed = train(config(), tmp_path / "run", resume=True, progress=False)

    assert_same_run(resumed, uninterrupted)


def test_a_longer_resumed_run_equals_one_that_was_as_long_from_the_start(tmp_path: Path) -> None:
    constant = replace(config(epochs=2), optim=OptimConfig(schedule="constant"))
    longer = replace(constant, training=replace(constant.training, epochs=3))
    train(constant, tmp_path / "run", progress=False)

    extended = train(longer, tmp_path / "run", resume=True, progress=False)

    assert_same_run(extended, train(longer, tmp_path / "whole", progress=False))
    assert extended.config.training.epochs == 3


def test_a_stopped_run_says_so_and_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch, STEPS + 2, lambda: signal.raise_signal(signal.SIGTERM))

    with pytest.raises(RunStopped, match="stopped by a signal after step 6") as stopped:
        train(config(), tmp_path / "run", progress=False)

    run = Run.open(tmp_path / "run")
    assert stopped.value.reason == "signal"
    assert (run.info["status"], run.info["reason"], run.info["epochs"]) == ("stopped", "signal", 1)
    assert PixelBayes.load(run.best).metadata.provenance["epoch"] == 1


def test_a_second_ctrl_c_interrupts_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch, STEPS + 2, lambda: (ctrl_c(), ctrl_c())[0])

    with pytest.raises(KeyboardInterrupt):
        train(config(), tmp_path / "run", progress=False)

    assert Run.open(tmp_path / "run").info["status"] == "stopped"


def test_the_time_limit_stops_a_run_resumably(tmp_path: Path) -> None:
    with pytest.raises(RunStopped, match="--max-time is over after step 0") as stopped:
        train(config(max_time="0.000001s"), tmp_path / "run", progress=False)

    assert stopped.value.reason == "max_time"
    assert (tmp_path / "run" / "resume.ckpt").exists()


def test_training_restores_the_signal_handlers(uninterrupted: Run) -> None:
    assert {number: signal.getsignal(number) for number in HANDLERS} == HANDLERS


def test_training_leaves_the_global_random_numbers_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)

    train(config(epochs=1, accuracy_images=0), tmp_path / "run", progress=False)

    assert torch.equal(torch.rand(3), expected)


def test_a_diverged_run_fails_with_advice_and_keeps_its_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TrainingTask.optimizer_step

    def break_weights(task: TrainingTask, *args: Any, **kwargs: Any) -> None:
        original(task, *args, **kwargs)
        if task.trainer.global_step + 1 == STEPS + 2:
            with torch.no_grad():
                task.model.output.bias.fill_(float("nan"))

    monkeypatch.setattr(TrainingTask, "optimizer_step", break_weights)

    with pytest.raises(DivergedError, match=r"after step 6 .*--lr .* or --precision 32\."):
        train(config(precision="bf16-mixed"), tmp_path / "run", progress=False)

    run = Run.open(tmp_path / "run")
    assert run.info["status"] == "failed"
    last = PixelBayes.load(run.last)
    assert last.metadata.provenance["epoch"] == 1
    assert all(parameter.isfinite().all() for parameter in last.network.parameters())


def test_a_run_of_an_older_checkpoint_version_is_not_resumed(
    uninterrupted: Run, tmp_path: Path
) -> None:
    run = shutil.copytree(uninterrupted.path, tmp_path / "run")
    description = run / "last" / "model.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), "version": 1}))
    with pytest.raises(RunError, match="begun by an older pixelbayes"):
        train(uninterrupted.config, run, resume=True, progress=False)


def test_a_finished_run_is_not_resumed(uninterrupted: Run) -> None:
    assert uninterrupted.config.optim.schedule == "cosine"
    with pytest.raises(RunError, match=r"all 3 epochs are done; a new run with --init-from"):
        train(uninterrupted.config, uninterrupted.path, resume=True, progress=False)


def test_a_run_does_not_become_shorter_than_it_is(tmp_path: Path) -> None:
    train_stopped_at(10, tmp_path / "run")  # in its third epoch
    assert Run.open(tmp_path / "run").info["epochs"] == 2
    shorter = replace(config(), training=replace(config().training, epochs=1))
    with pytest.raises(RunError, match="has trained 2 epochs, more than the 1 asked for"):
        train(shorter, tmp_path / "run", resume=True, progress=False)


def test_a_run_does_not_become_longer_where_its_length_decides_the_learning_rate(
    uninterrupted: Run,
) -> None:
    before = uninterrupted.config
    longer = replace(before, training=replace(before.training, epochs=6))
    with pytest.raises(RunError, match="on a schedule that ends at epoch 3, but 6 epochs are aske"):
        train(longer, uninterrupted.path, resume=True, progress=False)


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    train_stopped_at(2, tmp_path / "run")
    (tmp_path / "run" / "resume.ckpt").write_bytes(b"PK\x03\x04 and then nothing")

    with pytest.raises(
        CheckpointError, match=r"cannot continue from .*resume\.ckpt: it is damaged"
    ):
        train(config(), tmp_path / "run", resume=True, progress=False)


def test_a_run_without_improvement_ends_and_says_so(tmp_path: Path) -> None:
    stuck = replace(config(epochs=9, patience=2, accuracy_images=0), optim=OptimConfig(lr=1e-30))

    run = train(stuck, tmp_path / "run", progress=False)

    assert (run.info["reason"], run.info["epochs"], run.info["best_epoch"]) == ("patience", 3, 1)
    with pytest.raises(RunError, match="a --patience above 2 continues it"):
        train(stuck, tmp_path / "run", resume=True, progress=False)


def test_other_settings_do_not_continue_a_run(uninterrupted: Run) -> None:
    other = replace(config(epochs=9), seed=4, network=NetworkConfig(features=7))

    with pytest.raises(
        RunError, match=r"network\.features: 6 there, 7 now; .*seed: 3 there, 4 now"
    ):
        train(other, uninterrupted.path, resume=True, progress=False)


def test_other_data_do_not_continue_a_run(tmp_path: Path, uninterrupted: Run) -> None:
    run = Run.create(tmp_path / "run", config())
    stopped = {"status": "stopped", "epochs": 0, "data_sha256": "0", "split_sha256": None}
    run.update_info(**{**uninterrupted.info, **stopped})

    with pytest.raises(RunError, match=r"data are not those that .* was trained on"):
        train(config(), run.path, resume=True, progress=False)


def test_a_new_run_does_not_overwrite_an_old_one(uninterrupted: Run) -> None:
    with pytest.raises(RunError, match="holds a run; continue it with --resume"):
        train(config(), uninterrupted.path, progress=False)


def test_a_finished_run_describes_itself(uninterrupted: Run) -> None:
    info = json.loads((uninterrupted.path / "run.json").read_text())

    assert info["status"] == "finished"
    assert info["classes"] == [str(digit) for digit in range(10)]
    assert info["versions"]["torch"] == torch.__version__
    bits = uninterrupted.metrics()["val/bits_per_dim"]
    assert info["best_bits_per_dim"] == min(bits)
    assert bits[info["best_epoch"] - 1] == min(bits)


def test_checkpoints_say_where_they_come_from(uninterrupted: Run) -> None:
    metadata = PixelBayes.load(uninterrupted.best).metadata

    assert metadata.classes == tuple(str(digit) for digit in range(10))
    assert metadata.provenance["seed"] == 3
    assert metadata.provenance["config"]["network"]["features"] == 6
    assert metadata.provenance["validation_bits_per_dim"] == min(
        uninterrupted.metrics()["val/bits_per_dim"]
    )


def test_only_run_files_are_left_behind(uninterrupted: Run) -> None:
    expected = ".lock best config.yaml last metrics.csv resume.ckpt run.json split.json tensorboard"
    assert sorted(os.listdir(uninterrupted.path)) == expected.split()


def test_first_weights_depend_on_the_seed_only() -> None:
    dataset = load_data(config().data, crop_margin=1)
    torch.manual_seed(0)
    one = build_network(config(), dataset).state_dict()
    torch.manual_seed(1)
    same = build_network(config(), dataset).state_dict()
    other = build_network(replace(config(), seed=4), dataset).state_dict()

    assert all(torch.equal(tensor, same[name]) for name, tensor in one.items())
    assert not torch.equal(one["input_u.direction"], other["input_u.direction"])


def test_a_second_phase_starts_from_the_weights_of_a_first(
    tmp_path: Path, uninterrupted: Run
) -> None:
    source = PixelBayes.load(uninterrupted.best).network
    second = config(init_from=str(uninterrupted.path))
    model = build_network(second, load_data(second.data, crop_margin=1))
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, source.state_dict()[name]), name
    wider = replace(second, network=replace(second.network, features=7))
    with pytest.raises(RunError, match=r"--init-from .*of another shape"):
        build_network(wider, load_data(second.data, crop_margin=1))


def test_a_teacher_answers_for_each_training_image_in_the_order_of_the_classes(
    uninterrupted: Run, tmp_path: Path
) -> None:
    teacher = PixelBayes.load(uninterrupted.best)
    metadata = replace(teacher.metadata, classes=teacher.classes[::-1])
    PixelBayes(teacher.network, metadata).save(tmp_path / "turned")  # as if it knew them otherwise
    taught = config(objective="hybrid", teacher=str(tmp_path / "turned"))
    dataset = load_data(taught.data, crop_margin=1)

    found = soft_labels(taught, dataset)

    whole = load_data(taught.data, record=dataset.record).split("train")
    assert whole.names == dataset.split("train").names
    expected = teacher.predict_proba(whole.levels).flip(1).float()
    torch.testing.assert_close(found, expected)


def test_a_run_that_a_call_trains_is_neither_resumed_nor_begun_by_another(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="locks of POSIX systems")
    run = tmp_path / "run"
    train_stopped_at(1, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with locked(run), pytest.raises(RunError, match="another call is at work in"):
        train(config(), run, resume=True, progress=False)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    other = tmp_path / "other"
    with locked(other), pytest.raises(RunError, match="another call is at work in"):
        train(config(), other, progress=False)
    assert [path.name for path in other.iterdir()] == [".lock"]
    assert train(config(), other, progress=False).info["status"] == "finished"
    assert not is_locked(other)


def test_a_disk_without_locks_keeps_nobody_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fcntl = pytest.importorskip("fcntl", reason="locks of POSIX systems")

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path):
        assert not is_locked(tmp_path)


def test_a_run_is_taught_by_its_teacher_and_by_no_other_when_resumed(
    uninterrupted: Run, tmp_path: Path
) -> None:
    teacher = tmp_path / "teacher"
    shutil.copytree(uninterrupted.best, teacher)
    taught = config(objective="hybrid", epochs=1, teacher=str(teacher))
    taught = replace(taught, optim=replace(taught.optim, schedule="constant"))
    run = train(taught, tmp_path / "run", progress=False)
    alone = train(
        replace(taught, training=replace(taught.training, teacher=None)),
        tmp_path / "alone",
        progress=False,
    )
    assert run.metrics()["train/loss"] != alone.metrics()["train/loss"]
    assert run.metrics()["train/cross_entropy"] != [None]

    model = PixelBayes.load(teacher)
    torch.nn.init.normal_(model.network.output.bias)
    shutil.rmtree(teacher)
    model.save(teacher)
    longer = replace(taught, training=replace(taught.training, epochs=2))
    with pytest.raises(RunError, match="the teacher is not the one that"):
        train(longer, run.path, resume=True, progress=False)


@pytest.mark.parametrize(
    ("training", "error", "message"),
    [
        ({"objective": "hybrid", "teacher": "cpen455-onepass"}, RunError, "knows the classes chee"),
        ({"teacher": "RUN"}, PixelBayesError, "--teacher says what the cross-entropy aims at"),
        ({"objective": "hybrid", "teacher": "nobody"}, CheckpointError, "nobody"),
        ({"window_step": 16}, RunError, "--window-step 16 does not fit into images of 8 x 8 pix"),
    ],
)
def test_a_teacher_or_a_window_that_does_not_fit_leaves_nothing_behind(
    uninterrupted: Run, tmp_path: Path, training: Any, error: type[Exception], message: str
) -> None:
    given = {
        name: str(uninterrupted.path) if value == "RUN" else value
        for name, value in training.items()
    }
    with pytest.raises(error, match=message):
        train(config(**given), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_widths_by_resolution_come_back_from_a_file(tmp_path: Path) -> None:
    asked = replace(config(), network=NetworkConfig(features=(4, 6, 8), attention="full"))
    (tmp_path / "config.yaml").write_text(asked.to_yaml())
    assert RunConfig.read(tmp_path / "config.yaml") == asked


def test_progress_goes_to_stderr_one_line_an_epoch(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(config(epochs=2), tmp_path / "run")

    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert "val accuracy" in lines[0]


def test_a_mistaken_network_setting_leaves_no_directory(tmp_path: Path) -> None:
    mistaken = replace(config(), network=NetworkConfig(fusion="flim"))

    with pytest.raises(ValueError, match="unknown fusion 'flim'"):
        train(mistaken, tmp_path / "run", progress=False)

    assert not (tmp_path / "run").exists()


def short(**training: Any) -> RunConfig:
    """One epoch of a small run on 30 images."""
    settings = {"batch_size": 16, "epochs": 1, "accuracy_images": 0, **training}
    return RunConfig(
        data=DataConfig(limit=30),
        network=NetworkConfig(features=6, mixtures=2, embedding=4),
        training=TrainingConfig(**settings),
    )


def test_a_longer_run_may_begin_to_keep_checkpoints(tmp_path: Path) -> None:
    run = train(short(), tmp_path / "run", progress=False)
    assert run.kept == {}

    longer = train(
        short(epochs=3, checkpoint_every=1), tmp_path / "run", resume=True, progress=False
    )

    assert list(longer.kept) == [2, 3]
    kept, last = (
        PixelBayes.load(folder).network.state_dict() for folder in (run.kept[3], run.last)
    )
    assert all(torch.equal(tensor, last[name]) for name, tensor in kept.items())


def test_the_folder_of_the_data_may_have_moved_while_their_digest_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The digits come with scikit-learn and have no folder: here one is accepted and not used.
    monkeypatch.setattr(loading, "open_source", lambda data, data_dir: open_source(data))
    train(short(), tmp_path / "run", progress=False)
    moved = replace(short(epochs=2), data=DataConfig(limit=30, data_dir=str(tmp_path)))

    run = train(moved, tmp_path / "run", resume=True, progress=False)

    assert Run.open(run.path).config.data.data_dir == str(tmp_path)
    assert run.info["epochs"] == 2


def test_the_name_of_the_data_may_not_change(tmp_path: Path) -> None:
    train(short(), tmp_path / "run", progress=False)
    other = replace(short(epochs=2), data=DataConfig(limit=29))

    with pytest.raises(RunError, match=r"data\.limit: 30 there, 29 now"):
        train(other, tmp_path / "run", resume=True, progress=False)


class Planted:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.place), "w"))


def test_the_state_of_a_training_cannot_run_code(tmp_path: Path) -> None:
    train_stopped_at(2, tmp_path / "run")
    torch.save({"state_dict": Planted(tmp_path / "was here")}, tmp_path / "run" / "resume.ckpt")
    torch.load(tmp_path / "run" / "resume.ckpt", weights_only=False)["state_dict"].close()
    (tmp_path / "was here").unlink()  # so it would be there, if it were unpickled

    with pytest.raises(CheckpointError, match=r"cannot continue from .*resume\.ckpt"):
        train(config(), tmp_path / "run", resume=True, progress=False)
    assert not (tmp_path / "was here").exists()
