"""Which labels are wrong?  Ranks images by doubt (needs the extras training and decisions)."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_predict

from pixelbayes import PixelBayesClassifier
from pixelbayes.evaluation.label_quality import label_quality


def main(images: int = 600, epochs: int = 8, flipped: int = 30) -> int:
    """Spoils some labels; returns how many of the most doubtful ones, as many, were spoilt."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:images], y[:images].copy()
    wrong = np.random.default_rng(0).choice(images, flipped, replace=False)
    y[wrong] = (y[wrong] + 1) % 10
    classifier = PixelBayesClassifier(epochs=epochs, random_state=0)
    log_proba = cross_val_predict(classifier, X, y, cv=3, method="predict_log_proba")
    quality = label_quality(torch.from_numpy(log_proba), torch.from_numpy(y))
    doubtful = quality.score.argsort()[:flipped].numpy()
    found = len(set(doubtful) & set(wrong))
    print(f"{found} of the {flipped} most doubtful labels are wrong; looked at by chance: ", end="")
    print(f"{flipped * flipped / images:.1f}")
    return found


if __name__ == "__main__":
    main()
