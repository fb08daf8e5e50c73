"""Answers with a stated coverage: sets of classes that hold the true one nine times in ten."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from pixelbayes import PixelBayesClassifier
from pixelbayes.evaluation.conformal import empirical_coverage, fit_sets, set_size


def main(images: int = 1797, epochs: int = 16, coverage: float = 0.9) -> float:
    """Fits sets on images apart from the training; returns the coverage of new ones, in percent."""
    X, y = load_digits(return_X_y=True)
    X_train, X_rest, y_train, y_rest = train_test_split(
        X[:images], y[:images], test_size=0.5, random_state=0, stratify=y[:images]
    )
    classifier = PixelBayesClassifier(epochs=epochs, random_state=0).fit(X_train, y_train)
    log_proba = torch.from_numpy(classifier.predict_log_proba(X_rest))
    labels = torch.from_numpy(y_rest)
    half = len(labels) // 2
    sets = fit_sets(log_proba[:half], labels[:half], coverage=coverage)
    held = sets(log_proba[half:])
    found = empirical_coverage(held, labels[half:])
    print(f"asked for {coverage:.0%}, found {found}; {set_size(held)}")
    return found.value


if __name__ == "__main__":
    main()
