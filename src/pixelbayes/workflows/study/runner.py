"""The study: every model trained, measured and set side by side, in as many calls as it takes.

    STUDY/study.yaml, study.json        what was asked for; what is done
    STUDY/MODEL/seed-S/                 a run directory
    STUDY/MODEL/seed-S/result.json      all that was measured (`ModelResult`)
    STUDY/MODEL/seed-S/measured/        what has been computed on the way there
    STUDY/index.html, tables/, ...      written from the results alone

A call does what is missing and nothing else.  It can be stopped at any moment.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pixelbayes.data import SplitRecord
from pixelbayes.evaluation.features import FeatureNetwork
from pixelbayes.evaluation.fid import Features
from pixelbayes.models import MODELS
from pixelbayes.models.hub import find_model
from pixelbayes.report import ModelResult, save_result, write_study
from pixelbayes.training import DivergedError, RunStopped
from pixelbayes.workflows.config import DataConfig, RunError
from pixelbayes.workflows.evaluation_data import (
    counts_trained_on,
    divide_alike,
    other_record,
    remarks_on_start,
)
from pixelbayes.workflows.loading import data_digest, load_data
from pixelbayes.workflows.provenance import provenance
from pixelbayes.workflows.runs import locked
from pixelbayes.workflows.scoring import Progress
from pixelbayes.workflows.study.cache import Deadline, TimeIsUp
from pixelbayes.workflows.study.comparisons import compared
from pixelbayes.workflows.study.config import StudyConfig
from pixelbayes.workflows.study.directory import StudyDirectory
from pixelbayes.workflows.study.measure import Measurement
from pixelbayes.workflows.study.results import (
    RESULT,
    Wanted,
    collect,
    complete_result,
    is_up_to_date,
)
from pixelbayes.workflows.study.scores import RealImages, Scorer
from pixelbayes.workflows.study.trial import (
    CheckpointTrial,
    EnsembleTrial,
    MembersMissingError,
    TrainingTrial,
    Trial,
    TrialState,
    trial_of,
)

__all__ = ["StudyOutcome", "report_study", "study"]


Note = Callable[[str], None]

NO_SCORES = (
    "There are no FID and KID: the weights of the feature network were not at hand when this was "
    "measured."
)
ON_VALIDATION = (
    "FID and KID are against the validation images, which also chose the epoch: there are no test "
    "images."
)


@dataclass
class _Invocation:
    """One call of `study`, which see; what it has loaded, and its time."""

    config: StudyConfig
    directory: StudyDirectory
    deadline: Deadline
    device: str
    network: FeatureNetwork | None
    show_training: bool
    progress: Progress
    note: Note
    failed: bool = False
    """Whether a training diverged."""
    _images: dict[DataConfig, RealImages] = field(default_factory=dict)
    _scorers: dict[DataConfig, Scorer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._features: Features | None = None
        if self.network is not None and self.config.fid is not None:
            folder = self.directory.path / "features"
            self._features = Features(self.network.to(self.device), folder=folder)

    def advance(self, trials: Sequence[Trial]) -> list[str]:
        """Does what is missing, in order; returns what is missing still."""
        for one in trials:
            self._require_new(one)
        missing: list[str] = []
        for number, one in enumerate(trials):
            reason = None
            try:
                self._train(one)
                self._measure(one)
            except TimeIsUp:
                late = [later for later in trials[number:] if not self._is_done(later)]
                return [*missing, *(f"{later}: the time is over" for later in late)]
            except DivergedError as error:
                self.failed, reason = True, str(error)
            except (_ElsewhereError, MembersMissingError) as error:
                reason = str(error)
            if reason is not None:
                self.note(f"{one}: {reason}")
                missing.append(f"{one}: {reason}")
        return missing

    def _train(self, one: Trial) -> None:
        """Trains until the end, unless that is done."""
        state = one.find()
        if state is not None and state.finished:
            return
        if one.is_elsewhere():
            raise _ElsewhereError(
                "another program is training it, it is left alone; call again later"
            )
        if isinstance(one, EnsembleTrial):
            self._require_members(one)
        self._begin(f"{one}: training")
        try:
            one.make(
                seconds=self.deadline.left,
                progress=self.show_training,
                record=self.directory.record_of(one.data),
            )
        except RunStopped as stopped:
            if stopped.reason == "max_time":
                raise TimeIsUp from stopped
            raise

    def _require_members(self, one: EnsembleTrial) -> None:
        """Refuses members without their temperature, which measuring fits."""
        path = self.directory.path
        members = [trial_of(self.config, path, name, one.seed) for name in one.names]
        if missing := [member.name for member in members if not self._is_done(member)]:
            raise MembersMissingError(
                f"members are not trained and measured to their end: {', '.join(missing)}"
            )

    def _measure(self, one: Trial) -> None:
        """Writes the result of a finished run, unless it is there and what it should be."""
        state = one.find()
        assert state is not None
        wanted = self._wanted(one, state)
        if is_up_to_date(one.path, wanted):
            return
        self._begin(f"{one}: measuring")
        images = self._images_of(one)
        self._require_same_data(one, state, images)
        measurement = Measurement(
            one,
            images.dataset,
            scorer=self._scorer(images),
            per_class=self.config.samples_per_class,
            device=self.device,
            cache=self.directory.cache(one.path),
            progress=self.progress,
        )
        fields = measurement.run(state.kept)
        answers = measurement.answers_key
        result = complete_result(
            one,
            state,
            fields,
            wanted,
            answers=answers,
            device=self.device,
            remarks=[*remarks_on_start(state.info), *self._remarks(one, images)],
        )
        save_result(result, one.path / RESULT)

    def _images_of(self, one: Trial) -> RealImages:
        record = self.directory.record_of(one.data)
        return self._images.setdefault(one.data, RealImages(one.data, record))

    def _remarks(self, one: Trial, images: RealImages) -> list[str]:
        """What is to be said of the scores of generated images."""
        if self.config.fid is None or not MODELS[one.kind].can_sample:
            return []
        if self._features is None:
            return [NO_SCORES]
        return [] if images.reference_split == "test" else [ON_VALIDATION]

    def _is_done(self, one: Trial) -> bool:
        state = one.find()
        return (
            state is not None
            and state.finished
            and is_up_to_date(one.path, self._wanted(one, state))
        )

    def _wanted(self, one: Trial, state: TrialState) -> Wanted:
        """What its result has to be made of.

        Where no training notes the images, they are those of now.
        """
        data = state.info.get("data_sha256")
        if not isinstance(one, TrainingTrial):
            data = data_digest(self._images_of(one).dataset)
        return Wanted.of(state, data, self.config, self._features)

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

    def _require_new(self, one: Trial) -> None:
        """Refuses a model that was trained on images that it is measured on as new ones.

        Raises:
            RunError: If it was, by the splits of its training.
        """
        for name, record in self._trainings_elsewhere(one):
            dataset = self._images_of(one).dataset
            for split, seen in counts_trained_on(dataset, record).items():
                raise RunError(
                    f"models.{one.name}: {name} was trained on {seen} of the "
                    f"{len(dataset.split(split))} images of {split} (their content is the same), "
                    "so it cannot stand beside the others; leave it out, or give the study the "
                    "data and the split_seed that it was trained with"
                )

    def _trainings_elsewhere(self, one: Trial) -> Iterator[tuple[str, SplitRecord]]:
        """What a model was trained on that may be divided otherwise than what it is measured on."""
        if isinstance(one, CheckpointTrial):
            record = other_record(find_model(one.config.checkpoint), one.data)
            if record is not None:  # else no image need be read
                yield one.config.checkpoint, record
        for name in one.names if isinstance(one, EnsembleTrial) else ():
            member = trial_of(self.config, self.directory.path, name, one.seed)
            if isinstance(member, CheckpointTrial):
                yield from self._trainings_elsewhere(replace(member, data=one.data))
            elif not divide_alike(member.data, one.data):
                record = self._images_of(member).dataset.record
                if record is not None:
                    yield name, record

    @staticmethod
    def _require_same_data(one: Trial, state: TrialState, images: RealImages) -> None:
        margin = one.config.training.crop_margin if isinstance(one, TrainingTrial) else 0
        trained_on = state.info.get("data_sha256")
        dataset = images.dataset
        if margin:
            dataset = load_data(one.data, crop_margin=margin, record=images.record)
        if trained_on not in (None, data_digest(dataset)):
            raise RunError(
                f"the data are not those that {one.path} was trained on: {one.data.data} "
                "has changed since; restore it, or give another --output"
            )


class _ElsewhereError(Exception):
    """Another program is at work on a run."""


@dataclass(frozen=True)
class StudyOutcome:
    """What a call left behind."""

    results: list[ModelResult]
    """Of every run there is, also unfinished ones."""
    files: list[Path]
    """Tables, figures and pages, index.html first; none where there is nothing to show."""
    missing: list[str]
    """Runs that were asked for and are not measured yet, or failed, with what keeps them."""
    failed: bool
    """Whether a training diverged."""


def study(
    config: StudyConfig,
    folder: Path,
    *,
    only: Sequence[str] | None = None,
    seconds: float | None = None,
    device: str = "cpu",
    network: FeatureNetwork | None = None,
    show_training: bool = True,
    progress: Progress | None = None,
    note: Note = lambda _: None,
) -> StudyOutcome:
    """Trains and measures what is missing, and writes tables, figures and pages.

    Args:
        config: The study.
        folder: The study directory; an earlier call's is continued.
        only: Names of models; None: all.
        seconds: Time limit of the whole call; None: there is none.
        device: Where models are measured; where they are trained, their configurations say.
        network: Gives the features of FID and KID; None leaves the scores out.
        show_training: Whether to show the progress of training on stderr.
        progress: See `Progress`.
        note: Called with a line for the user now and then.

    Raises:
        RunError: If a name is unknown, the folder holds runs with other settings, or another call
            is at work in it.
        MissingPackageError: If a kind of model needs a package that is not installed.
        ModuleNotFoundError: If matplotlib is not installed.
        DatasetError: If the data cannot be used.
        RunStopped: If a signal stopped a training.
    """
    deadline, chosen = Deadline(seconds), config.chosen(only)
    _require_matplotlib()
    with locked(folder):
        directory = StudyDirectory(folder)
        wanted = [trial_of(config, folder, name, seed) for seed in config.seeds for name in chosen]
        # After their members, wherever they are listed.
        wanted.sort(key=lambda one: (config.seeds.index(one.seed), isinstance(one, EnsembleTrial)))
        for one in wanted:  # all mistakes before the first hour of training
            state = one.find()
            if state is None or not state.finished:
                one.check()
        directory.write_config(config)
        invocation = _Invocation(
            config,
            directory,
            deadline=deadline,
            device=device,
            network=network,
            show_training=show_training,
            progress=deadline.watching(progress),
            note=note,
        )
        missing = invocation.advance(wanted)
        return _written(config, directory, missing, failed=invocation.failed)


def report_study(config: StudyConfig, folder: Path) -> StudyOutcome:
    """Writes tables, figures and pages from the results that there are; trains nothing.

    Raises:
        RunError: If there is no study in the folder, or another call is at work in it.
        ModuleNotFoundError: If matplotlib is not installed.
        ReportError: If a result cannot be read.
    """
    _require_matplotlib()
    if not folder.is_dir():
        raise RunError(f"no study in {folder}; leave out --report-only to begin it")
    with locked(folder):
        outcome = _written(config, StudyDirectory(folder), [], failed=False)
    if not outcome.files:
        raise RunError(f"no model has finished an epoch in {folder}; leave out --report-only")
    return outcome


def _written(
    config: StudyConfig, directory: StudyDirectory, missing: list[str], *, failed: bool
) -> StudyOutcome:
    """Compares, and writes everything that is made from results."""
    found, measured, unlike = collect(config, directory)
    missing = [*missing, *unlike]
    folders = {name: directory.cache(path).folder for name, path in measured.items()}
    results = compared(found, folders)
    for before, after in zip(found, results, strict=True):
        path = directory.run_path(after.name, after.seed)
        if after != before and path in measured.values():
            save_result(after, path / RESULT)
    directory.write_state(config, results, measured, missing)
    files = []
    if results:
        files = write_study(
            directory.path,
            results,
            title=config.title,
            published=config.published,
            provenance=directory.provenance or provenance(),
        )
        directory.replace_files(files)
    return StudyOutcome(results, files, missing, failed)


def _require_matplotlib() -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
