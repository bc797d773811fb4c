import pytest

from espnet_dsu import DSUError
from espnet_dsu.quantizer.memory import frames_that_fit, parse_memory, sample_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2 * 2**30),
        ("1.5 GB", 1_500_000_000),
        (" 800mib ", 800 * 2**20),
        (".5TiB", 2**39),
        ("64KB", 64_000),
    ],
)
def test_memory_with_a_unit_is_bytes(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text", ["", "2", "2G", "GiB", "-1GiB", "0GiB", "1e3GB", "2 B"]
)
def test_memory_without_number_or_unit_is_one_clear_error(text):
    with pytest.raises(DSUError, match="expected a number with a unit"):
        parse_memory(text)


def test_default_memory_holds_half_a_million_frames_of_a_base_model():
    number = frames_that_fit("2GiB", 768, 2000)
    # 117 MiB is what k-means needs beside them, measured.
    assert 524_288 <= number and 4 * 768 * number + 117 * 2**20 < 2 * 2**30


def test_more_memory_or_fewer_units_are_more_frames():
    assert frames_that_fit("3GiB", 768, 500) > frames_that_fit("2GiB", 768, 500)
    assert frames_that_fit("2GiB", 768, 500) > frames_that_fit("2GiB", 768, 2000)


def test_too_little_memory_names_what_is_enough():
    with pytest.raises(DSUError, match="give (.*)MiB or more") as error:
        frames_that_fit("100MiB", 768, 2000)
    enough = str(error.value).split("give ")[1].split(" ")[0]
    assert frames_that_fit(enough, 768, 2000) >= 2000


def test_the_smaller_of_two_bounds_counts_and_is_named():
    assert sample_size(1000, "2GiB", 39, 100) == (1000, "max_frames 1000")
    size, bound = sample_size(10**9, "1GiB", 39, 100)
    assert size == frames_that_fit("1GiB", 39, 100) and bound == "max_memory 1GiB"
    with pytest.raises(DSUError, match="max_frames is 0"):
        sample_size(0, "1GiB", 39, 100)
