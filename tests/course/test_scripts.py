"""The course's scripts run as its guide says, here on a tiny copy of the course data."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from math import log
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

import pixelbayes
from pixelbayes.core import PixelCNN
from pixelbayes.data import Resize, write_png
from pixelbayes.evaluation.features import FeatureNetwork, FIDInception, FIDWeightsError
from pixelbayes.models import Metadata, PixelBayes, hub

COURSE = Path(pixelbayes.__file__).parents[2] / "course"
CLASSES = ("cheeseburger", "giant panda", "koala", "pizza")
PER_CLASS = {"train": 4, "validation": 2, "test": 1}
Capture = pytest.CaptureFixture[str]
Script = Callable[[str], ModuleType]

pytestmark = pytest.mark.skipif(
    not COURSE.is_dir(), reason="the scripts are in a checkout, not in an installed package"
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """Imports a script as Python runs it: with its own folder in front of the path."""
    monkeypatch.syspath_prepend(str(COURSE))
    yield import_module
    for name in ("course_data", *(path.stem for path in COURSE.glob("*.py"))):
        sys.modules.pop(name, None)


@pytest.fixture
def course_data(tmp_path: Path) -> Path:
    """data/ with train.csv and so on, as the course gives it; labels of test are withheld."""
    folder, number = tmp_path / "data", 0
    generator = torch.Generator().manual_seed(4)
    for split, per_class in PER_CLASS.items():
        rows = []
        for label in range(len(CLASSES)):
            for _ in range(per_class):
                number += 1
                name = f"{split}/{number:07}.png"
                levels = torch.randint(0, 256, (3, 64, 64), generator=generator)
                write_png(levels.to(torch.uint8), folder / name)
                rows.append((name, -1 if split == "test" else label))
        with (folder / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return folder


@pytest.fixture
def shelf(
    tiny_network: Callable[..., PixelCNN], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A default model for 32 x 32 images of the course's classes; runs happen in a fresh folder."""
    metadata = Metadata(
        classes=CLASSES, resize=asdict(Resize(size=(32, 32))), log_prior=(log(0.25),) * 4
    )
    network = tiny_network(classes=4, image_size=(32, 32), features=2, embedding=2, mixtures=1)
    for name in (hub.DEFAULT, hub.DENSITY):
        PixelBayes(network.float(), metadata).save(tmp_path / "shelf" / name)
    monkeypatch.setattr(hub, "PRETRAINED", tmp_path / "shelf")
    monkeypatch.chdir(tmp_path)


class Means(FeatureNetwork):
    """Means of 192 patches, in place of Inception."""

    dims = (192,)
    digest = "0" * 64

    def features(self, levels: Tensor, dims: Sequence[int]) -> dict[int, Tensor]:
        pooled = torch.nn.functional.adaptive_avg_pool2d(levels.float(), 8)
        return {192: pooled.flatten(1)}


@pytest.mark.usefixtures("shelf", "course_data")
@pytest.mark.parametrize(("mode", "n"), [(None, 8), ("train", 16)])
def test_classification_prints_the_accuracy_with_nothing_but_the_data(
    script: Script, capsys: Capture, mode: str | None, n: int
) -> None:
    arguments = ["-b", "3", *(() if mode is None else ("-m", mode))]
    assert script("classification_evaluation").main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{mode or 'validation'} accuracy: ")
    assert out.endswith(f"n = {n}\n")


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("mode", ["validation", "test"])
def test_a_model_whose_classes_are_in_another_order_is_refused(
    script: Script, course_data: Path, capsys: Capture, mode: str
) -> None:
    """Its answers are numbers of its own classes."""
    shipped = PixelBayes.load(hub.PRETRAINED / hub.DEFAULT)
    turned = replace(shipped.metadata, classes=CLASSES[::-1])
    PixelBayes(shipped.network, turned).save("turned")
    arguments = ["-m", mode, "-i", str(course_data), "--model", "./turned"]
    assert script("classification_evaluation").main(arguments) != 0
    assert "pizza, koala, giant panda, cheeseburger apart, the course" in capsys.readouterr().err
    assert not Path("test_predictions.csv").exists()


@pytest.mark.usefixtures("shelf")
def test_classification_of_test_images_writes_path_and_label(
    script: Script, course_data: Path, capsys: Capture
) -> None:
    assert script("classification_evaluation").main(["-m", "test", "-i", str(course_data)]) == 0
    assert "accuracy" not in capsys.readouterr().out
    with Path("test_predictions.csv").open(newline="") as file:
        written = list(csv.reader(file))
    with (course_data / "test.csv").open(newline="") as file:
        given = list(csv.reader(file))
    assert [path for path, _ in written] == [path for path, _ in given]
    assert all(label in "0123" for _, label in written)


@pytest.mark.usefixtures("shelf")
def test_the_data_may_be_named_by_the_folder_around_it(
    script: Script, course_data: Path, capsys: Capture
) -> None:
    course_data.rename(course_data.with_name("cpen455"))
    arguments = ["--data_dir", str(course_data.parent)]
    assert script("classification_evaluation").main(arguments) == 0


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("name", ["classification_evaluation", "resnet_18_val"])
def test_missing_data_is_one_line_that_says_what_to_pass(
    script: Script, capsys: Capture, name: str
) -> None:
    assert script(name).main([]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: no course images in data: expected train.csv")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("named", ["data/test", "data"])
def test_generation_writes_25_images_a_class_and_prints_fid_beside_its_floor(
    script: Script,
    course_data: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    named: str,
) -> None:
    module = script("generation_evaluation")
    monkeypatch.setattr(FIDInception, "load", lambda path: Means())
    monkeypatch.setattr(module, "generate", noise)
    with_enough = [(path, label) for path, label in rows(course_data) for _ in range(7)]
    for number, (path, _) in enumerate(with_enough):  # 28 training images a class
        (course_data / f"train/{number}.png").write_bytes((course_data / path).read_bytes())
    with (course_data / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows((f"train/{i}.png", x) for i, (_, x) in enumerate(with_enough))
    assert module.main(["-r", named]) == 0
    files = sorted(path.name for path in Path("samples").iterdir())
    assert len(files) == 100
    assert files[0] == "cheeseburger-01.png"
    assert files[-1] == "pizza-25.png"
    out = capsys.readouterr().out
    assert "FID-192" in out
    assert "real images" in out
    assert "100 at 32x32 against 4 at 64x64" in out


@pytest.mark.usefixtures("shelf", "course_data")
def test_without_the_feature_network_the_images_are_there_and_the_error_says_how_to_get_it(
    script: Script, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("generation_evaluation")

    def missing(path: object) -> FIDInception:
        raise FIDWeightsError("the FID feature network is not installed")

    monkeypatch.setattr(FIDInception, "load", missing)
    monkeypatch.setattr(module, "generate", noise)
    monkeypatch.setattr(module, "floor_images", lambda *_: None)
    assert module.main([]) == 2
    assert len(list(Path("samples").iterdir())) == 100
    assert capsys.readouterr().err == "error: the FID feature network is not installed\n"


@pytest.mark.usefixtures("shelf", "course_data")
def test_generation_replaces_its_own_images_and_no_other_folder(
    script: Script, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("generation_evaluation")
    monkeypatch.setattr(FIDInception, "load", lambda path: Means())
    monkeypatch.setattr(module, "generate", noise)
    monkeypatch.setattr(module, "floor_images", lambda *_: None)
    monkeypatch.setattr(module, "score", lambda *_, **__: [])
    assert module.main([]) == 0
    before = Path("samples/pizza-25.png").read_bytes()
    assert module.main(["--seed", "1"]) == 0
    assert len(list(Path("samples").iterdir())) == 100
    again = Path("samples/pizza-25.png").read_bytes()
    assert again != before
    Path("samples/notes.txt").write_text("mine")
    assert module.main([]) == 2
    assert "holds notes.txt, which this program did not write" in capsys.readouterr().err
    assert Path("samples/notes.txt").read_text() == "mine"
    assert Path("samples/pizza-25.png").read_bytes() == again


@pytest.mark.usefixtures("shelf")
def test_predictions_replace_earlier_ones_and_no_table_of_the_course(
    script: Script, course_data: Path, capsys: Capture
) -> None:
    module = script("classification_evaluation")
    tables = [course_data / "test.csv", course_data / "train.csv"]
    before = [table.read_bytes() for table in tables]
    assert module.main(["-m", "test"]) == 0
    assert module.main(["-m", "test"]) == 0
    for table in tables:
        assert module.main(["-m", "test", "--output", str(table)]) == 2
        assert "is read, and is not replaced" in capsys.readouterr().err
    assert [table.read_bytes() for table in tables] == before


@pytest.mark.usefixtures("shelf", "course_data")
def test_the_resnet_asks_to_be_trained_first(script: Script, capsys: Capture) -> None:
    assert script("resnet_18_val").main(["-m", "validation"]) == 2
    assert "no ResNet-18 in runs/resnet18; train it with: " in capsys.readouterr().err


@pytest.mark.usefixtures("shelf", "course_data")
def test_the_resnet_speaks_of_its_own_options(
    script: Script, capsys: Capture, tmp_path: Path
) -> None:
    run = script("resnet_18_val").main
    assert run(["--model", "runs/other one"]) == 2
    assert "python " in (said := capsys.readouterr().err)
    assert said.endswith("-m train --model 'runs/other one'\n")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "run.json").write_text("{}")
    assert run(["-m", "train", "--model", str(tmp_path / "taken")]) == 2
    said = capsys.readouterr().err
    assert said.endswith("; continue it with --resume, or choose another --model\n")


@pytest.mark.usefixtures("shelf", "course_data")
def test_the_resnet_trains_and_then_predicts_the_test_images(
    script: Script, capsys: Capture
) -> None:
    pytest.importorskip("monai", reason="the ResNet-18 is in the extra `baselines`")
    module = script("resnet_18_val")
    assert module.main(["-m", "train", "--epochs", "1", "-b", "8"]) == 0
    out = capsys.readouterr().out
    assert "train accuracy: " in out
    assert "validation accuracy: " in out
    assert module.main(["-m", "test"]) == 0
    assert len(Path("test_predictions.csv").read_text().splitlines()) == 4


def rows(course_data: Path) -> list[list[str]]:
    with (course_data / "train.csv").open(newline="") as file:
        return list(csv.reader(file))


def noise(model: PixelBayes, *, count: int, seed: int, batch_size: int | None) -> object:
    """Random levels in the place of drawn ones, which take seconds."""
    from pixelbayes.workflows.samples import Samples

    labels = torch.arange(len(model.classes)).repeat_interleave(count)
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, (len(labels), 3, 32, 32), generator=generator)
    return Samples(levels.to(torch.uint8), labels, torch.zeros(len(labels)), seed)
