"""Train on arrays of your own: an estimator as any of scikit-learn (needs the extra training)."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from pixelbayes import PixelBayesClassifier


def main(images: int = 1797, epochs: int = 16) -> float:
    """Trains on three quarters of the digits and returns the accuracy on the others."""
    X, y = load_digits(return_X_y=True)  # (1797, 64), whole levels 0..16
    parts = train_test_split(X[:images], y[:images], test_size=0.25, random_state=0)
    X_train, X_test, y_train, y_test = parts
    classifier = PixelBayesClassifier(epochs=epochs, random_state=0, verbose=True)
    classifier.fit(X_train, y_train)
    accuracy = float(classifier.score(X_test, y_test))
    print(f"accuracy {accuracy:.1%} of {len(y_test)}")
    print("log p(x) of the first three:", classifier.score_samples(X_test[:3]))
    drawn, labels = classifier.sample(3, random_state=0)
    print("drawn:", labels, drawn.shape)
    return accuracy


if __name__ == "__main__":
    main()
