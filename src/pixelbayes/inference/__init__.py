"""Uses of a trained model: Bayes classification, sampling, completion.

`sample` and `complete` are the cached ones; `pixelbayes.inference.sampling` holds their
specification.
"""

from pixelbayes.inference.cached import complete_cached as complete
from pixelbayes.inference.cached import sample_cached as sample
from pixelbayes.inference.classification import BayesClassifier, class_posterior
from pixelbayes.inference.pixelbayes import PixelBayes

__all__ = ["BayesClassifier", "PixelBayes", "class_posterior", "complete", "sample"]
