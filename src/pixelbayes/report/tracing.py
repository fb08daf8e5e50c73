"""What flows where in a network: found by watching one image pass through it.

Nothing here knows how many stages or blocks there are or what a fusion is called.  Which step
a stream comes from, and which short cut a block reads, follow from the identity of the features
that are handed over; where the label enters follows from the vectors that blocks receive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from pixelbayes.core import PixelCNN
from pixelbayes.core.attention import CausalAttention
from pixelbayes.core.blocks import Stream, TwoStreamBlock
from pixelbayes.core.conditioning import BlockConditioning, Conditioning
from pixelbayes.core.network import ResolutionChange

__all__ = ["ENTRY", "Flow", "Place", "Step", "trace"]

ENTRY = "entry"
Kind = Literal["entry", "block", "shrink", "expand"]
Place = Literal["scale", "shift", "gates", "result"]
"""Where a label may act in a block: the fields of `BlockConditioning`."""
PLACES: tuple[Place, ...] = ("scale", "shift", "gates", "result")


@dataclass(frozen=True)
class Step:
    """One module that both streams pass, or the first layers together."""

    name: str
    """Of the module in the network, such as encoder.0.1; `ENTRY` for the first layers."""
    kind: Kind
    size: tuple[int, int]
    """Rows and columns of what comes out."""
    before: str | None
    """The step whose streams enter."""
    short_cut: str | None
    """The step whose streams enter by a short cut."""
    label_in_u: frozenset[Place] = frozenset()
    """Where the label acts in the block of stream u."""
    label_in_ul: frozenset[Place] = frozenset()
    """The same of stream ul."""


@dataclass(frozen=True)
class Flow:
    """A network as steps, in the order of the computation."""

    steps: tuple[Step, ...]
    label_channels: int
    """Input channels that carry the label; 0 where it does not enter there."""
    label_in_output: bool
    """Whether the label is added before the last projection."""
    label_in_head: bool
    """Whether the label enters 1x1 layers after the last step."""
    attention_size: tuple[int, int] | None
    """Rows and columns of the positions that attend to each other, where some do."""

    @property
    def label_in_blocks(self) -> frozenset[Place]:
        """Where the label acts in some block."""
        return frozenset().union(*(step.label_in_u | step.label_in_ul for step in self.steps))

    @property
    def uses_label(self) -> bool:
        """Whether the label enters anywhere."""
        return bool(
            self.label_channels
            or self.label_in_output
            or self.label_in_head
            or self.label_in_blocks
        )


def trace(model: PixelCNN) -> Flow:
    """Passes one black image through the network and records its steps.

    Weights, gradients and the state of random generators stay as they are.
    """
    recorder = _Recorder()
    handles = [
        module.register_forward_hook(recorder.watch(name), with_kwargs=True)
        for name, module in model.named_modules()
        if isinstance(module, TwoStreamBlock | ResolutionChange)
    ]
    config, device = model.config, model.output.bias.device
    training = model.training
    levels = torch.zeros(1, config.channels, *config.image_size, dtype=torch.uint8, device=device)
    labels = torch.zeros(1, dtype=torch.int64, device=device)
    try:
        with torch.no_grad():
            model.eval()(levels, labels)
            conditioning: Conditioning = model.conditioning(labels)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return Flow(
        tuple(recorder.steps),
        0 if conditioning.input is None else conditioning.input.shape[1],
        conditioning.output is not None,
        len(conditioning.head) > 0,
        None if model.attention is None else _positions(model.attention),
    )


class _Recorder:
    """Collects steps; streams are kept, so that their identities stay unique."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._made: list[tuple[Stream, str]] = []

    def watch(self, name: str) -> Callable[..., None]:
        """A forward hook for the module of that name."""

        def hook(module: nn.Module, args: Any, kwargs: Any, result: tuple[Stream, Stream]) -> None:
            before = self._origin(args[0])
            if isinstance(module, ResolutionChange):
                kind: Kind = "expand" if module.grow else "shrink"
                step = Step(name, kind, _size(result), before, None)
            else:
                _, short_cuts, conditioning = args[:3]
                origin = None if short_cuts is None else self._origin(short_cuts)
                places = (_places(conditioning[0]), _places(conditioning[1]))
                step = Step(name, "block", _size(result), before, origin, *places)
            self._add(step, result)

        return hook

    def _origin(self, streams: tuple[Stream, Stream]) -> str:
        for stream, name in self._made:
            if stream is streams[0]:
                return name
        assert not self.steps, "streams come from a module that is not watched"
        self._add(Step(ENTRY, "entry", _size(streams), None, None), streams)
        return ENTRY

    def _add(self, step: Step, streams: tuple[Stream, Stream]) -> None:
        self.steps.append(step)
        self._made.append((streams[0], step.name))


def _size(streams: tuple[Stream, Stream]) -> tuple[int, int]:
    rows, columns = streams[0].features.shape[2:]
    return rows, columns


def _positions(attention: CausalAttention) -> tuple[int, int]:
    rows, columns = attention.positions.shape[2:]
    return rows, columns


def _places(conditioning: BlockConditioning) -> frozenset[Place]:
    return frozenset(place for place in PLACES if getattr(conditioning, place) is not None)
