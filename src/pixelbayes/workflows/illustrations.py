"""The pictures of a report: samples, their nearest training images, completions, evidence.

Nothing is selected: the first images of each class are shown, whatever became of them.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pixelbayes.data import Augmentation, ImageDataset, LabelledImages
from pixelbayes.inference import complete, first_rows
from pixelbayes.inference.evidence import evidence_of_maps
from pixelbayes.models import Model, PixelBayes
from pixelbayes.report import CompletedImage, png_base64
from pixelbayes.workflows.generate import generate

__all__ = ["Illustrations", "Progress", "evidence_pictures", "illustrate", "nearest_images"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done and the numbers done and in all."""

COMPLETED_CLASSES = 10
"""At most so many classes are completed: a strip, not a wall."""
COMPLETIONS = 3
FOR, AGAINST = (99, 179, 228), (255, 154, 92)
"""Colours of evidence for one class and for the other: blue and orange, in any colour vision."""
BRIGHTEST = 0.99
"""Quantile of the evidence's size that has the full colour: one pixel must not dim the others."""
COMPARED = 2**22
"""Numbers of a table of distances that are computed at a time: 32 MB."""


@dataclass(frozen=True)
class Illustrations:
    """What a report shows of what a model draws; PNGs in base64, by class name."""

    samples: dict[str, list[str]] = field(default_factory=dict)
    nearest: dict[str, list[str]] = field(default_factory=dict)
    """For each sample the training image that is nearest to it."""
    real: dict[str, list[str]] = field(default_factory=dict)
    completions: list[CompletedImage] = field(default_factory=list)


def illustrate(
    model: Model,
    dataset: ImageDataset,
    headline: str,
    *,
    per_class: int,
    seed: int,
    progress: Progress | None = None,
) -> Illustrations:
    """Draws, completes and looks up what a report shows.

    Args:
        model: The trained model; one that draws nothing has real images only.
        dataset: Its images, at the model's size.
        headline: The split whose first images are completed.
        per_class: Images of each class; 0: there are no pictures.
        seed: Of the generator.
        progress: Called with what is being done and the numbers done and in all.
    """
    if per_class == 0:
        return Illustrations()
    train = dataset.splits.get("train") or None  # nor is an empty one of use
    if train is not None and dataset.crop_margin:
        centred = Augmentation(crop_margin=dataset.crop_margin).centre(train.levels)
        train = replace(train, levels=centred)
    real = {} if train is None else _first_of_each_class(train, dataset.classes, per_class)
    if not model.can_sample:
        return Illustrations(real=real)
    drawn = generate(model, count=per_class, seed=seed, progress=progress)
    samples: dict[str, list[str]] = {name: [] for name in model.classes}
    nearest: dict[str, list[str]] = {}
    for levels, label in zip(drawn.levels, drawn.labels.tolist(), strict=True):
        samples[model.classes[label]].append(png_base64(levels))
    if train is not None:
        found = nearest_images(drawn.levels, train.levels)
        for levels, label in zip(found, drawn.labels.tolist(), strict=True):
            nearest.setdefault(model.classes[label], []).append(png_base64(levels))
    completions = []
    if isinstance(model, PixelBayes):
        completions = _completions(model, dataset.splits[headline], seed, progress)
    return Illustrations(samples, nearest, real, completions)


def nearest_images(levels: Tensor, among: Tensor) -> Tensor:
    """The image among others with the smallest squared distance of levels to each, (N, C, H, W).

    Args:
        levels: uint8, (N, C, H, W).
        among: uint8, (M, C, H, W), M > 0.
    """
    flat = among.flatten(1).float()
    found = []
    for part in levels.split(max(1, COMPARED // len(among))):
        distances = torch.cdist(part.flatten(1).float(), flat)
        found.append(among[distances.argmin(dim=1)])
    return torch.cat(found)


def evidence_pictures(
    model: Model, levels: Tensor, answers: Sequence[int], truths: Sequence[int]
) -> list[str]:
    """Pictures of where each image speaks for its answer (blue) and for the truth (orange).

    Args:
        model: One that is no density pixel by pixel has no such pictures.
        levels: uint8, (N, C, H, W).
        answers: A class for each image.
        truths: Another one for each image.

    Returns:
        PNGs in base64; empty without such a density.
    """
    if not isinstance(model, PixelBayes) or not len(levels):
        return []
    maps = model.classifier().log_likelihood_maps(levels)
    pictures = []
    for of_image, answer, truth in zip(maps, answers, truths, strict=True):
        found = evidence_of_maps(of_image, model.log_prior, answer, truth).evidence
        top = torch.quantile(found.abs().flatten(), BRIGHTEST).clamp(min=1e-9)
        share = (found / top).clamp(-1, 1)[None]
        colours = torch.tensor([FOR, AGAINST], dtype=torch.float64)[..., None, None]
        lit = torch.where(share > 0, share * colours[0], -share * colours[1])
        pictures.append(png_base64(lit.round().to(torch.uint8)))
    return pictures


def _first_of_each_class(
    images: LabelledImages, classes: Sequence[str], number: int
) -> dict[str, list[str]]:
    return {
        name: [png_base64(image) for image in images.levels[images.labels == label][:number]]
        for label, name in enumerate(classes)
    }


def _completions(
    model: PixelBayes, images: LabelledImages, seed: int, progress: Progress | None
) -> list[CompletedImage]:
    """The first image of each class, its lower half drawn anew."""
    labels = images.labels.tolist()
    chosen = [labels.index(k) for k in range(len(model.classes)) if k in labels]
    chosen = chosen[:COMPLETED_CLASSES]
    if not chosen:
        return []
    rows = model.image_size[0]
    kept, device = rows // 2, model.device
    originals = images.levels[chosen].repeat_interleave(COMPLETIONS, dim=0).to(device)
    of_class = images.labels[chosen].repeat_interleave(COMPLETIONS).to(device)

    def on_row(row: int, _: Tensor) -> None:
        if progress is not None:
            progress("completing rows", row + 1 - kept, rows - kept)

    drawn = complete(
        model.network,
        of_class,
        originals,
        first_rows(model.network, kept),
        generator=torch.Generator().manual_seed(seed),
        on_row=on_row,
    ).cpu()
    return [
        CompletedImage(
            true=labels[i],
            known_rows=kept,
            image=png_base64(images.levels[i]),
            completions=[png_base64(levels) for levels in part],
        )
        for i, part in zip(chosen, drawn.split(COMPLETIONS), strict=True)
    ]
