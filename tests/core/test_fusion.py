"""Each way of feeding the label is its equation (docs/mathematics.md), from its own weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelbayes.core import FUSIONS
from pixelbayes.core.conditioning import BlockConditioning, Condition, Conditioning
from pixelbayes.core.fusion import ConditionEmbedding, Entrances, Fusion, make_fusion

CLASSES, EMBEDDING = 3, 4
WIDTHS = (2, 5, 2)
"""F of three blocks, not all alike."""
LABELS = torch.tensor([2, 0, 1, 2])


def fusion(name: str, *, views: int = 1, head_layers: int = 2) -> Fusion:
    """With every weight random, in float64."""
    made = make_fusion(
        name, Entrances(WIDTHS, head_layers), classes=CLASSES, embedding=EMBEDDING, views=views
    ).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    return made


def conditioning(made: Fusion, labels: Tensor = LABELS, views: int | Tensor = 0) -> Conditioning:
    made_of: Conditioning = made(Condition(labels, views), len(WIDTHS))
    return made_of


def entrances(made: Conditioning) -> set[str]:
    """Where anything enters."""
    by_block = {
        name
        for block in made.blocks
        for name in ("scale", "shift", "gates", "result")
        if getattr(block, name) is not None
    }
    whole = {name for name in ("input", "output") if getattr(made, name) is not None}
    return by_block | whole | ({"head"} if made.head else set())


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("none", set()),
        ("early", {"input"}),
        ("gated", {"result"}),
        ("late", {"output"}),
        ("head", {"head", "output"}),
        ("joint", {"input", "result", "output"}),
        ("film", {"scale", "shift", "output"}),
        ("gated-preact", {"shift"}),
        ("gated-gates", {"gates"}),
    ],
)
def test_each_fusion_enters_where_its_name_says_and_nowhere_else(name, where):
    assert entrances(conditioning(fusion(name))) == where


def test_the_table_above_names_every_fusion():
    (mark,) = test_each_fusion_enters_where_its_name_says_and_nowhere_else.pytestmark
    assert {name for name, _ in mark.args[1]} == set(FUSIONS)


def test_early_fusion_is_the_embedding_over_its_size():
    made = fusion("early")
    expected = made.embedding.weight[LABELS] / EMBEDDING
    assert conditioning(made).input.equal(expected)
    assert made.input_channels == EMBEDDING


def test_late_fusion_is_one_matrix_times_the_embedding():
    made = fusion("late")
    expected = made.embedding.weight[LABELS] @ made.projection.weight.T
    torch.testing.assert_close(conditioning(made).output, expected)
    assert made.projection.bias is None


@pytest.mark.parametrize(
    ("name", "entrance", "width"),
    [("gated", "result", 1), ("gated-preact", "shift", 1), ("gated-gates", "gates", 2)],
)
def test_gated_fusions_project_the_activated_embedding_anew_in_each_block(name, entrance, width):
    made = fusion(name)
    for block, layer, features in zip(
        conditioning(made).blocks, made.projections, WIDTHS, strict=True
    ):
        expected = F.elu(made.embedding.weight[LABELS]) @ layer.weight.T + layer.bias
        torch.testing.assert_close(getattr(block, entrance), expected)
        assert expected.shape == (len(LABELS), width * features)


def test_film_scales_by_one_plus_its_first_half_and_shifts_by_its_second():
    made = fusion("film")
    for block, layer, features in zip(
        conditioning(made).blocks, made.modulation.projections, WIDTHS, strict=True
    ):
        both = F.elu(made.late.embedding.weight[LABELS]) @ layer.weight.T + layer.bias
        torch.testing.assert_close(block.scale, both[:, :features])
        torch.testing.assert_close(block.shift, both[:, features:])
        h = torch.ones(len(LABELS), features, 1, 1, dtype=torch.float64)
        expected = 1 + both[:, :features] + both[:, features:]
        torch.testing.assert_close(block.on_hidden(h)[..., 0, 0], expected)


def test_the_head_has_its_own_vector_for_each_layer():
    made = fusion("head", head_layers=3)
    head = conditioning(made).head
    assert len(head) == len(made.gates.projections) == 3
    for block, layer in zip(head, made.gates.projections, strict=True):
        expected = F.elu(made.late.embedding.weight[LABELS]) @ layer.weight.T + layer.bias
        torch.testing.assert_close(block.gates, expected)
        assert expected.shape[1] == 2 * WIDTHS[-1]


@pytest.mark.parametrize("name", ["joint", "film", "head"])
def test_the_parts_of_a_fusion_share_one_embedding(name):
    tables = {id(m) for m in fusion(name).modules() if isinstance(m, ConditionEmbedding)}
    assert len(tables) == 1


def test_joint_fusion_is_early_gated_and_late_at_once():
    joint = fusion("joint")
    together = conditioning(joint)
    parts = [conditioning(part) for part in (joint.early, joint.gated, joint.late)]
    assert together.input.equal(parts[0].input)
    for block, alone in zip(together.blocks, parts[1].blocks, strict=True):
        assert block.result.equal(alone.result)
    assert together.output.equal(parts[2].output)


@pytest.mark.parametrize("name", sorted(set(FUSIONS) - {"none"}))
def test_a_label_has_the_same_vectors_whatever_other_labels_are_asked_for(name):
    made = fusion(name)
    together = conditioning(made)
    for row, label in enumerate(LABELS):
        alone = conditioning(made, label[None])
        for of_all, of_one in zip(vectors(together), vectors(alone), strict=True):
            torch.testing.assert_close(of_all[row], of_one[0], rtol=1e-14, atol=1e-14)


def vectors(made: Conditioning) -> list[Tensor]:
    """All vectors of a conditioning in a fixed order."""
    of_blocks = [
        vector
        for block in (*made.blocks, *made.head)
        for vector in (block.scale, block.shift, block.gates, block.result)
    ]
    return [vector for vector in (made.input, *of_blocks, made.output) if vector is not None]


@pytest.mark.parametrize("name", sorted(set(FUSIONS) - {"none"}))
def test_a_view_adds_its_own_vector_to_the_embedding(name):
    """So a network of two views is one of twice as many labels, as far as a fusion can tell."""
    of_views = fusion(name, views=2)
    seen = torch.tensor([0, 1, 1, 0])
    table = next(m for m in of_views.modules() if isinstance(m, ConditionEmbedding))
    expected = table.weight[LABELS] + table.views[seen]
    plain = make_fusion(name, Entrances(WIDTHS), classes=len(LABELS), embedding=EMBEDDING).double()
    weights = {k: v for k, v in of_views.state_dict().items() if "embedding" not in k}
    plain.load_state_dict(weights, strict=False)
    with torch.no_grad():
        for module in plain.modules():
            if isinstance(module, ConditionEmbedding):
                module.weight.copy_(expected)
    rows = torch.arange(len(LABELS))
    for of_view, of_label in zip(
        vectors(conditioning(of_views, LABELS, seen)),
        vectors(conditioning(plain, rows)),
        strict=True,
    ):
        torch.testing.assert_close(of_view, of_label)


def test_each_of_several_images_may_be_seen_in_its_own_view():
    made = fusion("gated", views=2)
    seen = torch.tensor([[1], [0], [1]])
    crossed = conditioning(made, LABELS, seen)
    for image, view in enumerate(seen[:, 0].tolist()):
        alone = conditioning(made, LABELS, view)
        for of_all, of_one in zip(vectors(crossed), vectors(alone), strict=True):
            torch.testing.assert_close(of_all[image], of_one)


@pytest.mark.parametrize("name", FUSIONS)
def test_a_fusion_looks_at_nothing_but_its_condition(name):
    """It is called without an image, and twice alike: nothing is drawn, nothing is kept."""
    made = fusion(name)
    for first, second in zip(vectors(conditioning(made)), vectors(conditioning(made)), strict=True):
        assert first.equal(second)
    assert not list(made.buffers())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("none", 0),
        ("early", CLASSES * EMBEDDING),
        ("late", CLASSES * EMBEDDING + WIDTHS[-1] * EMBEDDING),
        ("gated", CLASSES * EMBEDDING + sum(WIDTHS) * (EMBEDDING + 1)),
        ("gated-gates", CLASSES * EMBEDDING + 2 * sum(WIDTHS) * (EMBEDDING + 1)),
        (
            "joint",
            CLASSES * EMBEDDING + sum(WIDTHS) * (EMBEDDING + 1) + WIDTHS[-1] * EMBEDDING,
        ),
        (
            "film",
            CLASSES * EMBEDDING + 2 * sum(WIDTHS) * (EMBEDDING + 1) + WIDTHS[-1] * EMBEDDING,
        ),
    ],
)
def test_a_fusion_costs_as_many_weights_as_its_equation_has(name, count):
    assert sum(weight.numel() for weight in fusion(name).parameters()) == count


IMAGES, PAIRS = 2, 4


@pytest.mark.parametrize("entrance", ["shift", "gates", "result", "scale"])
def test_images_that_no_label_touched_meet_every_label_side_by_side(entrance):
    h = torch.randn(
        IMAGES, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    vector = torch.arange(12, dtype=torch.float64).view(PAIRS, 3)
    zero = {"shift": torch.zeros_like(vector)} if entrance == "scale" else {}
    block = BlockConditioning(IMAGES, **{entrance: vector}, **zero)
    apply = {"shift": block.on_hidden, "scale": block.on_hidden, "gates": block.on_gates}
    met = apply.get(entrance, block.on_result)(h)
    assert met.shape == (IMAGES * PAIRS, 3, 2, 2)
    for image in range(IMAGES):
        for label in range(PAIRS):
            v = vector[label][:, None, None]
            expected = h[image] * (1 + v) if entrance == "scale" else h[image] + v
            torch.testing.assert_close(met[PAIRS * image + label], expected)


def test_features_that_labels_touched_before_meet_their_own_label():
    h = torch.randn(IMAGES * PAIRS, 3, 2, 2, dtype=torch.float64)
    vector = torch.arange(12, dtype=torch.float64).view(PAIRS, 3)
    met = BlockConditioning(IMAGES, result=vector).on_result(h)
    torch.testing.assert_close(met, h + vector.repeat(IMAGES, 1)[:, :, None, None])


def test_nothing_that_enters_leaves_the_features_as_they_are():
    h = torch.randn(2, 3, 2, 2)
    block, whole = BlockConditioning(), Conditioning(None, None, (), None)
    assert all(f(h) is h for f in (block.on_hidden, block.on_gates, block.on_result))
    assert whole.on_output(h) is h


@pytest.mark.parametrize("name", sorted(set(FUSIONS) - {"none", "early"}))
def test_all_that_projects_a_label_starts_at_zero(name):
    made = make_fusion(name, Entrances(WIDTHS), classes=CLASSES, embedding=EMBEDDING)
    linear = [module for module in made.modules() if isinstance(module, nn.Linear)]
    assert linear
    assert not any(weight.any() for layer in linear for weight in layer.parameters())


def test_an_unknown_fusion_is_refused_with_those_that_are_known():
    with pytest.raises(
        ValueError, match="unknown fusion 'flim'; choose one of: none, early, gated"
    ):
        make_fusion("flim", Entrances(WIDTHS), classes=2, embedding=2)
