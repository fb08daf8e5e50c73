"""What core and inference return has the shape and the type that its docstring states.

B images, K classes, R of them, M mixture components, C channels, H x W pixels, S slices of rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pixelbayes.core import FUSIONS, DiscretizedLogisticMixture, PixelCNN, PixelCNNConfig
from pixelbayes.inference import BayesClassifier, complete, complete_weighted, first_rows, sample
from pixelbayes.inference.anytime import AnytimeClassifier, AnytimeRule, accumulate
from pixelbayes.inference.completion import importance_weights
from pixelbayes.inference.counterfactual import counterfactual
from pixelbayes.inference.evidence import evidence
from pixelbayes.inference.sampling import draw_noise

LEVELS, NUMBERS, INDICES = torch.uint8, torch.float64, torch.int64
SEED = 5


@dataclass(frozen=True)
class Case:
    """A network of some sizes, and images for it."""

    network: PixelCNN
    levels: Tensor
    labels: Tensor

    @property
    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(SEED)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    images, classes = draw(st.integers(1, 3)), draw(st.integers(2, 4))
    channels = draw(st.sampled_from([1, 3]))
    size = draw(st.tuples(st.integers(8, 11), st.integers(8, 11)))
    fusion = draw(st.sampled_from(sorted(FUSIONS)))
    network = PixelCNN(
        PixelCNNConfig(
            classes=classes,
            image_size=size,
            channels=channels,
            features=draw(st.integers(2, 4)),
            blocks_per_stage=1,
            mixtures=draw(st.integers(1, 3)),
            embedding=3,
            fusion=fusion,
            views=draw(st.integers(1, 1 if fusion == "none" else 2)),
        )
    ).eval()
    generator = torch.Generator().manual_seed(SEED)
    levels = torch.randint(0, 256, (images, channels, *size), generator=generator).to(LEVELS)
    return Case(network, levels, torch.arange(images) % classes)


def states(value: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """The one place where shapes are compared."""
    assert tuple(value.shape) == shape
    assert value.dtype == dtype
    assert value.device.type == "cpu"
    assert not value.is_inference()


QUICK = settings(deadline=None, derandomize=True)


@given(case=cases())
@settings(QUICK, max_examples=25)
def test_a_description_has_a_number_for_each_image_component_channel_and_pixel(case: Case) -> None:
    config, B = case.network.config, len(case.levels)
    M, C, (H, W) = config.mixtures, config.channels, config.image_size
    described = case.network(case.levels, case.labels)
    assert isinstance(described, DiscretizedLogisticMixture)
    states(described.logits, (B, M, H, W), torch.float32)
    states(described.means, (B, M, C, H, W), torch.float32)
    states(described.log_scales, (B, M, C, H, W), torch.float32)
    states(described.coeffs, (B, M, C * (C - 1) // 2, H, W), torch.float32)
    states(described.log_prob_map(case.levels), (B, H, W), torch.float32)
    states(described.log_prob(case.levels), (B,), torch.float32)
    states(described.at(H - 1, 0).means, (B, M, C, 1, 1), torch.float32)
    states(described.sample(case.generator), (B, C, H, W), LEVELS)
    some = torch.arange(config.classes)[1:]
    each = case.network.for_each_label(case.levels, some)
    states(each.means, (B * len(some), M, C, H, W), torch.float32)


@given(case=cases())
@settings(QUICK, max_examples=15)
def test_classes_of_images_are_a_table_in_float64(case: Case) -> None:
    config, B = case.network.config, len(case.levels)
    K, (H, W) = config.classes, config.image_size
    classifier = BayesClassifier(case.network)
    states(classifier.log_prior, (K,), NUMBERS)
    states(classifier.log_likelihoods(case.levels), (B, K), NUMBERS)
    states(classifier.log_likelihood_maps(case.levels), (B, K, H, W), NUMBERS)
    states(classifier.predict_log_proba(case.levels), (B, K), NUMBERS)
    states(classifier.predict(case.levels), (B,), INDICES)
    found = evidence(classifier, case.levels[0])
    states(found.evidence, (H, W), NUMBERS)
    states(found.surprise, (H, W), NUMBERS)
    states(found.by_row, (H,), NUMBERS)
    states(found.running, (H,), NUMBERS)


@given(case=cases())
@settings(QUICK, max_examples=10)
def test_slices_of_rows_add_an_axis_and_answers_take_it_away(case: Case) -> None:
    config, B = case.network.config, len(case.levels)
    K, S = config.classes, math.ceil(config.image_size[0] / 4)
    states(accumulate(case.network, case.levels), (B, K, S), NUMBERS)
    rule = AnytimeRule(1.0, (20.0,) * (S - 1))
    answered = AnytimeClassifier(BayesClassifier(case.network), rule).predict(case.levels)
    states(answered.predicted, (B,), INDICES)
    states(answered.slices, (B, K), INDICES)


@given(case=cases())
@settings(QUICK, max_examples=10)
def test_what_is_drawn_are_levels_of_whole_images(case: Case) -> None:
    config, B = case.network.config, len(case.levels)
    M, C, (H, W) = config.mixtures, config.channels, config.image_size
    states(draw_noise(case.network, B, case.generator), (B, H, W, M + C), NUMBERS)
    states(sample(case.network, case.labels, generator=case.generator), (B, C, H, W), LEVELS)
    known = first_rows(case.network, H // 2)
    states(known, (H, W), torch.bool)
    completed = complete(case.network, case.labels, case.levels, known, generator=case.generator)
    states(completed, (B, C, H, W), LEVELS)
    weights = importance_weights(case.network, case.labels, completed, known)
    states(weights, (B,), NUMBERS)
    drawn = complete_weighted(
        case.network, 0, case.levels[0], known, draws=3, generator=case.generator
    )
    states(drawn.levels, (3, C, H, W), LEVELS)
    states(drawn.log_weights, (3,), NUMBERS)
    states(drawn.choose(2, case.generator), (2, C, H, W), LEVELS)


@given(case=cases())
@settings(QUICK, max_examples=2)
def test_a_counterfactual_is_an_image_beside_an_image(case: Case) -> None:
    config = case.network.config
    found = counterfactual(
        BayesClassifier(case.network), case.levels[0], generator=case.generator, draws=1
    )
    if found is not None:
        for image in (found.original, found.result):
            states(image, (config.channels, *config.image_size), LEVELS)
        assert len(found.rows) == len(found.columns) == 2
