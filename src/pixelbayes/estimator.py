"""`PixelBayesClassifier`: train on arrays and use the result as any estimator of scikit-learn.

X holds images, flat or not; y their classes.  Training is that of `pixelbayes train`, in a folder
that is gone afterwards, so it needs the extra `training`.

Shapes: n images, H x W pixels, C channels (1: grey, 3: RGB).  Levels are whole numbers 0..255.
Units:  nats per image.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data
from torch import Tensor

from pixelbayes.core.device import present_device
from pixelbayes.data import LabelledImages, Resize, stratified_split
from pixelbayes.data.arrays import ArrayForm, whole_levels
from pixelbayes.data.naming import whole_number
from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.temperature import MIN_IMAGES, decide_temperature
from pixelbayes.inference.classification import uniform_log_prior
from pixelbayes.models import Metadata, Model, PixelBayes, load_model
from pixelbayes.models.hub import load
from pixelbayes.switches import training_alone, undisturbed
from pixelbayes.training import OptimConfig, TrainingConfig
from pixelbayes.workflows import NetworkConfig, RunConfig
from pixelbayes.workflows.train import first_network

__all__ = ["PixelBayesClassifier"]

Array = npt.NDArray[Any]

WHITE = 255
LARGEST_SEED = 2**31 - 1
ACCELERATORS = {"auto": "auto", "cpu": "cpu", "cuda": "gpu"}
"""What Lightning calls a device."""
OWN_NETWORK = ("classes", "image_size", "channels")  # of a configuration: what the data decide
_OWN_NAMES = {"lr": "learning_rate", "patience": "n_iter_no_change"}
"""Parameters that `pixelbayes train` calls otherwise."""


class PixelBayesClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A class-conditional PixelCNN++ that classifies images by Bayes' rule, and draws them.

    The defaults suit small grey images, such as the digits of scikit-learn, on two cores (97.6 %
    of 450 of them, trained on the others);
    photographs want more features and epochs, or `init_from`.

    Args:
        fusion: Where the label enters the network, one of `pixelbayes.core.FUSIONS`.
        features: Channels of the network.
        blocks_per_stage: Gated blocks between two changes of resolution.
        mixtures: Logistic components per pixel.
        embedding: Size of the label embedding.
        dropout: Probability of dropping a feature while training.
        objective: "likelihood", or "hybrid": with the cross-entropy of Bayes' rule added.
        epochs: Passes over the training images, at most.
        batch_size: Images per step.
        learning_rate: Of Adam; it falls to zero along a cosine.
        validation_fraction: Share of the images that is held out, class by class, to choose the
            best epoch and to fit the temperature; 0, or fewer than two images of a class: none.
        n_iter_no_change: Stops after so many epochs without a lower validation loss; None: never.
        image_shape: (H, W) or (H, W, C) of the images of a flat X; None: square, and grey or RGB
            by what fits.
        max_level: What counts as white; levels are stretched such that it becomes 255, one to one.
            None: 255 for X of uint8, else the smallest power of two that no level of X exceeds
            (16 for the digits of scikit-learn), or 255.
        init_from: A model to start from (name of a shipped model, folder, or a `PixelBayes`); its
            settings of the network replace those above, its classes may be others.
        warm_start: `fit` goes on from the weights of the last one.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".
        random_state: Seed of first weights, order of images and dropout; fits in several threads
            wait for each other, so that each is what it is alone.
        verbose: Shows progress on stderr.

    Attributes:
        classes_: The classes, sorted; columns of probabilities follow them.
        model_: The trained `PixelBayes`, for its further verbs and for `save`.
        max_level_: The level that counts as white.
        form_: How X held images: (H, W, C) and the order of the axes.
        n_features_in_: H W C.
        n_iter_: Epochs done.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> tiny = PixelBayesClassifier(features=4, mixtures=1, epochs=1, random_state=0)
    >>> tiny.fit(X[:100], y[:100]).predict_proba(X[:2]).shape
    (2, 10)
    """

    def __init__(
        self,
        *,
        fusion: str = "gated",
        features: int = 16,
        blocks_per_stage: int = 1,
        mixtures: int = 3,
        embedding: int = 16,
        dropout: float = 0.2,
        objective: str = "likelihood",
        epochs: int = 16,
        batch_size: int = 32,
        learning_rate: float = 0.003,
        validation_fraction: float = 0.1,
        n_iter_no_change: int | None = None,
        image_shape: tuple[int, ...] | None = None,
        max_level: int | None = None,
        init_from: str | os.PathLike[str] | PixelBayes | None = None,
        warm_start: bool = False,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.fusion = fusion
        self.features = features
        self.blocks_per_stage = blocks_per_stage
        self.mixtures = mixtures
        self.embedding = embedding
        self.dropout = dropout
        self.objective = objective
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.image_shape = image_shape
        self.max_level = max_level
        self.init_from = init_from
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @undisturbed()
    def fit(self, X: Any, y: Any, **unsupported: Any) -> PixelBayesClassifier:
        """Trains on images and their classes.

        Args:
            X: Whole levels 0..255 of any numeric type: (n, H W C), (n, H, W), (n, H, W, C) or
                (n, C, H, W).
            y: (n,), classes of any type that scikit-learn takes.
            unsupported: Nothing; `sample_weight` is refused with what to do.

        Raises:
            TypeError: If levels are not whole numbers, or weights are given.
            ValueError: If X, y or a hyperparameter is not accepted.
        """
        if unsupported:
            raise TypeError(
                f"fit takes X and y, got {', '.join(unsupported)} as well; images have no weights: "
                "repeat those that are to count more"
            )
        with self._kept_if_it_fails(), training_alone():
            levels, y = self._images(X, y, reset=True)
            classes, labels = np.unique(y, return_inverse=True)
            source = self._source(classes)
            seed = self._seed()
            self.classes_ = classes
            images = _labelled(levels, labels)
            train, validation = self._held_out(images, seed)
            self._train(train, validation, seed=seed, source=source, epochs=_plain(self.epochs))
        return self

    @contextmanager
    def _kept_if_it_fails(self) -> Iterator[None]:
        """What was learned before stays whole, and not half of it, where training fails."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    @undisturbed()
    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> PixelBayesClassifier:
        """Makes one pass over these images from where training stands.

        The optimiser starts anew with each call, and no image is held out, so the temperature
        stays as it is.

        Args:
            X: As for `fit`.
            y: As for `fit`.
            classes: All classes there will be; needed in the first call.

        Raises:
            ValueError: If the first call does not name the classes, or y has others.
        """
        with self._kept_if_it_fails(), training_alone():
            first = not hasattr(self, "model_")
            if first and classes is None:
                raise PixelBayesError("the first call of partial_fit names all classes=")
            levels, y = self._images(X, y, reset=first)
            if first:
                self.classes_ = np.unique(classes)
            elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                raise PixelBayesError(f"classes are {self.classes_}, got {np.unique(classes)}")
            labels = _indices(y, self.classes_)
            if labels.min() < 0:
                unknown = np.unique(y[labels < 0])
                raise PixelBayesError(f"y has {unknown}, which are none of {self.classes_}")
            images = _labelled(levels, labels)
            source = self._source(self.classes_) if first else self.model_
            self._train(images, images, seed=self._seed(), source=source, epochs=1)
        return self

    def predict(self, X: Any) -> Array:
        """The most probable class of each image, (n,)."""
        best = self.predict_log_proba(X).argmax(axis=1)
        classes: Array = self.classes_[best]
        return classes

    @undisturbed()
    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """log p(y | x), (n, K)."""
        levels = self._levels(X)
        return self.model_.predict_log_proba(levels).numpy()

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """p(y | x), (n, K)."""
        return np.exp(self.predict_log_proba(X))

    @undisturbed()
    def score_samples(self, X: Any) -> npt.NDArray[np.float64]:
        """log p(x) in nats, (n,): how much an image is like those of the training."""
        levels = self._levels(X)
        return self.model_.score_samples(levels).numpy()

    @undisturbed()
    def sample(
        self,
        n_samples: int = 1,
        y: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> tuple[Array, Array]:
        """Draws images.

        Args:
            n_samples: How many.
            y: Their class, or the class of each; None: drawn, all alike probable.
            random_state: Seed of classes and images.

        Returns:
            X, uint8, in the form that X had in `fit`, and y.

        Raises:
            ValueError: If there is no such class, or not one for each image.
        """
        check_is_fitted(self)
        random = check_random_state(random_state)
        n_samples = whole_number(n_samples, "n_samples is a number of images above 0", least=1)
        if y is None:
            labels = random.randint(len(self.classes_), size=n_samples)
        else:
            try:
                given = np.asarray(y)
            except ValueError:  # lists of different lengths
                given = np.empty(0)
            given = np.broadcast_to(given, n_samples) if given.ndim == 0 else given
            labels = _indices(given, self.classes_)
            if given.shape != (n_samples,) or labels.min() < 0:
                raise PixelBayesError(
                    f"y is one class of {self.classes_}, or one for each of {n_samples} images; "
                    f"got {y!r}"
                )
        drawn = self.model_.sample(
            torch.from_numpy(labels), generator=random.randint(LARGEST_SEED), output_type="levels"
        )
        flat = drawn.permute(0, 2, 3, 1).flatten(1).numpy()
        shrunk = np.rint(flat * (self.max_level_ / WHITE)).astype(np.uint8)
        return self.form_.unflat(shrunk), self.classes_[labels]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.positive_only = True
        return tags

    def _train(
        self,
        train: LabelledImages,
        validation: LabelledImages,
        *,
        seed: int,
        source: Model | None,
        epochs: int,
    ) -> None:
        """Trains the network, from a source's weights where there is one, and keeps the best."""
        from pixelbayes.training.engine import fit
        from pixelbayes.training.errors import interrupted_by_signals
        from pixelbayes.training.task import TrainingTask

        names = tuple(str(name) for name in self.classes_)
        height, width, _ = self.form_.shape
        resize = Resize((height, width))
        config = self._config(epochs, seed, source)
        network = first_network(config, train, len(names), resize.size)
        prior = tuple(uniform_log_prior(len(names)).tolist())
        about = Metadata(classes=names, resize=asdict(resize), log_prior=prior)
        if source is not None:
            PixelBayes.take_over(network, names, source)  # type: ignore[arg-type]
        start = PixelBayes(network, about)  # type: ignore[arg-type]
        task = TrainingTask(start, config.optim, config.training, images=len(train), seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            with interrupted_by_signals():  # which a search must not take for a failed fit
                outcome = fit(
                    task, train, validation, folder=Path(folder), progress=bool(self.verbose)
                )
            model = load_model(folder)
        assert isinstance(model, PixelBayes)
        if source is not None and source.classes == names:
            model = model.with_temperature(source.temperature)
        if validation is not train and len(validation) >= MIN_IMAGES:
            table = model.log_likelihoods(validation.levels)
            decision = decide_temperature(table, model.log_prior, validation.labels)
            model = model.with_temperature(decision.temperature)
        on_gpu = self.device != "cpu" and torch.cuda.is_available()
        self.model_ = model.to("cuda") if on_gpu else model
        self.n_iter_ = outcome.epochs

    def _config(self, epochs: int, seed: int, source: Model | None) -> RunConfig:
        """What is trained, as `pixelbayes train` would be told.

        Raises:
            PixelBayesError: If a value is not accepted, by the name that it has here.
        """
        try:
            return self._as_run(epochs, seed, source)
        except PixelBayesError as error:
            said = re.sub(
                r"--([a-z-]+)",
                lambda flag: _OWN_NAMES.get(flag[1], flag[1].replace("-", "_")),
                str(error),
            )
            raise PixelBayesError(said) from error

    def _as_run(self, epochs: int, seed: int, source: Model | None) -> RunConfig:
        given = {name: _plain(value) for name, value in self.get_params(deep=False).items()}
        if not isinstance(self.device, str) or self.device not in ACCELERATORS:
            raise PixelBayesError(f"device is {', '.join(ACCELERATORS)}; got {self.device!r}")
        if self.device == "cuda":
            present_device("cuda")
        network = NetworkConfig(
            fusion=given["fusion"],
            features=given["features"],
            blocks_per_stage=given["blocks_per_stage"],
            mixtures=given["mixtures"],
            embedding=given["embedding"],
            dropout=given["dropout"],
        )
        if isinstance(source, PixelBayes):
            theirs = asdict(source.network.config)
            ours = {name: value for name, value in theirs.items() if name not in OWN_NETWORK}
            network = NetworkConfig(**{**ours, "dropout": given["dropout"]})
        return RunConfig(
            network=network,
            optim=OptimConfig(
                lr=given["learning_rate"], schedule="constant" if epochs == 1 else "cosine"
            ),
            training=TrainingConfig(
                batch_size=given["batch_size"],
                epochs=epochs,
                patience=given["n_iter_no_change"],
                accelerator=ACCELERATORS[self.device],
                accuracy_images=0,
                accuracy_every=epochs,
                objective=given["objective"],
            ),
            seed=seed,
        )

    def _source(self, classes: Array) -> Model | None:
        """The model to start from."""
        if self.warm_start and hasattr(self, "model_"):
            if not np.array_equal(classes, self.classes_):
                raise PixelBayesError(
                    f"warm_start goes on with the classes {self.classes_}, got {classes}; set "
                    "init_from=estimator.model_ to start from it with others"
                )
            return self.model_
        if self.init_from is None or isinstance(self.init_from, Model):
            return self.init_from
        path = self.init_from
        if not isinstance(path, (str, os.PathLike)):
            raise PixelBayesError(
                f"init_from is a model, its folder or the name of a shipped one, got {path!r}"
            )
        return load(path if isinstance(path, str) else Path(path))

    def _held_out(self, images: LabelledImages, seed: int) -> tuple[LabelledImages, LabelledImages]:
        """Training and validation images, the same ones where none can be held out."""
        share = self.validation_fraction
        if not _is_number(share) or not 0 <= share < 1:
            raise PixelBayesError(f"validation_fraction is at least 0 and below 1, got {share!r}")
        if share == 0 or int(torch.bincount(images.labels).min()) < 2:
            return images, images
        parts = stratified_split(
            images.labels, {"train": 1 - share, "validation": share}, seed=seed
        )
        return images.select(parts["train"]), images.select(parts["validation"])

    def _images(self, X: Any, y: Any, *, reset: bool) -> tuple[Tensor, Array]:
        """Levels, uint8 (n, C, H, W), and targets, (n,); sets what X looks like with `reset`."""
        form = self._form(X, reset=reset)
        X, y = validate_data(self, _flat(form, X), y, reset=reset)
        check_non_negative(X, type(self).__name__)
        check_classification_targets(y)
        if reset:
            self.form_ = ArrayForm.of(X.shape, self.image_shape) if form is None else form
            self.max_level_ = _white(X, self.max_level)
        return self._as_levels(X), y

    def _levels(self, X: Any) -> Tensor:
        """Levels of images to classify, uint8 (n, C, H, W)."""
        check_is_fitted(self)
        form = self._form(X, reset=False)
        return self._as_levels(validate_data(self, _flat(form, X), reset=False))

    def _form(self, X: Any, *, reset: bool) -> ArrayForm | None:
        """How X holds images; None where it is flat, which scikit-learn checks first."""
        axes = np.ndim(X) if isinstance(X, (list, tuple)) else getattr(X, "ndim", 2)
        if axes not in (3, 4):
            return None
        form = ArrayForm.of(np.shape(X))
        if not reset and form.shape != self.form_.shape:
            raise PixelBayesError(
                f"X has images of {form.shape} (H, W, C), those of fit were {self.form_.shape}"
            )
        return form

    def _as_levels(self, X: Array) -> Tensor:
        if X.dtype != np.uint8:
            X = whole_levels(X, tensor=False, accepted=True)
        if X.size and X.max() > self.max_level_:
            raise PixelBayesError(
                f"X has levels up to {X.max()}, and {self.max_level_} counts as white; "
                "set max_level="
            )
        stretched = np.rint(X * (WHITE / self.max_level_)).astype(np.uint8)
        pixels = torch.from_numpy(stretched.reshape(len(X), *self.form_.shape))
        return pixels.permute(0, 3, 1, 2).contiguous()

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(LARGEST_SEED))


def _flat(form: ArrayForm | None, X: Any) -> Any:
    return X if form is None else form.flat(np.asarray(X))


def _plain(value: Any) -> Any:
    """A number of NumPy, such as a search of parameters draws, as one of Python."""
    return value.item() if isinstance(value, np.generic) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_))


def _indices(y: Array, classes: Array) -> npt.NDArray[np.int64]:
    """Index of each class, -1 for what is none: a text is no number, and a number no truth value.

    NumPy would compare numbers and texts as texts, by whose order 10 comes before 2.
    """

    def key(value: Any) -> tuple[bool, Any]:
        return isinstance(value, (bool, np.bool_)), value

    index = {key(value): number for number, value in enumerate(classes.tolist())}
    try:
        found = [index.get(key(value), -1) for value in y.ravel().tolist()]
    except TypeError:  # something that has no hash, and so is no class
        found = [-1]
    return np.array(found or [-1], dtype=np.int64)


def _white(X: Array, max_level: Any) -> int:
    """See `max_level` of `PixelBayesClassifier`.

    Raises:
        ValueError: If it is given and no level above 0.
    """
    if max_level is not None:
        if not _is_number(max_level) or max_level not in range(1, WHITE + 1):
            raise PixelBayesError(f"max_level is a whole level, 1 to {WHITE}, got {max_level!r}")
        return int(max_level)
    highest = X.max()
    powers = (2**exponent for exponent in range(8) if X.dtype != np.uint8)
    return next((power for power in powers if highest <= power), WHITE)


def _labelled(levels: Tensor, labels: Array) -> LabelledImages:
    names = tuple(map(str, range(len(levels))))
    return LabelledImages(levels, torch.from_numpy(labels.astype(np.int64)), names)
