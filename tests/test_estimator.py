"""`PixelBayesClassifier` among the estimators of scikit-learn."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("pytorch_lightning", reason="the extra training is not installed")

from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import pixelbayes.estimator
from pixelbayes import PixelBayesClassifier
from pixelbayes.data import LabelledImages
from pixelbayes.models import Model

NOT_AN_IMAGE = "its X has a number of features that is no square image of 1 or 3 channels"
NOT_LEVELS = "its X holds other numbers than whole levels 0..255"


def tiny(**changes: Any) -> PixelBayesClassifier:
    """One epoch of a network as small as it can be."""
    smallest = {"features": 4, "mixtures": 1, "embedding": 2, "epochs": 1, "random_state": 0}
    return PixelBayesClassifier(**{**smallest, **changes})


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Sixty images of three classes, flat, floats that hold whole levels."""
    X, y = load_digits(n_class=3, return_X_y=True)
    return X[:60], y[:60]


@pytest.fixture(scope="module")
def fitted(digits: tuple[np.ndarray, np.ndarray]) -> PixelBayesClassifier:
    return tiny().fit(*digits)


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves first weights as they are, for what does not ask how well it learns."""
    from pixelbayes.training import engine

    def fit(task: Any, *_: LabelledImages, folder: Any, progress: bool) -> engine.Outcome:
        task.save(folder / "best", task.start.metadata)
        return engine.Outcome(epochs=task.epochs, best_epoch=1, best=0.0, reason="epochs")

    monkeypatch.setattr(engine, "fit", fit)


# As every estimator


def expected_failures(estimator: BaseEstimator) -> dict[str, str]:
    if isinstance(estimator, OfMatrices):
        return AS_IMAGES
    return {
        **dict.fromkeys(NO_SQUARE.split(), NOT_AN_IMAGE),
        **dict.fromkeys(NO_LEVELS.split(), NOT_LEVELS),
    }


NO_SQUARE = """
check_estimators_overwrite_params check_estimators_fit_returns_self check_readonly_memmap_input
check_estimators_unfitted check_estimators_dtypes check_dtype_object check_classifiers_one_label
check_classifiers_classes check_estimators_partial_fit_n_features check_classifiers_train
check_fit2d_1sample check_fit_idempotent check_fit_check_is_fitted check_n_features_in
check_classifier_data_not_an_array check_fit_non_negative check_positive_only_tag_during_fit
"""
NO_LEVELS = """
check_fit_score_takes_y check_dont_overwrite_parameters check_n_features_in_after_fitting
check_pipeline_consistency check_estimators_nan_inf check_estimators_pickle
check_f_contiguous_array_estimator check_supervised_y_2d check_methods_sample_order_invariance
check_methods_subset_invariance check_fit2d_1feature check_dict_unchanged check_fit2d_predict1d
"""
AS_IMAGES = {
    "check_classifiers_train": "the networks of these checks are not trained",
    "check_methods_subset_invariance": "float32: 1e-7 of a log-likelihood depends on the batch",
    "check_positive_only_tag_during_fit": "its negative numbers were made levels",
    "check_fit_non_negative": "its negative numbers were made levels",
}


class MatrixForm(pixelbayes.estimator.ArrayForm):
    """Takes every matrix for images of 8 x 8 pixels."""

    @classmethod
    def of(cls, shape: Any, image_shape: Any = None) -> MatrixForm:
        return cls((8, 8, 1), "flat")


class OfMatrices(PixelBayesClassifier):
    """Makes an image of any row of numbers: the checks' matrices then are images."""

    def _as_levels(self, X: np.ndarray) -> torch.Tensor:
        levels = np.zeros((len(X), 64))
        levels[:, : X.shape[1]] = np.clip(np.round(16 * X.astype(float) + 128), 0, 255)
        return super()._as_levels(levels)


def as_images(**changes: Any) -> OfMatrices:
    return OfMatrices(**tiny(max_level=255, **changes).get_params())


@parametrize_with_checks([tiny()], expected_failed_checks=expected_failures)
def test_it_is_an_estimator_but_for_what_is_no_image(
    estimator: PixelBayesClassifier, check: Callable[[Any], None]
) -> None:
    check(estimator)


@pytest.mark.usefixtures("untrained")
@parametrize_with_checks([as_images()], expected_failed_checks=expected_failures)
def test_it_is_an_estimator_where_matrices_are_images(
    estimator: OfMatrices, check: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixelbayes.estimator, "ArrayForm", MatrixForm)
    check(estimator)


# Images in, classes out


def test_it_answers_as_its_model_does(
    fitted: PixelBayesClassifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    X, _ = digits
    levels = torch.from_numpy(np.rint(X * 255 / 16).astype(np.uint8)).view(-1, 1, 8, 8)

    proba = fitted.predict_proba(X)

    assert (fitted.n_iter_, fitted.max_level_) == (1, 16)
    np.testing.assert_allclose(proba, fitted.model_.predict_proba(levels).numpy())
    np.testing.assert_allclose(fitted.predict_log_proba(X), np.log(proba))
    np.testing.assert_allclose(fitted.score_samples(X), fitted.model_.score_samples(levels).numpy())
    np.testing.assert_array_equal(fitted.predict(X), fitted.classes_[proba.argmax(axis=1)])


@pytest.mark.usefixtures("untrained")
def test_flat_and_shaped_images_of_any_number_type_are_the_same(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = digits
    flat = tiny().fit(X, y)
    forms = {
        (60, 8, 8): X.reshape(-1, 8, 8),
        (60, 8, 8, 1): X.reshape(-1, 8, 8, 1).astype(np.uint8),
        (60, 1, 8, 8): X.reshape(-1, 1, 8, 8).astype(np.int64),
    }
    for shape, images in forms.items():
        shaped = tiny(max_level=16).fit(images, y)
        np.testing.assert_allclose(shaped.predict_proba(images), flat.predict_proba(X))
        np.testing.assert_allclose(shaped.predict_proba(X), flat.predict_proba(X))
        drawn, labels = shaped.sample(2, y=[2, 0], random_state=1)
        assert drawn.shape == (2, *shape[1:])
        np.testing.assert_array_equal(labels, [2, 0])
        expected, _ = flat.sample(2, y=[2, 0], random_state=1)
        np.testing.assert_array_equal(drawn.reshape(2, -1), expected)


@pytest.mark.usefixtures("untrained")
def test_colour_images_and_classes_with_names(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X = np.random.default_rng(0).integers(0, 256, (12, 8, 10, 3), dtype=np.uint8)
    y = np.array(["pizza", "koala"] * 6)
    trained = tiny().fit(X, y)
    assert trained.model_.classes == ("koala", "pizza")
    assert (trained.form_.shape, trained.n_features_in_) == ((8, 10, 3), 240)
    assert set(trained.predict(X)) <= {"koala", "pizza"}
    drawn, labels = trained.sample(3, random_state=0)
    assert drawn.shape == (3, 8, 10, 3)
    assert drawn.dtype == np.uint8
    assert set(labels) <= {"koala", "pizza"}
    again, _ = tiny(image_shape=(8, 10, 3)).fit(X.reshape(12, -1), y).sample(3, random_state=0)
    np.testing.assert_array_equal(again.reshape(drawn.shape), drawn)


def test_what_is_no_image_is_refused_with_what_to_do(
    fitted: PixelBayesClassifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    X, y = digits
    with pytest.raises(TypeError, match=r"pass \(x \* 255\)\.round\(\)\.astype\(np\.uint8\)"):
        tiny().fit(X / 16, y)
    with pytest.raises(ValueError, match="Negative values"):
        tiny().fit(-X, y)
    with pytest.raises(ValueError, match="63 features, which are no square image"):
        tiny().fit(X[:, :63], y)
    with pytest.raises(ValueError, match=r"image_shape is .* H W C = 64"):
        tiny(image_shape=(8, 9)).fit(X, y)
    with pytest.raises(ValueError, match=r"cannot be told which"):
        tiny().fit(np.zeros((4, 3, 8, 3), np.uint8), [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"those of fit were \(8, 8, 1\)"):
        fitted.predict(np.zeros((2, 9, 9), np.uint8))
    with pytest.raises(
        ValueError, match=r"levels up to 17, and 16 counts as white; set max_level="
    ):
        fitted.predict(X + 1)
    with pytest.raises(TypeError, match=r"sample_weight as well; .* repeat those"):
        tiny().fit(X, y, sample_weight=np.ones(60))
    with pytest.raises(ValueError, match="device is auto, cpu, cuda"):
        tiny(device="tpu").fit(X, y)
    with pytest.raises(ValueError, match="validation_fraction is at least 0"):
        tiny(validation_fraction=1.0).fit(X, y)
    with pytest.raises(ValueError, match=r"y is one class of \[0 1 2\]"):
        fitted.sample(2, y=7)
    with pytest.raises(ValueError, match="n_samples is a number of images above 0"):
        fitted.sample(0)


@pytest.mark.usefixtures("untrained")
def test_a_class_to_draw_is_the_class_of_its_type(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, _ = digits
    y = np.arange(60) % 12
    twelve = tiny(validation_fraction=0.0).fit(X, y)
    for ten in (10, 10.0, np.int8(10), [10]):
        np.testing.assert_array_equal(twelve.sample(1, y=ten, random_state=0)[1], [10])
    for stranger in ("10", True, 1.5, ["10"], [[10]], [[1], [1, 2]], {}, []):
        with pytest.raises(ValueError, match="y is one class of"):
            twelve.sample(1, y=stranger)
    texts = tiny(validation_fraction=0.0).fit(X, y.astype(str))
    np.testing.assert_array_equal(texts.sample(1, y="10", random_state=0)[1], ["10"])
    with pytest.raises(ValueError, match="y is one class of"):
        texts.sample(1, y=10)
    with pytest.raises(ValueError, match="which are none of"):
        twelve.partial_fit(X, y.astype(str))
    with pytest.raises(ValueError, match=r"n_samples is a number of images above 0, got 1\.5"):
        twelve.sample(1.5)  # type: ignore[arg-type]


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("parameter", "values", "message"),
    [
        ("max_level", [float("nan"), 0, -1, 256, 1.5, "16", True], "max_level is a whole level"),
        ("image_shape", [64, (8.0, 8.0), (-8, -8), "44", (8,)], r"image_shape is \(H, W\) or"),
        ("validation_fraction", [None, "0.1", float("nan"), False], "validation_fraction is at"),
        ("init_from", [3, [1]], "init_from is a model, its folder or"),
        ("init_from", [""], "an empty path names no model"),
        ("device", [["cpu"], None], "device is auto, cpu, cuda"),
        ("dropout", [None, "0.1"], "dropout is a probability"),
        ("learning_rate", [None, "0.1"], "learning_rate is a number"),
        ("batch_size", [0], "^batch_size is a whole number"),
        ("n_iter_no_change", [0], "^n_iter_no_change is a whole number"),
        ("objective", ["x"], "^objective is"),
        ("epochs", [None, 1.5], "^epochs is a whole number"),
    ],
)
def test_a_parameter_that_is_not_accepted_is_a_value_error(
    digits: tuple[np.ndarray, np.ndarray], parameter: str, values: list[Any], message: str
) -> None:
    for value in values:
        with pytest.raises(ValueError, match=message):
            tiny(**{parameter: value}).fit(*digits)


@pytest.mark.usefixtures("untrained")
def test_a_gpu_that_is_not_here_is_refused(digits: tuple[np.ndarray, np.ndarray]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="PyTorch finds no device cuda here"):
        tiny(device="cuda").fit(*digits)


@pytest.mark.usefixtures("untrained")
def test_numbers_of_numpy_are_parameters_as_those_of_python_are(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    ours = {"features": 4, "epochs": 1, "dropout": 0.5, "max_level": 16, "image_shape": (8, 8)}
    theirs = {
        "features": np.int64(4),
        "epochs": np.int64(1),
        "dropout": np.float32(0.5),
        "max_level": np.float64(16),
        "image_shape": np.array([8, 8]),
    }
    expected = tiny(**ours).fit(*digits).score_samples(digits[0])
    got = tiny(**theirs).fit(*digits).score_samples(digits[0])
    np.testing.assert_array_equal(got, expected)


# Among other estimators


@pytest.mark.usefixtures("untrained")
def test_it_works_in_pipelines_searches_and_cross_validation(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = digits
    scaled = make_pipeline(FunctionTransformer(lambda x: np.round(x * 15)), tiny())
    assert cross_val_score(scaled, X, y, cv=2).shape == (2,)
    search = GridSearchCV(tiny(), {"fusion": ["gated", "late"]}, cv=2).fit(X, y)
    assert search.best_params_["fusion"] in ("gated", "late")
    assert search.predict(X).shape == (60,)


def test_it_is_calibrated_by_scikit_learn(
    fitted: PixelBayesClassifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    from sklearn.calibration import CalibratedClassifierCV

    try:
        calibrated = CalibratedClassifierCV(FrozenEstimator(fitted), method="temperature")
        calibrated.fit(*digits)
    except ValueError as error:
        pytest.skip(f"scikit-learn before 1.8 has no temperature scaling: {error}")
    np.testing.assert_allclose(calibrated.predict_proba(digits[0]).sum(axis=1), 1.0)


def test_a_copy_by_pickle_answers_the_same_and_a_clone_knows_nothing(
    fitted: PixelBayesClassifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    X, _ = digits
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict_proba(X), fitted.predict_proba(X))
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    assert not hasattr(fresh, "model_")


# Going on from weights


def test_a_fit_that_fails_leaves_what_was_learned_before_whole(
    digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = digits
    fitted = tiny().fit(X, y)
    before = fitted.predict_log_proba(X[:5])

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PixelBayesClassifier, "_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(np.minimum(X * 15.0, 255.0).round(), y)
    assert np.array_equal(fitted.predict_log_proba(X[:5]), before)


def test_training_goes_on_where_it_stood(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    warm = tiny(warm_start=True, validation_fraction=0.0).fit(X, y)
    first = -warm.score_samples(X).mean()
    assert -warm.fit(X, y).score_samples(X).mean() < first
    with pytest.raises(ValueError, match=r"goes on with the classes \[0 1 2\]"):
        warm.fit(X[y < 2], y[y < 2])


def test_partial_fit_makes_one_pass_over_the_classes_it_was_told(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = digits
    part = tiny()
    with pytest.raises(ValueError, match="first call of partial_fit names all classes="):
        part.partial_fit(X, y)
    part.partial_fit(X[y < 2], y[y < 2], classes=[0, 1, 2])
    before = -part.score_samples(X).mean()
    part.partial_fit(X, y)
    assert part.predict_proba(X).shape == (60, 3)
    assert -part.score_samples(X).mean() < before
    with pytest.raises(ValueError, match=r"y has \[5\], which are none of \[0 1 2\]"):
        part.partial_fit(X, np.full(60, 5))


@pytest.mark.usefixtures("untrained")
def test_it_starts_from_a_model_with_other_classes(
    fitted: PixelBayesClassifier, digits: tuple[np.ndarray, np.ndarray], tmp_path: Any
) -> None:
    X, y = digits
    fitted.model_.save(tmp_path / "source")
    for source in (fitted.model_, tmp_path / "source", str(tmp_path / "source")):
        tuned = tiny(features=99, init_from=source).fit(X, y + 2)  # whose settings replace 99
        assert isinstance(tuned.model_, Model)
        np.testing.assert_array_equal(tuned.classes_, [2, 3, 4])
        assert tuned.model_.network.config.features == 4
        # class 2 keeps its embedding, the new ones begin as the mean of all
        images = X.reshape(-1, 8, 8, 1).astype(np.uint8)
        theirs = fitted.model_.log_likelihood(images, "2")
        ours = tuned.model_.log_likelihood(images, "2")
        torch.testing.assert_close(ours, theirs)


def test_fits_in_threads_are_those_one_after_the_other(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = digits
    alone = tiny().fit(X, y).predict_log_proba(X)
    with ThreadPoolExecutor(2) as threads:
        several = threads.map(lambda _: tiny().fit(X, y).predict_log_proba(X), range(2))
        for one in several:
            np.testing.assert_array_equal(one, alone)


def test_an_interruption_ends_a_search_and_is_no_failed_fit(
    digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pixelbayes.training import RunStopped, engine

    def stopped(*_: Any, **__: Any) -> None:
        raise RunStopped("signal", 3)

    monkeypatch.setattr(engine, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(tiny(), *digits, cv=2)


def test_a_first_pass_that_fails_leaves_nothing_that_looks_fitted(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    classifier = tiny()
    with pytest.raises(ValueError, match="none of"):
        classifier.partial_fit(digits[0], [99] * 60, classes=range(3))
    with pytest.raises(NotFittedError):
        classifier.predict(digits[0])
