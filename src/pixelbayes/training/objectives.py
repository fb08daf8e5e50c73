r"""What a training minimises: a type that takes a model and a batch and returns a `Loss`.

Maximum likelihood asks only how well p(x | y) describes an image under its own class.  A hybrid
objective also asks that the other classes describe it worse:

    loss = NLL / (D ln 2) + lambda CE,    CE = -sum over y of t_y log softmax(l)_y,
    l_y  = log p(x | y) / T + log p(y).

T must be in tens: over thousands of dimensions two classes differ by tens of nats, and at T = 1 the
softmax is one-hot.  How strong the second term is, is said by one number that neither D nor T
changes: the pull of the cross-entropy on log p(x | y) against that of the likelihood,

    r = lambda D ln 2 / T,

so that d loss / d log p(x | y) = -(1 + r (t_y - softmax(l)_y)) / (D ln 2) for the true class.

Where a batch shows windows of D' numbers instead of whole images, D becomes D' and T becomes
T D' / D: r stays what it is, and a window is asked as much as if the rest of its image spoke alike.

Shapes: B images, K classes, D = C H W numbers of one image.
Units:  nats per image, but the first term in bits/dim.

References:
    [1] Lasserre, Bishop, Minka, Principled hybrids of generative and discriminative models, CVPR
        2006 (between the two likelihoods).
    [2] Szegedy et al., Rethinking the Inception Architecture, CVPR 2016, section 7 (label
        smoothing).
    [3] Bengio, Senecal, Quick training of probabilistic neural nets by importance sampling,
        AISTATS 2003 (a sum over classes from some of them).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelbayes.core import PixelCNN, bits_per_dim
from pixelbayes.errors import PixelBayesError
from pixelbayes.training.batches import Batch
from pixelbayes.training.config import TrainingConfig

__all__ = [
    "CrossEntropy",
    "Hybrid",
    "Loss",
    "MaximumLikelihood",
    "Negatives",
    "Strength",
    "TrainingObjective",
    "make_objective",
    "smoothed_targets",
]


@dataclass(frozen=True)
class Loss:
    """Sums over the images of one process's share of a batch, each times its weight.

    Attributes:
        total: What a step minimises, a scalar.
        nats: Of what the run is judged by, -log p(x | y) or -log p(y | x), without gradient.
        cross_entropy: -log p(y | x) at the objective's temperature, in nats, without gradient and
            without label smoothing; None where `nats` is all that the loss consists of.
    """

    total: Tensor
    nats: Tensor
    cross_entropy: Tensor | None = None


class TrainingObjective(nn.Module):
    """What is minimised; a module, since a temperature may be learned."""

    @abstractmethod
    def forward(self, model: nn.Module, batch: Batch, progress: float = 1.0) -> Loss:
        """Judges the model on a batch.

        Args:
            model: In training mode, or not.
            batch: Levels, labels and weights of the images.
            progress: Share of the training that is done, in [0, 1], for what changes on the way.
        """


class MaximumLikelihood(TrainingObjective):
    """NLL / (D ln 2): the code length of the images, in bits/dim."""

    def forward(self, model: nn.Module, batch: Batch, progress: float = 1.0) -> Loss:
        """See `TrainingObjective`; the model returns a distribution over levels."""
        viewed = (batch.view,) if isinstance(batch.view, Tensor) else ()
        described = model(batch.levels, batch.labels, *viewed)
        log_prob = described.log_prob(batch.levels) * batch.weights
        total = bits_per_dim(log_prob, batch.levels.shape[1:].numel()).sum()
        return Loss(total, -log_prob.detach().sum())


class CrossEntropy(TrainingObjective):
    """-log p(y | x) of a network that gives log p(y | x) directly.

    Args:
        label_smoothing: See `smoothed_targets`.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, model: nn.Module, batch: Batch, progress: float = 1.0) -> Loss:
        """See `TrainingObjective`; the model returns log-probabilities, (B, K)."""
        log_proba = model(batch.levels)
        targets = smoothed_targets(batch, log_proba.shape[1], self.label_smoothing)
        smoothed = -(targets.to(log_proba.dtype) * log_proba).sum(dim=1)
        truth = -log_proba.detach().gather(1, batch.labels[:, None])[:, 0]
        return Loss((smoothed * batch.weights).sum(), (truth * batch.weights).sum())


@dataclass(frozen=True)
class Strength:
    """r, and when it is reached: 0 up to a share of the training, then rising on a line.

    Attributes:
        final: r at the end; 4 is mild, 40 strong.
        rise: Shares of the training at which r leaves 0 and at which it is reached.

    Raises:
        ValueError: On construction, if a number is out of range.

    >>> [Strength(8.0, (0.25, 0.75)).at(progress) for progress in (0.0, 0.25, 0.5, 1.0)]
    [0.0, 0.0, 4.0, 8.0]
    """

    final: float
    rise: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        start, end = self.rise
        if self.final < 0.0 or not 0.0 <= start <= end <= 1.0:
            raise PixelBayesError(
                f"a strength is 0 or more and rises between two shares 0 <= a <= b <= 1, "
                f"got {self.final} and {self.rise}"
            )

    def at(self, progress: float) -> float:
        """r when this share of the training is done."""
        start, end = self.rise
        if progress >= end:
            return self.final
        if progress <= start:  # also where it rises at one moment
            return 0.0
        return self.final * (progress - start) / (end - start)


@dataclass(frozen=True)
class Negatives:
    r"""Some of the K - 1 wrong classes in the place of all, where each costs a pass.

    The most probable wrong classes H (found by a pass without gradient over all classes) count
    once, n random ones R of the other m count m / n times, so that

        e^l[true] + sum over H of e^l + (m / n) sum over R of e^l

    is the sum over all classes in expectation [3].  Its logarithm is then somewhat too small,
    by Jensen's inequality; with no random class (n = 0 < m) the cross-entropy is a lower bound;
    with k = K - 1 it is exact.  Targets are restricted to the chosen classes, with those weights.

    Attributes:
        count: k, how many wrong classes, at least 1; more than there are means all.
        random: Share of them that is drawn at random, in [0, 1]; at 1 no ranking is needed.

    Raises:
        ValueError: On construction, if a number is out of range.
    """

    count: int
    random: float = 0.5

    def __post_init__(self) -> None:
        if self.count < 1 or not 0.0 <= self.random <= 1.0:
            raise PixelBayesError(
                f"negatives are 1 or more classes with a share of random ones in [0, 1], got "
                f"{self.count} and {self.random}"
            )

    def choose(self, logits: Tensor | None, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Chooses classes for each image.

        Args:
            logits: l of all classes, (B, K), without gradient; None if all chosen ones are random.
            labels: int64, (B,).
            classes: K.

        Returns:
            Classes, int64, (B, 1 + k), the true one first, and how often each counts, (1 + k,).
        """
        count = min(self.count, classes - 1)
        drawn = count if logits is None else round(self.random * count)
        ranked = count - drawn
        # Random numbers rank the classes, but the true one comes first and the probable ones next.
        order = torch.rand(len(labels), classes, device=labels.device)
        if logits is not None and ranked:
            wrong = logits.scatter(1, labels[:, None], -torch.inf)
            order = order.scatter(1, wrong.topk(ranked, dim=1).indices, 2.0)
        order = order.scatter(1, labels[:, None], 3.0)
        chosen = order.argsort(dim=1, descending=True)[:, : 1 + count]
        counts = torch.ones(1 + count, device=labels.device)
        if drawn:
            counts[1 + ranked :] = (classes - 1 - ranked) / drawn
        return chosen, counts


class Hybrid(TrainingObjective):
    """NLL / (D ln 2) + lambda CE: a density that is also asked to tell classes apart.

    Args:
        strength: r; lambda follows from it as r T / (D ln 2).
        classes: K.
        temperature: T.
        learn_temperature: Whether log T is a parameter; r stays what it is, since lambda follows T
            without a gradient.
        label_smoothing: See `smoothed_targets`.
        negatives: None is exact, over all classes: one pass of the trunk where the network shares
            it (`PixelCNN.shares_trunk`), K passes where not.
        log_prior: log p(y), (K,); uniform by default.

    Raises:
        ValueError: If the temperature is not positive.
    """

    log_prior: Tensor

    def __init__(
        self,
        strength: Strength,
        *,
        classes: int,
        temperature: float = 10.0,
        learn_temperature: bool = False,
        label_smoothing: float = 0.0,
        negatives: Negatives | None = None,
        log_prior: Tensor | None = None,
    ) -> None:
        super().__init__()
        if not temperature > 0.0:
            raise PixelBayesError(f"the temperature is positive, got {temperature}")
        self.strength = strength
        self.label_smoothing = label_smoothing
        self.negatives = negatives
        self.fixed_temperature = temperature
        self.log_temperature = (
            nn.Parameter(torch.tensor(math.log(temperature))) if learn_temperature else None
        )
        prior = torch.full((classes,), -math.log(classes)) if log_prior is None else log_prior
        self.register_buffer("log_prior", prior, persistent=False)

    @property
    def temperature(self) -> Tensor | float:
        """T."""
        learned = self.log_temperature
        return self.fixed_temperature if learned is None else learned.exp()

    def forward(self, model: nn.Module, batch: Batch, progress: float = 1.0) -> Loss:
        """See `TrainingObjective`; the model is a `PixelCNN`."""
        assert isinstance(model, PixelCNN)
        dims = batch.levels[0].numel()
        log_prob, chosen, counts = self._described(model, batch)
        true = chosen == batch.labels[:, None]
        log_prob_true = log_prob[true] * batch.weights

        logits = self._logits(log_prob, chosen, model.config.dims / dims)
        log_total = torch.logsumexp(logits + counts.log(), dim=1)
        targets = smoothed_targets(batch, len(self.log_prior), self.label_smoothing)
        targets = targets.to(logits.dtype).gather(1, chosen) * counts
        targets = targets / targets.sum(dim=1, keepdim=True)
        cross_entropy = log_total - (targets * logits).sum(dim=1)

        temperature = torch.as_tensor(self.temperature).detach()
        weight = self.strength.at(progress) * temperature / (model.config.dims * math.log(2.0))
        total = bits_per_dim(log_prob_true, dims) + weight * cross_entropy * batch.weights
        plain = (log_total - logits[true]).detach()
        return Loss(total.sum(), -log_prob_true.detach().sum(), (plain * batch.weights).sum())

    def measured(self, log_likelihoods: Tensor, labels: Tensor, dims: int) -> Tensor:
        """What is minimised, at full strength, of whole images whose classes are all described.

        Args:
            log_likelihoods: log p(x | y), nats, (B, K).
            labels: (B,).
            dims: D of an image.

        Returns:
            Bits/dim and a share of the cross-entropy, of each image, float64 (B,).
        """
        table, true = log_likelihoods.double().cpu(), labels.cpu()[:, None]
        temperature = torch.as_tensor(self.temperature).detach().item()
        log_posterior = torch.log_softmax(table / temperature + self.log_prior.double().cpu(), 1)
        weight = self.strength.final * temperature / (dims * math.log(2.0))
        bits = bits_per_dim(table.gather(1, true)[:, 0], dims)
        return bits - weight * log_posterior.gather(1, true)[:, 0]

    def _logits(self, log_prob: Tensor, chosen: Tensor, wholes: float) -> Tensor:
        """l_y; of a window, as if what is not in it said as much: a whole is `wholes` windows."""
        evidence = log_prob * wholes / self.temperature
        return evidence + self.log_prior.to(log_prob.dtype)[chosen]

    def _described(self, model: PixelCNN, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """log p(x | y) of the classes to compare, (B, k), these classes, how often each counts."""
        classes = len(self.log_prior)
        every = torch.arange(classes, device=batch.labels.device)
        every = every.expand(len(batch.labels), classes)
        if self.negatives is None:
            return _log_likelihoods(model, batch), every, torch.ones_like(batch.weights[:1])
        logits = None
        if self.negatives.random < 1.0 and self.negatives.count < classes - 1:
            with torch.no_grad():
                wholes = model.config.dims / batch.levels[0].numel()
                logits = self._logits(_log_likelihoods(model, batch), every, wholes)
        chosen, counts = self.negatives.choose(logits, batch.labels, classes)
        repeated = batch.levels.repeat_interleave(chosen.shape[1], dim=0)
        view = batch.view
        if isinstance(view, Tensor):
            view = view.repeat_interleave(chosen.shape[1])
        log_prob = model(repeated, chosen.flatten(), view).log_prob(repeated)
        return log_prob.view(chosen.shape), chosen, counts


def _log_likelihoods(model: PixelCNN, batch: Batch) -> Tensor:
    """log p(x | y) under every class, (B, K)."""
    classes = torch.arange(model.config.classes, device=batch.labels.device)
    described = model.for_each_label(batch.levels, classes, batch.view)
    repeated = batch.levels.repeat_interleave(len(classes), dim=0)
    return described.log_prob(repeated).view(len(batch.levels), len(classes))


def smoothed_targets(batch: Batch, classes: int, label_smoothing: float = 0.0) -> Tensor:
    """What the cross-entropy aims at: a share for all classes alike, the rest as the batch says.

    Args:
        batch: Its `soft_labels` are a teacher's; without them the label counts alone.
        classes: K.
        label_smoothing: The share that goes to all classes alike, in [0, 1) [2].

    Returns:
        Probabilities, (B, K).
    """
    hard = F.one_hot(batch.labels, classes).float()
    known = hard if batch.soft_labels is None else batch.soft_labels
    return torch.lerp(known, torch.full_like(known, 1.0 / classes), label_smoothing)


def make_objective(
    training: TrainingConfig, *, classes: int, is_density: bool
) -> TrainingObjective:
    """The objective that a configuration asks for.

    Args:
        training: The configuration.
        classes: K.
        is_density: Whether the model describes p(x | y); else it learns p(y | x) directly.

    Raises:
        PixelBayesError: If a hybrid is asked of a model that is no density.
    """
    if not is_density:
        if training.objective == "hybrid":
            raise PixelBayesError(
                "--objective hybrid needs a likelihood; a discriminative model learns by its "
                "cross-entropy alone"
            )
        return CrossEntropy(training.label_smoothing)
    if training.objective == "likelihood":
        return MaximumLikelihood()
    return Hybrid(
        Strength(training.strength, training.strength_rise),
        classes=classes,
        temperature=training.temperature,
        learn_temperature=training.learn_temperature,
        label_smoothing=training.label_smoothing,
        negatives=None if training.negatives is None else Negatives(training.negatives),
    )
