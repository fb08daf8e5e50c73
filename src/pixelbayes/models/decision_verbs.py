"""What a user does with a model to act on its answers: outliers, sets, reasons.

Shapes: N images, K classes, H x W pixels.
Units:  nats per image.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pixelbayes.data import ImageInput
from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.outliers import outlier_score
from pixelbayes.inference.classification import BayesClassifier, class_posterior
from pixelbayes.inference.counterfactual import Counterfactual, counterfactual
from pixelbayes.inference.evidence import evidence
from pixelbayes.models.decisions import Decisions
from pixelbayes.models.drawing_verbs import DrawingVerbs, seeded
from pixelbayes.models.explanation import Explanation
from pixelbayes.models.prediction import prediction_sets
from pixelbayes.models.verbs import Label
from pixelbayes.switches import undisturbed

__all__ = ["DecisionVerbs"]


class DecisionVerbs(DrawingVerbs):
    """The verbs, with those that need thresholds or pixels of the likelihood."""

    @property
    def decisions(self) -> Decisions | None:
        """Thresholds that `pixelbayes calibrate` stored with the model; None before."""
        return self.metadata.decisions

    @undisturbed()
    def outlier_scores(self, x: ImageInput, score: str = "likelihood") -> Tensor:
        """How strange images are, (N,), float64, larger = stranger.

        `model.decisions.outlier_rule(score)` says above which value an image is called strange.

        Args:
            x: One image or many.
            score: One of `pixelbayes.evaluation.outliers.OUTLIER_SCORES`.

        Raises:
            PixelBayesError: If the model is no density, or there is no such score.
        """
        self._require_density("p(x)")
        typical = None if self.decisions is None else self.decisions.typical_log_prob
        found = [torch.empty(0, dtype=torch.float64)]
        for batch in self._read(x):
            table = self.log_likelihoods(batch.levels)
            found.append(
                outlier_score(
                    score,
                    log_prob=torch.logsumexp(table + self.log_prior, dim=1),
                    log_proba=class_posterior(table, self.log_prior, self.temperature),
                    levels=batch.levels,
                    typical=typical,
                )
            )
        return torch.cat(found)

    @undisturbed()
    def prediction_sets(
        self, x: ImageInput, coverage: float = 0.9, method: str = "lac"
    ) -> list[tuple[str, ...]]:
        """Classes among which the true one is with a stated probability, most probable first.

        Args:
            x: One image or many.
            coverage: That probability.
            method: One of `pixelbayes.models.decisions.SET_METHODS`.

        Raises:
            PixelBayesError: If the model has no such sets: see `pixelbayes calibrate`.
        """
        return prediction_sets(self, self.predict_log_proba(x), coverage, method)

    def classifier(
        self, temperature: float | None = None, *, autocast: torch.dtype | None = None
    ) -> BayesClassifier:
        """Bayes' rule with a likelihood of each pixel, which some kinds of model have.

        Raises:
            PixelBayesError: If this kind has none.
        """
        raise PixelBayesError(
            f"a {self.noun} gives one number for an image and none for its pixels; a PixelCNN "
            "explains its answers"
        )

    @undisturbed()
    def explain(
        self, x: ImageInput, label: Label | None = None, against: Label | None = None
    ) -> Explanation:
        """Where in one image the evidence for a class lies, exactly.

        The terms add up to the log-odds of the two sides; where a model is told several views, of
        the image as it is shown, while its answer weighs all of them.  Causal order puts evidence
        late, and nats are before the temperature: see `pixelbayes.models.explanation.READING`.

        Args:
            x: One image.
            label: The class, by name or index; None: the answer of the model.
            against: The class that it is compared with; None: the mixture of all others.

        Raises:
            PixelBayesError: If there is not exactly one image, no such class, or this kind of
                model cannot.
        """
        levels = self._one(x, "explained")
        found = evidence(
            self.classifier(),
            levels,
            None if label is None else self.class_index(label),
            None if against is None else self.class_index(against),
        )
        names = tuple(self.classes[index] for index in found.classes)
        return Explanation(levels, found, names, self.temperature)

    @undisturbed()
    def counterfactual(
        self,
        x: ImageInput,
        label: Label | None = None,
        *,
        generator: torch.Generator | int = 0,
        draws: int = 4,
        progress: Callable[[int], None] | None = None,
    ) -> Counterfactual | None:
        """The smallest part of one image, of those tried, that changes the answer if drawn anew.

        Blocks of rows are tried from small to large, then narrowed to columns; see
        `pixelbayes.inference.counterfactual`.

        Args:
            x: One image.
            label: Class under which parts are drawn, by name or index; None: the second most
                probable.
            generator: Source of all randomness, on the CPU, or its seed.
            draws: Of each part.
            progress: Called with the number of parts tried so far.

        Returns:
            What was found; None if not even a whole image drawn anew changes the answer.

        Raises:
            PixelBayesError: As `explain`.
        """
        return counterfactual(
            self.classifier(),
            self._one(x, "changed"),
            None if label is None else self.class_index(label),
            generator=seeded(generator),
            draws=draws,
            progress=progress,
        )

    def _one(self, x: ImageInput, done: str) -> Tensor:
        """The levels of the only image, (C, H, W)."""
        levels = self._levels(x)
        if len(levels) != 1:
            raise PixelBayesError(f"one image is {done} at a time, got {len(levels)}")
        return levels[0]
