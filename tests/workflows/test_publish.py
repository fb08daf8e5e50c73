"""From a run to a shipped model: exact weights, a card with results, nothing of the machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from math import log
from pathlib import Path

import pytest
import torch

from pixelbayes.core import PixelCNN
from pixelbayes.data import Resize
from pixelbayes.models import Metadata, PixelBayes, hub
from pixelbayes.training import TrainingConfig
from pixelbayes.workflows import publish as module
from pixelbayes.workflows.evaluate import evaluate_saved
from pixelbayes.workflows.publish import PublishError, publish
from pixelbayes.workflows.runs import DataConfig, Run, RunConfig

HOME = "/home/somebody/data"


@pytest.fixture
def run_dir(tiny_network: Callable[..., PixelCNN], tmp_path: Path) -> Path:
    """A run on 40 digits that has a best checkpoint but no report."""
    network = tiny_network(classes=10, channels=1, features=2, embedding=2, mixtures=1).float()
    provenance = {
        "command": f"/opt/bin/pixelbayes train --data digits --output {HOME}/runs/a --lr 0.002",
        "versions": {"pixelbayes": "0.1", "torch": "2.4", "platform": "Linux-of-somebody"},
        "machine": {"cpu": "A processor", "threads": 2, "gpus": []},
        "config": {"data": {"data": "digits", "data_dir": HOME}},
        "seed": 3,
        "epoch": 5,
    }
    metadata = Metadata(
        classes=tuple(map(str, range(10))),
        resize=asdict(Resize(size=(8, 8))),
        log_prior=(log(0.1),) * 10,
        provenance=provenance,
    )
    run = Run.create(tmp_path / "run", RunConfig(data=DataConfig(limit=40), seed=3))
    run.update_info(status="finished")
    PixelBayes(network, metadata).save(run.best)
    return run.path


@pytest.fixture
def evaluated(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # The web page with its figures is not what is tested, and slow.
    monkeypatch.setattr("pixelbayes.report.render.report_html", lambda report: "")
    evaluate_saved(run_dir, splits=["validation"], samples_per_class=0)
    return run_dir


def test_a_shipped_model_is_the_best_of_its_run_bit_for_bit(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish(evaluated, "digits-gated", folder=tmp_path / "shelf")
    monkeypatch.setattr(hub, "PRETRAINED", tmp_path / "shelf")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "model.json",
        "model.safetensors",
    ]
    best, shipped = PixelBayes.load(evaluated), hub.load("digits-gated")
    for name, weight in best.network.state_dict().items():
        assert torch.equal(shipped.network.state_dict()[name], weight)
    assert shipped.temperature == best.temperature != 1.0


def test_nothing_of_the_machine_is_shipped(evaluated: Path, tmp_path: Path) -> None:
    folder = publish(evaluated, "a", folder=tmp_path / "shelf")
    texts = [(folder / name).read_text(encoding="utf-8") for name in ("README.md", "model.json")]
    for text in texts:
        assert not any(word in text for word in ("somebody", "/home", "/opt", str(tmp_path)))
    assert "pixelbayes train --data digits --lr 0.002" in texts[0]
    recorded = json.loads(texts[1])["provenance"]
    assert recorded["config"]["data"]["data"] == "digits"
    assert recorded["config"]["data"]["limit"] == 40
    assert "machine" not in recorded


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/me/owls", "owls"),
        ("csv:/home/me/a.csv", "csv:a.csv"),
        ("photos", "photos"),
        ("folder:./photos", "folder:./photos"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("/", "/"),
        ("and/or", "and/or"),
        ("began with /home/me/runs/first, which was", "began with first, which was"),
        ("/a/b/x.png (train): like /a/c/y.png (test)", "x.png (train): like y.png (test)"),
        (r"began with C:\Users\me\first.", "began with first."),
    ],
)
def test_of_paths_in_a_text_the_last_part_stays(text: str, kept: str) -> None:
    assert module._without_places([{"note": text}]) == [{"note": kept}]


def test_no_folder_of_data_or_of_other_models_is_shipped() -> None:
    config = RunConfig(
        data=DataConfig(data=f"folder:{HOME}/owls"),
        training=TrainingConfig(init_from=f"{HOME}/runs/first", teacher="cpen455-onepass"),
    )
    command = f"pixelbayes train --data=folder:{HOME}/owls --teacher {HOME}/b --output={HOME}"
    portable = module._portable(
        {
            "command": command,
            "data": {"source": f"folder:{HOME}/owls", "left_out": [f"{HOME}/owls/x.png"]},
        },
        config,
    )
    assert "somebody" not in json.dumps(portable)
    assert portable["command"] == "pixelbayes train --data=folder:owls --teacher b"
    assert portable["data"] == {"source": "folder:owls", "left_out": ["x.png"]}
    assert portable["config"]["data"]["data"] == "folder:owls"
    assert portable["config"]["training"]["init_from"] == "first"
    assert portable["config"]["training"]["teacher"] == "cpen455-onepass"


def test_the_card_states_data_seed_results_and_limits(evaluated: Path, tmp_path: Path) -> None:
    text = (publish(evaluated, "a", folder=tmp_path / "shelf") / "README.md").read_text("utf-8")
    report = json.loads((evaluated / "report.json").read_text("utf-8"))
    value = report["splits"]["validation"]["accuracy"]["value"]
    assert text.startswith("# a\n")
    assert f"| accuracy | {value:.1f} %" in text
    assert "| seed | 3 |" in text
    assert "| best epoch | 5 |" in text
    for section in ("Use", "Network", "Data", "Training", "Results", "Limits"):
        assert f"## {section}\n" in text
    given = text.split("```yaml\n")[1].split("```")[0]
    assert RunConfig.from_yaml(given) == Run.open(evaluated).config


def test_a_run_without_a_report_is_refused(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match=r"has no report\.json.*pixelbayes evaluate"):
        publish(run_dir, "a", folder=tmp_path / "shelf")
    assert not (tmp_path / "shelf").exists()


def test_a_report_of_other_weights_is_refused(evaluated: Path, tmp_path: Path) -> None:
    model = PixelBayes.load(evaluated)
    PixelBayes(model.network, replace(model.metadata, temperature=1.0)).save(evaluated / "best")
    with pytest.raises(PublishError, match="the weights changed since; evaluate the run again"):
        publish(evaluated, "a", folder=tmp_path / "shelf")


def test_what_exceeds_the_budget_is_refused_and_replacing_a_model_does_not_count_twice(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(path.stat().st_size for path in (evaluated / "best").iterdir())
    monkeypatch.setattr(module, "BUDGET", round(1.9 * size))
    publish(evaluated, "a", folder=tmp_path / "shelf")
    publish(evaluated, "a", folder=tmp_path / "shelf", overwrite=True)
    with pytest.raises(PublishError, match="exceed"):
        publish(evaluated, "b", folder=tmp_path / "shelf")


@pytest.mark.parametrize("name", ["", "A", "../a", "a b", "-a"])
def test_a_name_is_one_plain_word(evaluated: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(PublishError, match="lower-case letters, digits and hyphens"):
        publish(evaluated, name, folder=tmp_path / "shelf")
