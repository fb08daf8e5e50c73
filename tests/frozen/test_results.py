"""The published numbers are those that were measured, however they are typeset."""

from __future__ import annotations

import pytest
from tests.frozen.record import RESULTS, golden, result_digest


@pytest.mark.parametrize("name", golden("results"))
def test_a_published_result_has_the_recorded_numbers(name):
    assert (RESULTS / name).is_file()
    assert result_digest(RESULTS / name) == golden("results")[name]
