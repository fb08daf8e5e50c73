"""What one call of a study does: train what is unfinished, measure what is not up to date."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pixelbayes.evaluation.fid import Features
from pixelbayes.evaluation.inception import FeatureNetwork
from pixelbayes.report import save_result
from pixelbayes.training import DivergedError, RunStopped
from pixelbayes.workflows.configuration import DataConfig, RunError
from pixelbayes.workflows.provenance import provenance
from pixelbayes.workflows.recorded import data_digest, load_data
from pixelbayes.workflows.runs import RunDirectory
from pixelbayes.workflows.scoring import Progress
from pixelbayes.workflows.study.config import StudyConfig
from pixelbayes.workflows.study.contenders import Contender
from pixelbayes.workflows.study.directory import StudyDirectory
from pixelbayes.workflows.study.measure import Measurement
from pixelbayes.workflows.study.pieces import Deadline, TimeIsUp
from pixelbayes.workflows.study.results import RESULT, Wanted, complete_result, is_up_to_date
from pixelbayes.workflows.study.scores import RealImages, Scorer

__all__ = ["Note", "StudyCall"]

Note = Callable[[str], None]

NO_SCORES = (
    "There are no FID and KID: the weights of the feature network were not at hand when this was "
    "measured."
)
ON_VALIDATION = (
    "FID and KID are against the validation images, which also chose the epoch: there are no test "
    "images."
)


class StudyCall:
    """One call of `pixelbayes.workflows.study.study`: what it has loaded, and its time.

    Args:
        config: The study.
        directory: Its directory.
        deadline: When to stop.
        device: Where models are measured.
        network: Gives the features of FID and KID; None leaves the scores out.
        show_training: Whether to show the progress of training on stderr.
        progress: See `Progress`.
        note: Called with a line for the user now and then.

    Attributes:
        failed: Whether a training diverged.
    """

    def __init__(
        self,
        config: StudyConfig,
        directory: StudyDirectory,
        *,
        deadline: Deadline,
        device: str,
        network: FeatureNetwork | None,
        show_training: bool,
        progress: Progress | None,
        note: Note,
    ) -> None:
        self.config = config
        self.directory = directory
        self.deadline = deadline
        self.device = device
        self.show_training = show_training
        self.progress = deadline.watching(progress)
        self.note = note
        self.failed = False
        self._features: Features | None = None
        if network is not None and config.fid is not None:
            self._features = Features(network.to(device), folder=directory.path / "features")
        self._images: dict[DataConfig, RealImages] = {}
        self._scorers: dict[DataConfig, Scorer] = {}

    def advance(self, contenders: Sequence[Contender]) -> list[str]:
        """Does what is missing, in order; returns what is missing still."""
        missing: list[str] = []
        for number, one in enumerate(contenders):
            reason = None
            try:
                self._train(one)
                self._measure(one)
            except TimeIsUp:
                late = [later for later in contenders[number:] if not self._is_done(later)]
                return [*missing, *(f"{later}: the time is over" for later in late)]
            except DivergedError as error:
                self.failed, reason = True, str(error)
            except _ElsewhereError as error:
                reason = str(error)
            if reason is not None:
                self.note(f"{one}: {reason}")
                missing.append(f"{one}: {reason}")
        return missing

    def _train(self, one: Contender) -> None:
        """Trains until the end, unless that is done."""
        run = one.find()
        if run is not None and one.is_finished(run):
            return
        if run is not None and one.is_elsewhere(run):
            raise _ElsewhereError(
                "another program seems to be training it, it is left alone; call again later"
            )
        self._begin(f"{one}: training")
        try:
            one.continue_training(run, seconds=self.deadline.left, progress=self.show_training)
        except RunStopped as stopped:
            if stopped.reason == "max_time":
                raise TimeIsUp from stopped
            raise

    def _measure(self, one: Contender) -> None:
        """Writes the result of a finished run, unless it is there and what it should be."""
        run = one.find()
        assert run is not None
        wanted = Wanted.of(run, self.config, self._features)
        if is_up_to_date(one.path, wanted):
            return
        self._begin(f"{one}: measuring")
        images = self._images.setdefault(one.config.data, RealImages(one.config.data))
        self._require_same_data(one, run, images)
        measurement = Measurement(
            one,
            images.dataset,
            scorer=self._scorer(images),
            per_class=self.config.samples_per_class,
            device=self.device,
            pieces=self.directory.pieces(one.path),
            progress=self.progress,
        )
        fields = measurement.run(run.kept)
        answers = measurement.answers_key
        result = complete_result(
            one,
            run,
            fields,
            wanted,
            answers=answers,
            device=self.device,
            remarks=self._remarks(one, images),
        )
        save_result(result, one.path / RESULT)

    def _remarks(self, one: Contender, images: RealImages) -> list[str]:
        """What is to be said of the scores of generated images."""
        if self.config.fid is None or one.fusion is None:
            return []
        if self._features is None:
            return [NO_SCORES]
        return [] if images.reference_split == "test" else [ON_VALIDATION]

    def _is_done(self, one: Contender) -> bool:
        run = one.find()
        return (
            run is not None
            and one.is_finished(run)
            and is_up_to_date(one.path, Wanted.of(run, self.config, self._features))
        )

    def _begin(self, what: str) -> None:
        """Says what is done next, and that this call is the one that does it."""
        self.deadline.check()
        self.directory.begin(provenance())
        self.note(what)

    def _scorer(self, images: RealImages) -> Scorer | None:
        if self._features is None or self.config.fid is None:
            return None
        per_class = self.config.samples_per_class
        scorer = Scorer(self.config.fid, self._features, images, per_class)
        return self._scorers.setdefault(images.config, scorer)

    @staticmethod
    def _require_same_data(one: Contender, run: RunDirectory[Any], images: RealImages) -> None:
        margin = one.config.training.crop_margin
        trained_on = run.info.get("data_sha256")
        dataset = load_data(one.config.data, crop_margin=margin) if margin else images.dataset
        if trained_on not in (None, data_digest(dataset)):
            raise RunError(
                f"the data are not those that {one.path} was trained on: {one.config.data.data} "
                "has changed since; restore it, or give another --output"
            )


class _ElsewhereError(Exception):
    """Another program is at work on a run."""
