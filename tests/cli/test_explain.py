"""`pixelbayes explain` on a tiny model."""

from __future__ import annotations

import json

import pytest

from pixelbayes.cli.main import main


@pytest.fixture
def model(tiny_model, tmp_path):
    """Path of a saved model."""
    tiny_model.save(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def image(photo_folder):
    """Path of one image."""
    return str(photo_folder(1) / "00.png")


def test_it_tells_the_log_odds_and_how_to_read_them(model, image, capsys):
    assert main(["explain", image, "--model", model, "--class", "pizza", "--against", "koala"]) == 0
    said = capsys.readouterr().out
    assert "against koala" in said
    assert "8 of 8" in said
    assert "evidence comes late" in said


def test_the_model_may_stand_before_the_one_image(model, image, capsys):
    assert main(["explain", image, "--model", model]) == 0
    expected = capsys.readouterr().out
    assert main(["explain", model, image]) == 0
    assert capsys.readouterr().out == expected
    assert main(["explain", model, image, image]) == 2
    assert "explain takes one image, got" in capsys.readouterr().err


def test_a_folder_gets_numbers_and_pictures(model, image, tmp_path, capsys):
    why = tmp_path / "why"
    arguments = ["explain", image, "--model", model, "--output", str(why), "--counterfactual"]
    assert main([*arguments, "--draws", "1", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert json.loads((why / "explanation.json").read_text("utf-8")) == shown
    names = {file.name for file in why.iterdir()}
    drawn = {"counterfactual.png"} if shown["counterfactual"] else set()
    assert names == {"explanation.json", "explanation.png"} | drawn
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments[:-1], "--overwrite"]) == 0
    assert {file.name for file in why.iterdir()} == {"explanation.json", "explanation.png"}


def test_an_unknown_class_is_told_with_those_there_are(model, image, capsys):
    assert main(["explain", image, "--model", model, "--class", "dog"]) == 2
    assert "koala, pizza, sea lion" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--draws", "--seed"])
def test_what_no_counterfactual_needs_is_refused(model, image, capsys, option):
    assert main(["explain", str(image), "--model", str(model), option, "3"]) == 2
    assert f"{option} say how the image is drawn anew" in capsys.readouterr().err


def test_the_answer_is_not_compared_with_itself(model, image, capsys):
    assert main(["explain", str(image), "--model", str(model), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["class"]
    assert main(["explain", str(image), "--model", str(model), "--against", answer]) == 2
    assert "it is the model's answer: name both, or another one" in capsys.readouterr().err
