"""An ensemble: models of any kinds that answer together.

Its log-likelihoods are the mean over members of log p_m(x | y) / T_m: up to normalisation, the
geometric mean of the members' calibrated posteriors.  One temperature, refitted after, serves the
whole.  A mirrored ensemble asks each member about the mirror image, too, and takes the mean.

Shapes: N images, K classes, M members.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pixelbayes.core.views import in_view
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.cascade import CascadeResult, CascadeRule
from pixelbayes.inference.classification import class_posterior
from pixelbayes.models.base import MODELS, Model, register
from pixelbayes.models.storage import CheckpointError, Metadata, Stored, structured_config

__all__ = ["Ensemble"]

SEPARATOR = "/"  # between a member's number and the name of its weight


@dataclass(frozen=True, kw_only=True)
class MemberConfig:
    """One member of a stored ensemble."""

    kind: str
    config: dict[str, Any]
    temperature: float
    provenance: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig:
    """What an ensemble is built from."""

    members: tuple[MemberConfig, ...]
    mirrored: bool = False


@register
class Ensemble(Model):
    """Models that saw images the same way, and the mean of what they say.

    Args:
        members: Two or more models, or one that is mirrored, of the same classes, image size,
            channels and prior, of any kinds; their temperatures weigh them.
        metadata: Of the whole; None: that of the first member, at temperature 1.
        mirrored: Asks about the mirror image, left for right, too: where it is of the same class.

    Raises:
        PixelBayesError: If the members do not fit each other.
    """

    kind = "ensemble"
    noun = "ensemble"
    weights_decide = False

    def __init__(
        self,
        members: Sequence[Model],
        metadata: Metadata | None = None,
        *,
        mirrored: bool = False,
    ) -> None:
        if len(members) < (1 if mirrored else 2):
            raise PixelBayesError(
                f"an ensemble has two members or more, or is mirrored, got {len(members)}"
            )
        first = members[0]
        for member in members[1:]:
            for what in ("classes", "resize", "channels"):
                ours, theirs = getattr(first, what), getattr(member, what)
                if ours != theirs:
                    raise PixelBayesError(
                        f"members of an ensemble have the same {what}, got {ours} and {theirs}"
                    )
            if not torch.allclose(first.log_prior, member.log_prior):
                ours, theirs = (
                    [round(float(p), 4) for p in one.log_prior.exp()] for one in (first, member)
                )
                raise PixelBayesError(
                    f"members of an ensemble have the same prior, got {ours} and {theirs}"
                )
        self.members, self.mirrored = tuple(members), mirrored
        self.is_exact = all(member.is_exact for member in members)
        self.metadata = metadata or replace(
            first.metadata,
            temperature=1.0,
            decisions=None,
            provenance={"members": [member.metadata.provenance for member in members]},
        )

    @property
    def channels(self) -> int:
        """C of every member."""
        return self.members[0].channels

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.members[0].device

    @property
    def parameters(self) -> int:
        """Number of weights of all members."""
        return sum(member.parameters for member in self.members)

    @property
    def title(self) -> str:
        """The members in a few words."""
        members = ", ".join(member.title for member in self.members)
        return f"ensemble of {members}{' and mirror images' if self.mirrored else ''}"

    def log_likelihoods(
        self, levels: Tensor, *, progress: Callable[[int], None] | None = None
    ) -> Tensor:
        """Mean over members of log p_m(x | y) / T_m; see `Model.log_likelihoods`."""
        total = torch.zeros(len(levels), len(self.classes), dtype=torch.float64)
        for number, member in enumerate(self.members):

            def done(count: int, number: int = number) -> None:
                if progress is not None:
                    progress((number * len(levels) + count) // len(self.members))

            total += self._tempered(member, levels, done)
        return total / len(self.members)

    def _tempered(
        self, member: Model, levels: Tensor, progress: Callable[[int], None] | None = None
    ) -> Tensor:
        """What one member says at its temperature, of the images and of their mirror images."""
        said = member.log_likelihoods(levels, progress=progress)
        if self.mirrored:
            said = (said + member.log_likelihoods(in_view(levels, 1))) / 2.0
        return said / member.temperature

    def answer_in_turn(self, levels: Tensor, rule: CascadeRule) -> CascadeResult:
        """Asks the members in their order, each only about images that are not decided yet.

        Args:
            levels: uint8, (N, C, H, W).
            rule: When an image is decided, from `pixelbayes.inference.cascade.fit_cascade`.
        """
        total = torch.zeros(len(levels), len(self.classes), dtype=torch.float64)
        answer = torch.empty_like(total)
        asked = torch.zeros(len(levels), dtype=torch.int64)
        undecided = torch.arange(len(levels))
        for count, member in enumerate(self.members, start=1):
            total[undecided] += self._tempered(member, levels[undecided])
            answer[undecided] = class_posterior(
                total[undecided] / count, self.log_prior, self.temperature
            )
            asked[undecided] = count
            undecided = undecided[~rule.decided(answer[undecided])]
            if not len(undecided):
                break
        return CascadeResult(answer, asked)

    def describe(self) -> dict[str, Any]:
        """The members' architectures and the number of weights."""
        members = [{"kind": member.kind, **member.describe()} for member in self.members]
        mirrored = {"mirrored": True} if self.mirrored else {}
        return {"members": members, **mirrored, "parameters": self.parameters}

    def to(self, device: str | torch.device) -> Ensemble:
        """The same ensemble on another device."""
        moved = [member.to(device) for member in self.members]
        return Ensemble(moved, self.metadata, mirrored=self.mirrored)

    def with_metadata(self, metadata: Metadata) -> Ensemble:
        """The same members with other metadata of the whole."""
        return Ensemble(self.members, metadata, mirrored=self.mirrored)

    @classmethod
    def deciding(cls, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """All but where the members come from; see `Model.deciding`."""
        members = [
            {
                **member,
                "config": MODELS[member["kind"]].deciding(member["config"]),
                "provenance": None,
            }
            for member in config["members"]
        ]
        return {**config, "members": members}

    def to_stored(self) -> Stored:
        """One file of weights, in which a member's number stands before each name."""
        stored = [member.to_stored() for member in self.members]
        return Stored(
            kind=self.kind,
            config={
                "members": [
                    {
                        "kind": one.kind,
                        "config": dict(one.config),
                        "temperature": one.metadata.temperature,
                        "provenance": one.metadata.provenance,
                    }
                    for one in stored
                ],
                "mirrored": self.mirrored,
            },
            metadata=self.metadata,
            weights={
                f"{number}{SEPARATOR}{name}": tensor
                for number, one in enumerate(stored)
                for name, tensor in one.weights.items()
            },
        )

    @classmethod
    def from_stored(cls, stored: Stored) -> Ensemble:
        """Rebuilds each member from its part of the one file."""
        # The first ensembles were written without knowing of mirror images.
        known = replace(stored, config={"mirrored": False, **stored.config})
        config, members = structured_config(EnsembleConfig, known), []
        for number, member in enumerate(config.members):
            if member.kind not in MODELS:
                raise CheckpointError(
                    f"member {number} of {stored.origin} is a model of the kind {member.kind!r}; "
                    f"this pixelbayes knows: {', '.join(MODELS)}"
                )
            mark = f"{number}{SEPARATOR}"
            weights = {
                name.removeprefix(mark): tensor
                for name, tensor in stored.weights.items()
                if name.startswith(mark)
            }
            origin = f"member {number} of {stored.origin}"
            try:
                metadata = replace(
                    stored.metadata, temperature=member.temperature, provenance=member.provenance
                )
            except PixelBayesError as error:
                raise CheckpointError(f"{origin}: {error}") from error
            one = replace(
                stored,
                kind=member.kind,
                config=member.config,
                metadata=metadata,
                weights=weights,
                origin=origin,
            )
            members.append(MODELS[member.kind].from_stored(one))
        try:
            return cls(members, stored.metadata, mirrored=config.mirrored)
        except PixelBayesError as error:
            raise CheckpointError(f"{stored.origin}: {error}") from error
