"""Uses of a trained model: Bayes classification, sampling, completion.

`sample` and `complete` are the cached ones; `pixelbayes.inference.sampling` holds their
specification.
"""

from pixelbayes.inference.cached import complete_cached as complete
from pixelbayes.inference.cached import sample_cached as sample
from pixelbayes.inference.classification import BayesClassifier, class_posterior
from pixelbayes.inference.completion import complete_weighted
from pixelbayes.inference.sampling import first_rows

__all__ = [
    "BayesClassifier",
    "class_posterior",
    "complete",
    "complete_weighted",
    "first_rows",
    "sample",
]
