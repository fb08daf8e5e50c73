"""What a user does with a loaded model: images in any form, answers with names."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import pixelbayes
from pixelbayes.core import bits_per_dim
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference import first_rows
from pixelbayes.inference.sampling import complete_naive, sample_naive
from pixelbayes.models import Ensemble, Model, PixelBayes

FOUR = ["koala", "pizza", "sea lion", "pizza"]


@pytest.fixture
def levels(tiny_model: PixelBayes, random_levels: Callable[..., Tensor]) -> Tensor:
    return random_levels(4, tiny_model.network.config)


@pytest.fixture
def discriminative(tiny_model: PixelBayes) -> Model:
    return Ensemble([tiny_model, tiny_model])


def test_every_form_of_the_same_images_has_the_same_answers(
    tiny_model: PixelBayes, levels: Tensor, tmp_path: Path
) -> None:
    arrays = levels.permute(0, 2, 3, 1).contiguous().numpy()
    images = [Image.fromarray(array) for array in arrays]
    for number, image in enumerate(images):
        image.save(tmp_path / f"{number}.png")
    labelled = TensorDataset(levels, torch.arange(4))
    expected = tiny_model.log_likelihoods(levels)
    forms = {
        "tensor": levels,
        "array": arrays,
        "array, channels first": levels.numpy(),
        "list of images": images,
        "generator": (image for image in images),
        "folder": tmp_path,
        "list of paths": [str(tmp_path / f"{number}.png") for number in range(4)],
        "Dataset": labelled,
        "DataLoader": DataLoader(labelled, batch_size=3),
    }
    for form, x in forms.items():
        answers = tiny_model.predict(x)
        got = torch.tensor([list(it.log_likelihoods.values()) for it in answers]).double()
        assert got.shape == expected.shape, form
        torch.testing.assert_close(got, expected, msg=form, rtol=1e-6, atol=0)


def test_a_prediction_names_classes_and_agrees_with_bayes_rule(
    tiny_model: PixelBayes, levels: Tensor
) -> None:
    table = tiny_model.log_likelihoods(levels)
    posterior = torch.softmax(table / 20.0 + tiny_model.log_prior, dim=1)

    answers = tiny_model.predict(levels)

    assert [it.source for it in answers] == ["0", "1", "2", "3"]
    for row, answer in enumerate(answers):
        assert answer.label == tiny_model.classes[int(posterior[row].argmax())]
        assert tiny_model.classes_[answer.index] == answer.label
        assert answer.confidence == pytest.approx(float(posterior[row].max()))
        assert list(answer.probabilities) == list(tiny_model.classes)
        assert sum(answer.probabilities.values()) == pytest.approx(1.0)
        assert answer.log_likelihoods["pizza"] == float(table[row, 1])
        log_prob = torch.logsumexp(table[row] + tiny_model.log_prior, dim=0)
        assert answer.outlier_score == pytest.approx(-float(log_prob))
        assert answer.bits_per_dim == pytest.approx(float(bits_per_dim(log_prob, 192)))
        assert answer.label in repr(answer)
    assert answers[0].prediction_set is None
    worse_than_noise = [(answer.bits_per_dim or 0.0) > 8 or None for answer in answers]
    assert [answer.unlike_training for answer in answers] == worse_than_noise


def test_scores_of_one_image_are_a_list_and_of_many_a_list_of_lists(
    tiny_model: PixelBayes, levels: Tensor, tmp_path: Path
) -> None:
    image = Image.fromarray(levels[0].permute(1, 2, 0).numpy())
    image.save(tmp_path / "photo.png")
    (answer,) = tiny_model.predict(image)
    ranked = sorted(answer.probabilities.items(), key=lambda item: -item[1])
    best = [{"label": name, "score": score} for name, score in ranked[:2]]
    for one in (image, levels[0], np.asarray(image), tmp_path / "photo.png"):
        assert tiny_model(one, top_k=2) == best
    for many in ([image], levels[:1], tmp_path):
        assert tiny_model(many, top_k=2) == [best]
    assert len(tiny_model(image, top_k=9)) == 3
    with pytest.raises(ValueError, match="top_k is a number of classes above 0"):
        tiny_model(image, top_k=0)


def test_probabilities_and_densities_are_those_of_the_table(
    tiny_model: PixelBayes, levels: Tensor
) -> None:
    table = tiny_model.log_likelihoods(levels)
    marginal = torch.logsumexp(table + tiny_model.log_prior, dim=1)
    assert tiny_model.predict_proba(levels).equal(tiny_model.predict_log_proba(levels).exp())
    torch.testing.assert_close(tiny_model.score_samples(levels), marginal)
    torch.testing.assert_close(tiny_model.bits_per_dim(levels), bits_per_dim(marginal, 192))
    torch.testing.assert_close(tiny_model.log_likelihood(levels, "pizza"), table[:, 1])
    torch.testing.assert_close(
        tiny_model.log_likelihood(levels, FOUR), table[range(4), [0, 1, 2, 1]]
    )


def test_no_images_have_no_answers(tiny_model: PixelBayes) -> None:
    assert tiny_model.predict([]) == []
    assert tiny_model.predict_proba([]).shape == (0, 3)
    assert tiny_model.log_likelihood([], "pizza").shape == (0,)


def test_what_is_wrong_is_told_with_what_is_accepted(tiny_model: PixelBayes) -> None:
    grey = torch.zeros(2, 3, 8, 8)
    with pytest.raises(TypeError, match=r"pass \(x \* 255\)\.round\(\)\.to\(torch\.uint8\)"):
        tiny_model.predict(grey)
    image = grey.to(torch.uint8)
    with pytest.raises(ValueError, match="no class 'panda'; choose one of: koala, pizza"):
        tiny_model.log_likelihood(image, "panda")
    with pytest.raises(ValueError, match="one for each of the 2 images, got 3"):
        tiny_model.log_likelihood(image, ["pizza"] * 3)
    with pytest.raises(ValueError, match='output_type is "pil", "np" or "levels"'):
        tiny_model.sample("koala", output_type="latent")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="temperature is positive"):
        tiny_model.sample("koala", temperature=0.0)
    with pytest.raises(ValueError, match="count is a number of images above 0"):
        tiny_model.sample("koala", count=0)
    with pytest.raises(ValueError, match=r"a mask is bool \(8, 8\)"):
        tiny_model.complete(image, "koala", mask=torch.ones(4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="the mask keeps every pixel"):
        tiny_model.complete(image, "koala", mask=torch.zeros(8, 8, dtype=torch.bool))
    with pytest.raises(ValueError, match="the first pixel is to be drawn"):
        tiny_model.complete(image, mask=torch.ones(8, 8, dtype=torch.bool))


@pytest.mark.parametrize("temperature", ["1", None, True, float("inf"), torch.ones(2), 1e-320])
def test_what_is_no_temperature_is_refused_by_every_verb(
    tiny_model: PixelBayes, temperature: Any
) -> None:
    with pytest.raises(PixelBayesError, match="the temperature is"):
        tiny_model.sample("koala", temperature=temperature)
    with pytest.raises(PixelBayesError, match="the temperature is"):
        tiny_model.with_temperature(temperature)
    if temperature is not None:  # which means the model's own
        with pytest.raises(PixelBayesError, match="the temperature is"):
            tiny_model.classifier(temperature)


@pytest.mark.parametrize("temperature", [2, np.float32(2), torch.tensor(2.0)])
def test_a_temperature_of_any_library_is_kept_as_a_number(
    tiny_model: PixelBayes, temperature: Any, tmp_path: Path
) -> None:
    tiny_model.with_temperature(temperature).save(tmp_path)
    assert pixelbayes.load(tmp_path).temperature == 2.0


def test_the_least_temperature_still_gives_probabilities(
    tiny_model: PixelBayes, levels: Tensor
) -> None:
    proba = tiny_model.with_temperature(1e-30).predict_proba(levels)
    torch.testing.assert_close(proba.sum(dim=1), torch.ones(4, dtype=torch.float64))


def test_one_class_is_one_class_in_every_form(tiny_model: PixelBayes) -> None:
    expected = tiny_model.sample("pizza", generator=0, output_type="levels")
    for label in (1, np.array(1), np.array("pizza"), np.array(["pizza"]), torch.tensor(1)):
        drawn = tiny_model.sample(label, generator=0, output_type="levels")
        assert torch.equal(drawn, expected)


def test_arguments_of_other_types_are_refused_in_words(
    tiny_model: PixelBayes, levels: Tensor
) -> None:
    with pytest.raises(PixelBayesError, match=r"top_k is a number of classes above 0, got 1\.5"):
        tiny_model(levels, top_k=1.5)  # type: ignore[call-overload]
    with pytest.raises(PixelBayesError, match=r"shape \(0, 0\) is no image"):
        tiny_model.complete(levels, "koala", mask=np.zeros((0, 0), np.uint8))
    masks = [np.zeros((9, 8), np.uint8), np.zeros((8, 8), np.uint8)]
    with pytest.raises(PixelBayesError, match="a mask is one image, got 2"):
        tiny_model.complete(levels, "koala", mask=masks)
    with pytest.raises(PixelBayesError, match=r"no class '9{5000}'"):
        tiny_model.sample("9" * 5000)
    with pytest.raises(PixelBayesError, match="an empty path names no model"):
        pixelbayes.load("")


def test_a_device_that_is_not_here_is_one_line(tiny_model: PixelBayes) -> None:
    for device in ("cuda:99", "mps:7", "gpu", "meta"):
        with pytest.raises(pixelbayes.errors.PixelBayesError, match="choose cpu") as caught:
            tiny_model.to(device)
        assert "\n" not in str(caught.value)


def test_a_model_that_is_no_density_says_what_it_cannot(discriminative: Model) -> None:
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    (answer,) = discriminative.predict(images)
    assert (answer.outlier_score, answer.bits_per_dim) == (None, None)
    for verb in ("score_samples", "bits_per_dim"):
        with pytest.raises(ValueError, match=r"gives p\(class \| image\) only"):
            getattr(discriminative, verb)(images)
    with pytest.raises(ValueError, match="cannot complete images"):
        discriminative.complete(images, "koala")
    with pytest.raises(ValueError, match="to draw images from"):
        discriminative.sample("koala")


def test_samples_are_those_of_the_slow_sampler_in_the_form_that_is_asked_for(
    tiny_model: PixelBayes,
) -> None:
    labels = torch.tensor([1, 1, 0, 0])
    expected = sample_naive(
        tiny_model.network, labels, generator=torch.Generator().manual_seed(7), temperature=0.5
    )
    drawn = {
        kind: tiny_model.sample(
            ["pizza", "koala"], count=2, generator=7, temperature=0.5, output_type=kind
        )
        for kind in ("levels", "np", "pil")
    }
    assert drawn["levels"].equal(expected)
    np.testing.assert_array_equal(drawn["np"], expected.permute(0, 2, 3, 1).numpy())
    for image, array in zip(drawn["pil"], drawn["np"], strict=True):
        np.testing.assert_array_equal(np.asarray(image), array)
    assert len(tiny_model.sample(generator=torch.Generator())) == 3  # every class


def test_a_seed_of_torch_makes_samples_reproducible(tiny_model: PixelBayes) -> None:
    torch.manual_seed(3)
    first = tiny_model.sample(1, output_type="levels")
    assert not tiny_model.sample(1, output_type="levels").equal(first)
    torch.manual_seed(3)
    assert tiny_model.sample("pizza", output_type="levels").equal(first)


def test_a_low_temperature_draws_likelier_images(tiny_model: PixelBayes) -> None:
    scores = [
        tiny_model.log_likelihood(
            tiny_model.sample("koala", count=6, generator=1, temperature=t, output_type="levels"),
            "koala",
        ).mean()
        for t in (0.1, 1.0)
    ]
    assert scores[0] > scores[1]


def test_a_completion_keeps_what_the_mask_does_not_draw(
    tiny_model: PixelBayes, levels: Tensor, tmp_path: Path
) -> None:
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[2:5, 3:] = True
    Image.fromarray((mask.numpy() * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    expected = complete_naive(
        tiny_model.network,
        torch.tensor([0, 1, 2, 1]),
        levels,
        ~mask,
        generator=torch.Generator().manual_seed(7),
    )
    for form in (mask, mask.numpy(), tmp_path / "mask.png"):
        drawn = tiny_model.complete(levels, FOUR, mask=form, generator=7, output_type="levels")
        assert drawn.equal(expected)
    half = tiny_model.complete(levels, FOUR, generator=7, output_type="levels")
    assert half[:, :, :4].equal(levels[:, :, :4])
    assert not half[:, :, 4:].equal(levels[:, :, 4:])


def test_a_completion_without_a_class_takes_that_of_the_pixels_before(
    tiny_model: PixelBayes, levels: Tensor
) -> None:
    known = first_rows(tiny_model.network, 3).clone()
    known[6] = True  # after what is drawn: says nothing
    found = tiny_model.class_of_first_pixels(levels, known)

    maps = tiny_model.classifier().log_likelihood_maps(levels)[:, :, :3].sum(dim=(2, 3))
    assert found.equal((maps / 20.0 + tiny_model.log_prior).argmax(dim=1))
    drawn = tiny_model.complete(levels, mask=~known, generator=1, output_type="levels")
    named = [tiny_model.classes[index] for index in found]
    again = tiny_model.complete(levels, named, mask=~known, generator=1, output_type="levels")
    assert drawn.equal(again)


def test_a_pickled_model_gives_the_same_bits(
    tiny_model: PixelBayes, discriminative: Model, levels: Tensor
) -> None:
    for model in (tiny_model, discriminative):
        copy = pickle.loads(pickle.dumps(model))
        assert type(copy) is type(model)
        assert copy.metadata == model.metadata
        assert copy.log_likelihoods(levels).equal(model.log_likelihoods(levels))
        assert repr(copy) == repr(model)


def test_threads_share_a_model_and_get_the_same_answers(
    tiny_model: PixelBayes, levels: Tensor
) -> None:
    expected = (tiny_model.predict(levels), tiny_model.sample(2, generator=5, output_type="levels"))

    def answer(_: int) -> tuple[list[pixelbayes.Prediction], Tensor]:
        return (
            tiny_model.predict(levels),
            tiny_model.sample(2, generator=5, output_type="levels"),
        )

    with ThreadPoolExecutor(4) as pool:
        for predictions, drawn in pool.map(answer, range(8)):
            assert predictions == expected[0]
            assert drawn.equal(expected[1])


@pytest.mark.parametrize("scale", [1e6, 1e15])
@pytest.mark.parametrize(
    "ask",
    [
        lambda model, levels: model.predict(levels),
        lambda model, levels: model.predict_log_proba(levels),
        lambda model, levels: model.score_samples(levels),
        lambda model, levels: model.log_likelihood(levels, 0),
        lambda model, levels: model.sample(0, generator=0),
        lambda model, levels: model.complete(levels, 0, generator=0),
        lambda model, levels: model.explain(levels[0]),
    ],
    ids=["predict", "log_proba", "score", "log_likelihood", "sample", "complete", "explain"],
)
def test_weights_under_which_sums_overflow_are_an_error_and_no_answer(
    tiny_model: PixelBayes, levels: Tensor, ask: Callable[[PixelBayes, Tensor], Any], scale: float
) -> None:
    network = tiny_model.network.float()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(scale)
    assert all(bool(weight.isfinite().all()) for weight in network.parameters())
    with pytest.raises(PixelBayesError, match=r"computes no numbers .* lower --lr"):
        ask(tiny_model, levels)


def test_conversions_are_told_to_the_logger(
    tiny_model: PixelBayes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="pixelbayes"):
        tiny_model.predict(np.zeros((16, 12, 3), np.uint8))
    assert caplog.messages == ["1 of 1 images resized (16 x 12 -> 8 x 8)"]


def test_a_model_says_what_it_is(tiny_model: PixelBayes) -> None:
    assert repr(tiny_model) == (
        "PixelBayes(gated fusion; 3 classes: koala, pizza, sea lion; 8 x 8 RGB; 21,796 weights on "
        "cpu; temperature 20)"
    )
    assert tiny_model.classes_.tolist() == ["koala", "pizza", "sea lion"]
    assert tiny_model.image_size == (8, 8)
