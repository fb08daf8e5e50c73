"""Switches of the process are as before when the last thread that needed them is done."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from pixelbayes import switches
from pixelbayes.switches import warnings_held_back


def shown(*texts: str) -> list[str]:
    """Which of the texts a user would see."""
    with warnings.catch_warnings(record=True) as caught:
        for text in texts:
            warnings.warn(text, UserWarning, stacklevel=1)
    return [str(one.message) for one in caught]


def test_only_the_named_warnings_are_held_back_and_only_inside() -> None:
    warnings.simplefilter("always")
    with warnings_held_back("Glyph .* missing", category=UserWarning):
        assert shown("Glyph 5 missing", "labels are missing") == ["labels are missing"]
    assert shown("Glyph 5 missing") == ["Glyph 5 missing"]


def test_filters_are_as_before_whichever_thread_leaves_first() -> None:
    before = list(warnings.filters)
    first, second = warnings_held_back("a"), warnings_held_back("b")
    first.__enter__()
    second.__enter__()
    warnings.filterwarnings("ignore", "from another thread")
    theirs = warnings.filters[0]
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert list(warnings.filters) == [theirs, *before]


def test_a_filter_of_the_user_that_is_the_same_stays() -> None:
    warnings.filterwarnings("ignore", "a", UserWarning)
    before = list(warnings.filters)
    with warnings_held_back("a", category=UserWarning):
        pass
    assert list(warnings.filters) == before


def test_an_error_inside_puts_the_filters_back() -> None:
    before = list(warnings.filters)
    with pytest.raises(KeyError), warnings_held_back("a"):
        raise KeyError
    assert list(warnings.filters) == before


def test_no_warning_of_another_thread_is_lost_meanwhile() -> None:
    warnings.simplefilter("always")
    before, end = list(warnings.filters), threading.Event()

    def hold_back(text: str) -> None:
        while not end.is_set():
            with warnings_held_back(text):
                pass

    with ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(hold_back, text) for text in ("a", "b")]
        try:
            texts = [f"lost {number}" for number in range(500)]
            assert shown(*texts) == texts
        finally:
            end.set()
        assert all(one.result() is None for one in busy)
    assert list(warnings.filters) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_trains_though_a_thread_of_its_parent_was_at_it() -> None:
    entered, done = threading.Event(), threading.Event()

    def train() -> None:
        with switches.training_alone():
            entered.set()
            done.wait(60)

    thread = threading.Thread(target=train)
    thread.start()
    entered.wait(60)
    child = os.fork()
    if not child:
        signal.alarm(20)
        with switches.training_alone():
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0
