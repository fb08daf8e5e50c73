"""The diagram shows what the network does: every step, every short cut, every place of the label.

The places are checked against a numerical probe: the same features under two labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
import torch.nn.functional as F

from pixelbayes.core import FUSIONS, PixelCNN
from pixelbayes.core.blocks import GatedResidual, TwoStreamBlock
from pixelbayes.core.network import ResolutionChange
from pixelbayes.report.architecture_diagram import architecture_svg
from pixelbayes.report.tracing import trace

MakeNetwork = Callable[..., PixelCNN]
STREAMS = ("u", "ul")


def drawn(model: PixelCNN) -> ElementTree.Element:
    return ElementTree.fromstring(architecture_svg(model))


def values(svg: ElementTree.Element, *attributes: str) -> Counter[tuple[str | None, ...]]:
    """How often each combination of attribute values is drawn."""
    found = (tuple(map(element.get, attributes)) for element in svg.iter())
    return Counter(value for value in found if None not in value)


@pytest.mark.parametrize("per_stage", [1, 2])
def test_every_block_and_change_of_resolution_is_drawn_once_in_each_stream(
    tiny_network: MakeNetwork, per_stage: int
) -> None:
    model = tiny_network(blocks_per_stage=per_stage)
    modules = ["entry"] + [
        name
        for name, module in model.named_modules()
        if isinstance(module, TwoStreamBlock | ResolutionChange)
    ]
    expected = Counter({(name, stream): 1 for name in modules for stream in STREAMS})
    assert values(drawn(model), "data-step", "data-stream") == expected


@pytest.mark.parametrize("per_stage", [1, 2])
def test_every_short_cut_is_drawn_once_and_mirrors_the_way_in(
    tiny_network: MakeNetwork, per_stage: int
) -> None:
    model = tiny_network(blocks_per_stage=per_stage)
    way_in = ["entry"]
    for stage in range(len(model.encoder)):
        if stage > 0:
            way_in.append(f"shrink.{stage - 1}")
        way_in += [f"encoder.{stage}.{block}" for block in range(per_stage)]
    way_out = [
        f"decoder.{stage}.{block}"
        for stage, blocks in enumerate(model.decoder)
        for block in range(len(blocks))  # type: ignore[arg-type]
    ]
    pairs = zip(reversed(way_in[:-1]), way_out, strict=True)  # the last is no short cut
    expected = Counter(
        {(f"{a}.{stream}", f"{b}.{stream}"): 1 for a, b in pairs for stream in STREAMS}
    )
    assert values(drawn(model), "data-from", "data-to") == expected


@pytest.mark.parametrize("size", [(8, 8), (9, 13)])
def test_the_resolutions_are_those_of_the_features(
    tiny_network: MakeNetwork, size: tuple[int, int]
) -> None:
    texts = {element.text for element in drawn(tiny_network(image_size=size)).iter()}
    rows, columns = size
    for _ in range(3):
        assert f"{rows} \N{MULTIPLICATION SIGN} {columns}" in texts
        rows, columns = -(-rows // 2), -(-columns // 2)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_marks_are_where_two_labels_differ(tiny_network: MakeNetwork, fusion: str) -> None:
    model = tiny_network(fusion=fusion)
    svg = drawn(model)
    expected = Counter(
        {
            (f"{name}.{stream}", place): 1
            for name, block in model.named_modules()
            if isinstance(block, TwoStreamBlock)
            for stream in STREAMS
            for place in probed(model, block, stream)
        }
    )
    marks = values(svg, "data-at", "data-label")
    in_detail = {label for at, label in marks if at == "detail"}
    assert Counter({key: n for key, n in marks.items() if key[0] != "detail"}) == expected
    assert in_detail == {place for _, place in expected}
    ends = values(svg, "data-to")
    assert (("input",) in ends) is label_reaches_input(model)
    assert (("output",) in ends) is label_reaches_output(model)


@pytest.mark.parametrize("attention", ["none", "lowest", "full"])
@pytest.mark.parametrize("fusion", ["head", "late"])
def test_attention_and_the_head_are_drawn_where_they_are(
    tiny_network: MakeNetwork, attention: str, fusion: str
) -> None:
    svg = drawn(tiny_network(attention=attention, fusion=fusion, head_layers=3, views=2))
    expected = {} if attention == "none" else {(attention,): 1}
    assert values(svg, "data-attention") == Counter(expected)
    texts = " ".join(element.text or "" for element in svg.iter())
    assert ("head: 3 layers" in texts) is (fusion == "head")
    assert (("head",) in values(svg, "data-to")) is (fusion == "head")
    assert "2 views" in texts


def test_every_resolution_says_how_wide_it_is(tiny_network: MakeNetwork) -> None:
    texts = {element.text for element in drawn(tiny_network(features=(4, 6, 8))).iter()}
    assert {"4 features", "6 features", "8 features"} <= texts


def probed(model: PixelCNN, block: TwoStreamBlock, stream: str) -> list[str]:
    """Where a block treats the same features differently under two labels."""
    inputs: dict[str, Any] = {}
    watched: GatedResidual = getattr(block, stream)
    hook = watched.register_forward_pre_hook(lambda _, args: inputs.update(args=args))
    pair(model, 0)
    hook.remove()
    x, skips = inputs["args"][:2]
    number = [m for m in model.modules() if isinstance(m, GatedResidual)].index(watched)
    seen = []
    for label in (0, 1):
        within: dict[str, torch.Tensor] = {}
        middle = watched.conv_out.register_forward_pre_hook(
            lambda _, args, within=within: within.update(middle=args[0])
        )
        conditioning = model.conditioning(torch.tensor([label])).blocks[number]
        with torch.no_grad():
            within["out"] = watched(x, skips, conditioning).features
        middle.remove()
        seen.append((within["middle"], within["out"]))
    (middle_0, out_0), (middle_1, out_1) = seen
    if not torch.equal(middle_0, middle_1):
        scaled = not constant(inverse_elu(middle_0) - inverse_elu(middle_1))
        return ["scale shift" if scaled else "shift"]
    if torch.equal(out_0, out_1):
        return []
    return ["result" if constant(out_0 - out_1) else "gates"]


def inverse_elu(activated: torch.Tensor) -> torch.Tensor:
    """The features h of (elu(h), elu(-h)): where one is not positive, the other is -h or h."""
    positive, negative = activated.chunk(2, dim=1)
    return torch.where(positive > 0, positive, -negative)


def constant(difference: torch.Tensor) -> bool:
    """Whether it is the same at every pixel."""
    return bool((difference.std(dim=(2, 3)) < 1e-9).all())


def pair(model: PixelCNN, label: int) -> None:
    levels = torch.arange(192, dtype=torch.uint8).reshape(1, 3, 8, 8)
    with torch.no_grad():
        model(levels, torch.tensor([label]))


def label_reaches_input(model: PixelCNN) -> bool:
    seen: list[torch.Tensor] = []
    hook = model.input_u.register_forward_hook(lambda _, __, out: seen.append(out))
    pair(model, 0)
    pair(model, 1)
    hook.remove()
    return not torch.equal(*seen)


def label_reaches_output(model: PixelCNN) -> bool:
    last = model.decoder[-1][-1]  # type: ignore[index]
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        last.register_forward_hook(lambda _, __, out: seen.update(last=out[1].features)),
        model.output.register_forward_pre_hook(lambda _, args: seen.update(projected=args[0])),
    ]
    pair(model, 1)
    for hook in hooks:
        hook.remove()
    return not torch.equal(F.elu(seen["last"]), seen["projected"])


def test_drawing_leaves_the_network_and_the_generator_as_they_were(
    tiny_network: MakeNetwork,
) -> None:
    model = tiny_network().train()
    state = torch.get_rng_state()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    trace(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_the_same_network_gives_the_same_text(tiny_network: MakeNetwork) -> None:
    assert architecture_svg(tiny_network(seed=1)) == architecture_svg(tiny_network(seed=2))
