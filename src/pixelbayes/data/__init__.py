"""Data: files and archives become uint8 levels with labels, in splits that can be trusted.

`load_dataset` does it all; `image_batches` turns what a user has in hand (paths, arrays, images,
loaders) into batches for a model.
"""

from pixelbayes.data.errors import DatasetError, DatasetWarning
from pixelbayes.data.files import (
    ImageFileError,
    grid,
    read_image,
    read_images,
    write_png,
)
from pixelbayes.data.finding import IMAGE_SUFFIXES, BadFile, FoundImages, find_images
from pixelbayes.data.images import (
    SPLITS,
    UNLABELLED,
    ImageDataset,
    LabelledImages,
    data_remarks,
    describe,
)
from pixelbayes.data.inputs import (
    Conversions,
    ImageBatch,
    ImageInput,
    image_batches,
    image_levels,
)
from pixelbayes.data.records import SplitChanges, SplitRecord
from pixelbayes.data.sources import (
    SOURCES,
    LoadOptions,
    Source,
    load_dataset,
    open_source,
    same_source,
)
from pixelbayes.data.splits import (
    DEFAULT_FRACTIONS,
    HOLD_OUT_FRACTIONS,
    stratified_split,
    stratified_subset,
)
from pixelbayes.data.transforms import Augmentation, Resize, Windows

__all__ = [
    "DEFAULT_FRACTIONS",
    "HOLD_OUT_FRACTIONS",
    "IMAGE_SUFFIXES",
    "SOURCES",
    "SPLITS",
    "UNLABELLED",
    "Augmentation",
    "BadFile",
    "Conversions",
    "DatasetError",
    "DatasetWarning",
    "FoundImages",
    "ImageBatch",
    "ImageDataset",
    "ImageFileError",
    "ImageInput",
    "LabelledImages",
    "LoadOptions",
    "Resize",
    "Source",
    "SplitChanges",
    "SplitRecord",
    "Windows",
    "data_remarks",
    "describe",
    "find_images",
    "grid",
    "image_batches",
    "image_levels",
    "load_dataset",
    "open_source",
    "read_image",
    "read_images",
    "same_source",
    "stratified_split",
    "stratified_subset",
    "write_png",
]
