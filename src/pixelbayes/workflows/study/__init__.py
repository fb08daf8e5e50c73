"""The study: several models trained, measured and compared by one configuration."""

from pixelbayes.workflows.study.config import FIDConfig, StudyConfig
from pixelbayes.workflows.study.directory import output_folder
from pixelbayes.workflows.study.runner import StudyOutcome, report_study, study

__all__ = [
    "FIDConfig",
    "StudyConfig",
    "StudyOutcome",
    "output_folder",
    "report_study",
    "study",
]
