"""Training: configuration, batches, and the engine, which is the only door of Lightning.

This module imports none of it, so configurations and errors stay cheap to use; the engine is
`pixelbayes.training.engine.fit`.
"""

from pixelbayes.training.config import OptimConfig, TrainingConfig
from pixelbayes.training.errors import DivergedError, RunStopped

__all__ = ["DivergedError", "OptimConfig", "RunStopped", "TrainingConfig"]
