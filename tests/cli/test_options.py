"""From signatures and configurations to options."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from cyclopts import App, CycloptsError

from pixelbayes.cli.options import command, configured, parsed
from pixelbayes.core import FUSIONS
from pixelbayes.data import transforms
from pixelbayes.models import settings
from pixelbayes.workflows import config as configuration

COLOURS = ("red", "green")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A section."""

    image_size: tuple[int, int] | None = None
    """Rows and columns in pixels.  None: the source's own."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Two decays; see max_time."""
    max_time: str | None = None
    """Duration."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Another section."""

    colour: str = field(default="red", metadata={"choices": COLOURS})
    """A colour."""
    patience: int | None = 10
    """Epochs.  None: never."""
    flip: bool = False
    """Mirrors."""
    hidden: str = "x"
    """No option."""


@dataclass(frozen=True, kw_only=True)
class Everything:
    """A configuration."""

    model: str = field(default="pixelcnn", metadata={"choices": ("pixelcnn", "resnet18")})
    """Kind of model."""
    shape: Shape = field(default_factory=Shape)
    look: Look = field(default_factory=Look)
    seed: int = 0
    """Decides chance."""


@pytest.fixture
def given() -> dict[str, Any]:
    return {}


@pytest.fixture
def app(given: dict[str, Any]) -> App:
    def work(
        model: Path,
        *paths: Path,
        learning_rate: float = 0.5,
        class_: list[str] | None = None,
        device: Literal["auto", "cpu"] = "auto",
        batch: int | Literal["auto"] = "auto",
        count: int = 1,
        quiet: bool = False,
        **settings: Any,
    ) -> int:
        """Does
        something.

        Args:
            model: The model.
            paths: Files.
            learning_rate: In steps
                of 10 %.
            class_: A class (default: all classes).
            device: A device.
            batch: A size.
            count: How many.
            quiet: Quietly.
            settings: Fields.
        """
        given.update(settings, model=model, paths=paths, learning_rate=learning_rate)
        given.update(class_=class_, device=device, batch=batch, count=count, quiet=quiet)
        return 0

    app = command(work, examples="\n  work m", configuration=Everything, without=("hidden",))
    app.help_format = "plaintext"
    return app


def parse(app: App, *arguments: str) -> None:
    function, bound = parsed(app, arguments)
    function(*bound.args, **bound.kwargs)


def help_of(app: App, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "1000")
    app.help_print([])
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_of_a_configuration_only_what_was_given_is_passed_on(
    app: App, given: dict[str, Any]
) -> None:
    parse(app, "m", "a", "b", "--learning-rate", "1e-3", "--patience", "3")
    assert given.pop("paths") == (Path("a"), Path("b"))
    assert given.pop("patience") == 3
    assert given == {
        "model": Path("m"),
        "learning_rate": 1e-3,
        "class_": None,
        "device": "auto",
        "batch": "auto",
        "count": 1,
        "quiet": False,
    }


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--image-size", "32x48"], "image_size", (32, 48)),
        (["--image-size", "32"], "image_size", (32, 32)),
        (["--image-size", "null"], "image_size", None),
        (["--flip"], "flip", True),
        (["--no-flip"], "flip", False),
        (["--max-time", "01:10:00"], "max_time", "01:10:00"),
        (["--max-time", "90m"], "max_time", "90m"),
        (["--max-time", "null"], "max_time", None),
        (["--patience=7"], "patience", 7),
        (["--betas", "0.5", "0.75"], "betas", (0.5, 0.75)),
        (["--colour", "green"], "colour", "green"),
        (["--model-kind", "resnet18"], "model_kind", "resnet18"),
        (["--seed", "4"], "seed", 4),
        (["--class", "a,b", "--class", "0"], "class_", ["a,b", "0"]),
        (["--batch", "auto"], "batch", "auto"),
        (["--batch", "4"], "batch", 4),
        (["-n", "3"], "count", 3),
        (["-q"], "quiet", True),
    ],
)
def test_options_have_the_types_of_their_fields(
    app: App, given: dict[str, Any], arguments: list[str], name: str, value: object
) -> None:
    parse(app, "m", "p", *arguments)
    assert given[name] == value


@pytest.mark.parametrize("default", [Look(patience=None, hidden="y"), Look()])
def test_an_option_comes_before_the_configuration_and_the_rest_stays(default: Look) -> None:
    base = Everything(look=default, seed=3)
    settings = {"colour": "green", "max_time": "1h", "model_kind": "resnet18"}
    changed = configured(base, settings)
    assert changed.look == Look(colour="green", patience=default.patience, hidden=default.hidden)
    assert changed.shape == Shape(max_time="1h")
    assert (changed.model, changed.seed) == ("resnet18", 3)


def test_null_takes_a_setting_of_a_file_back(app: App, given: dict[str, Any]) -> None:
    base = Everything(shape=Shape(max_time="1h", image_size=(4, 4)))
    parse(app, "m", "p", "--max-time", "null", "--image-size", "null", "--patience", "null")
    settings = {name: given[name] for name in ("max_time", "image_size", "patience")}
    assert configured(base, settings).shape == Shape()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m", "p", "--quit"], "Unknown option: --quit. Did you mean --quiet?"),
        (["m", "p", "--patience", "x"], 'Invalid value for --patience: unable to convert "x"'),
        (["m", "p", "--device", "cpo"], 'Choose from: "auto", "cpu". Did you mean "cpu"?'),
        (["m", "p", "--colour", "gren"], 'Choose from: "red", "green". Did you mean "green"?'),
        (["m", "p", "--image-size", "axb"], "expected ROWSxCOLUMNS such as 32x48"),
        (["m", "p", "--hidden", "y"], "Unknown option: --hidden"),
        (["m", "p", "--max-time"], "--max-time requires an argument"),
    ],
)
def test_a_mistake_is_told_in_one_line(app: App, arguments: list[str], message: str) -> None:
    with pytest.raises(CycloptsError) as caught:
        parse(app, *arguments)
    caught.value.verbose = False
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_help_takes_its_words_from_the_docstrings(
    app: App, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = help_of(app, capsys, monkeypatch)
    for words in (
        "Usage: pixelbayes work [OPTIONS] Does something. ",
        "In steps of 10 %. [default: 0.5]",
        "A class. [default: all classes]",
        "A colour. [choices: red, green] [default: red]",
        "Kind of model. [choices: pixelcnn, resnet18] [default: pixelcnn]",
        "Rows and columns in pixels. ROWSxCOLUMNS, or one number for a square. [default: the "
        "source's own]",
        "Two decays; see --max-time. [default: 0.9 0.99]",
        "Epochs. null: never. [default: 10]",
        "Examples: work m",
    ):
        assert words in text
    assert text.index("Options") < text.index("shape") < text.index("look")


def test_choices_that_help_shows_are_those_that_the_library_has() -> None:
    assert tuple(FUSIONS) == settings.FUSIONS
    assert set(configuration.FILTERS) == set(transforms.FILTERS)
    assert configuration.GEOMETRIES == transforms.GEOMETRIES
