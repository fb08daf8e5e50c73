"""What would it take: the smallest part of an image that, drawn anew, changes its class.

The part is drawn under another class given the rest (`complete_weighted`), and the whole image is
classified again.  Blocks of rows are tried from small to large, then the block that was found is
narrowed to some of its columns.

Shapes: K classes, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelbayes.core.labels import label_indices
from pixelbayes.core.precision import isolated
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.classification import BayesClassifier
from pixelbayes.inference.completion import complete_weighted

__all__ = ["Counterfactual", "counterfactual"]


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """An image, and the same image but for a part that changes its class.

    Attributes:
        original: uint8, (C, H, W).
        result: The same outside the part, (C, H, W).
        rows: First row of the part, and the one after its last.
        columns: Its columns, likewise.
        before: Class of the original.
        after: Class of the result.
        drawn_as: Class under which the part was drawn.
        share: Of the draws of this part, how many changed the class, in (0, 1].
    """

    original: Tensor
    result: Tensor
    rows: tuple[int, int]
    columns: tuple[int, int]
    before: int
    after: int
    drawn_as: int
    share: float

    @property
    def pixels(self) -> int:
        """Size of the part."""
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])


@isolated
def counterfactual(
    classifier: BayesClassifier,
    levels: Tensor,
    label: int | None = None,
    *,
    generator: torch.Generator,
    draws: int = 8,
    progress: Callable[[int], None] | None = None,
) -> Counterfactual | None:
    """Looks for a small part of one image that changes its class when it is drawn anew.

    Blocks of 1, 2, 4, ... rows are tried at every half of their height, up to the whole image;
    then heights between the last that failed and the first that did not, by halving; then
    halves, quarters, ... of the columns of what was found.  Of the parts of one size that change
    the class the one is taken in which most draws do.  So the part is the smallest of those
    tried, and a smaller one may exist: whether a class changes does not only depend on size, and
    a draw is a matter of chance.

    Args:
        classifier: Model, prior and temperature; the network is in evaluation mode.
        levels: uint8, (C, H, W).
        label: Class under which parts are drawn; None: the second most probable one.
        generator: Source of all randomness; the same state gives the same answer.
        draws: Of each part; one that changes the class suffices, and of those the one is shown
            that the pixels around it make most probable.
        progress: Called with the number of parts tried so far.

    Returns:
        What was found; None if not even a whole image drawn under that class changes the answer.

    Raises:
        ValueError: If there is no such class, it is the image's own, or a number is less than 1.
    """
    by_class = classifier.predict_log_proba(levels[None])[0].argsort(descending=True, stable=True)
    before = int(by_class[0])
    if label is None and len(by_class) > 1:
        label = int(by_class[1])
    if label is None or int(label_indices([label], len(by_class))) == before:
        raise PixelBayesError(f"the image is drawn anew under another class than its own, {before}")
    search = _Search(classifier, levels.cpu(), before, label, generator, draws, progress)
    found = _rows(search, *levels.shape[1:])
    return None if found is None else _columns(search, found)


def _rows(search: _Search, height: int, width: int) -> Counterfactual | None:
    """The lowest block of whole rows."""

    def blocks(rows: int, step: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        for top in [*range(0, height - rows, step), height - rows]:
            yield (top, top + rows), (0, width)

    failed, rows = 0, 1
    while (found := search.best(blocks(rows, max(1, rows // 2)))) is None:
        if rows == height:
            return None
        failed, rows = rows, min(2 * rows, height)
    while rows - failed > 1:
        between = (failed + rows) // 2
        lower = search.best(blocks(between, max(1, between // 2)))
        if lower is None:
            failed = between
        else:
            found, rows = lower, between
    return found


def _columns(search: _Search, found: Counterfactual) -> Counterfactual:
    """The narrowest part of these rows."""
    while (width := found.columns[1] - found.columns[0]) > 1:
        narrower = (width + 1) // 2
        first, last = found.columns[0], found.columns[1] - narrower
        lefts = [*range(first, last, max(1, narrower // 2)), last]
        inside = search.best((found.rows, (left, left + narrower)) for left in lefts)
        if inside is None:
            break
        found = inside
    return found


@dataclass
class _Search:
    """Tries parts of one image."""

    classifier: BayesClassifier
    original: Tensor
    before: int
    label: int
    generator: torch.Generator
    draws: int
    progress: Callable[[int], None] | None
    tried: int = 0

    def best(
        self, parts: Iterator[tuple[tuple[int, int], tuple[int, int]]]
    ) -> Counterfactual | None:
        """Of parts of one size, the one in which most draws change the class."""
        found = [answer for rows, columns in parts if (answer := self._try(rows, columns))]
        return max(found, key=lambda answer: answer.share, default=None)

    def _try(self, rows: tuple[int, int], columns: tuple[int, int]) -> Counterfactual | None:
        known = torch.ones(self.original.shape[1:], dtype=torch.bool)
        known[slice(*rows), slice(*columns)] = False
        drawn = complete_weighted(
            self.classifier.model,
            self.label,
            self.original,
            known,
            draws=self.draws,
            generator=self.generator,
        )
        predicted = self.classifier.predict(drawn.levels)
        self.tried += 1
        if self.progress is not None:
            self.progress(self.tried)
        changed = predicted != self.before
        if not changed.any():
            return None
        shown = int(drawn.log_weights.masked_fill(~changed, float("-inf")).argmax())
        return Counterfactual(
            original=self.original,
            result=drawn.levels[shown],
            rows=rows,
            columns=columns,
            before=self.before,
            after=int(predicted[shown]),
            drawn_as=self.label,
            share=float(changed.double().mean()),
        )
