import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.units import text_to_units, units_to_text
from espnet_dsu.units.text import MAX_UNITS


@given(st.lists(st.integers(0, MAX_UNITS - 1), max_size=50))
def test_text_round_trip_gives_units_back(units):
    assert text_to_units(units_to_text(units)).tolist() == units


def test_text_of_small_units_is_espnets():
    assert units_to_text([0, 1]) == "\u4e00\u4e01"


def test_text_vocabulary_enlarged_keeps_characters_and_loses_no_unit():
    # ESPnet's asr2 caches its map without K: enlarge K and units vanish silently.
    small, large = units_to_text(range(100)), units_to_text(range(30000))
    assert large.startswith(small)
    assert len(set(large)) == 30000


def test_text_unit_beyond_all_characters_is_an_error():
    with pytest.raises(DSUError, match="has no character"):
        units_to_text([MAX_UNITS])


def test_text_foreign_character_is_an_error():
    with pytest.raises(DSUError, match="U\\+0061"):
        text_to_units("a")


def test_text_empty_gives_no_units():
    assert text_to_units("").dtype == np.int32
