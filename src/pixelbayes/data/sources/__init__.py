"""Where images come from: a data source is a class, and all of them load the same way."""

from pixelbayes.data.sources.archives import NpzSource
from pixelbayes.data.sources.base import NEAR_DUPLICATES, LoadOptions, Source
from pixelbayes.data.sources.builtin import Cifar10Source, Cpen455Source, DigitsSource
from pixelbayes.data.sources.downloads import tree_digest
from pixelbayes.data.sources.entries import (
    UNSPLIT,
    ArrayEntries,
    Entries,
    FileEntries,
    Listing,
)
from pixelbayes.data.sources.folders import FolderSource
from pixelbayes.data.sources.opening import SOURCES, load_dataset, open_source, same_source
from pixelbayes.data.sources.tables import CsvSource

__all__ = [
    "NEAR_DUPLICATES",
    "SOURCES",
    "UNSPLIT",
    "ArrayEntries",
    "Cifar10Source",
    "Cpen455Source",
    "CsvSource",
    "DigitsSource",
    "Entries",
    "FileEntries",
    "FolderSource",
    "Listing",
    "LoadOptions",
    "NpzSource",
    "Source",
    "load_dataset",
    "open_source",
    "same_source",
    "tree_digest",
]
