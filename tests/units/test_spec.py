import numpy as np
import pytest

from espnet_dsu.errors import DSUError
from espnet_dsu.units import UnitSpec
from espnet_dsu.units.spec import foreign_spec, unit_tag

SPEC = UnitSpec("mfcc_km100", (100,), 160, 16000, "abc")


def test_spec_round_trip_is_identity():
    assert UnitSpec.from_dict(SPEC.to_dict()) == SPEC


def test_tag_of_streams_names_their_vocabularies_once_if_they_are_one():
    assert unit_tag("hubert_base_6+12", (500, 500)) == "hubert_base_6+12_km500"
    assert unit_tag("mfcc", (100, 500)) == "mfcc_km100+500"


def test_tag_is_upstream_and_quantizer():
    assert unit_tag("wavlm_large_21", (2000,)) == "wavlm_large_21_km2000"


@pytest.mark.parametrize(
    "change",
    [{"vocab_sizes": 100}, {"vocab_sizes": []}, {"vocab_sizes": ["9"]}, {"extra": 1}],
)
def test_spec_from_unexpected_values_is_an_error_naming_the_file(change):
    with pytest.raises(DSUError, match="units.yaml"):
        UnitSpec.from_dict({**SPEC.to_dict(), **change}, "units.yaml")


def test_spec_from_nothing_is_an_error():
    with pytest.raises(DSUError, match="expected the keys"):
        UnitSpec.from_dict(None)


def test_check_units_zero_and_last_pass():
    SPEC.check_units(np.array([0, 99]), "a")


@pytest.mark.parametrize("unit", [100, -1])
def test_check_units_outside_is_an_error_naming_utterance_and_unit(unit):
    with pytest.raises(DSUError, match=f"utt1: unit {unit} is outside 0..99"):
        SPEC.check_units(np.array([3, unit]), "utt1")


def test_check_units_each_stream_has_its_own_vocabulary():
    spec = UnitSpec("x", (10, 20), 160, 16000, "abc")
    assert (spec.num_streams, spec.vocab_size) == (2, 20)
    spec.check_units(np.array([[9, 19]]), "utt1")
    spec.check_units(np.zeros((0, 2), int), "utt1")
    with pytest.raises(DSUError, match="utt1: unit 10 in stream 0 is outside 0..9"):
        spec.check_units(np.array([[0, 19], [10, 0]]), "utt1")
    assert UnitSpec.from_dict(spec.to_dict()) == spec


def test_require_one_stream_refuses_several_saying_what_for():
    SPEC.require_one_stream("pieces")
    with pytest.raises(DSUError, match="x has 2 unit streams, and pieces are made of"):
        UnitSpec("x", (10, 20), 160, 16000, "abc").require_one_stream("pieces")


def test_check_units_wrong_number_of_streams_is_an_error():
    with pytest.raises(DSUError, match="2 unit streams, expected 1"):
        SPEC.check_units(np.zeros((3, 2), int), "utt1")


def test_require_same_other_fingerprint_is_an_error_naming_both():
    other = UnitSpec("mfcc_km100", (100,), 160, 16000, "xyz")
    with pytest.raises(DSUError, match="xyz.*abc"):
        SPEC.require_same(other, "dump/units")


def test_foreign_spec_same_description_has_the_same_fingerprint():
    spec = foreign_spec("hubert_km500", 500, 320, 16000)
    assert spec == foreign_spec("hubert_km500", 500, 320, 16000)
    assert spec.num_streams == 1 and spec.fingerprint.startswith("foreign-")
    # As long as that of a bundle, which checkpoints hold at a fixed width.
    assert len(spec.fingerprint) == 16
    others = [
        foreign_spec("mhubert_km500", 500, 320, 16000),
        foreign_spec("hubert_km500", 501, 320, 16000),
        foreign_spec("hubert_km500", 500, 320, 16000, 2),
    ]
    assert len({spec.fingerprint, *(o.fingerprint for o in others)}) == 4
    assert others[-1].vocab_sizes == (500, 500)
    assert others[-1] == foreign_spec("hubert_km500", (500, 500), 320, 16000)
    assert foreign_spec("rvq_6+12", (5, 7), 320, 16000, 2).vocab_sizes == (5, 7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("a/b", 500, 320, 16000), "tag 'a/b'"),
        (("", 500, 320, 16000), "tag ''"),
        (("x", 1, 320, 16000), "vocab_size 1"),
        (("x", 500, 0, 16000), "frame_shift 0"),
        (("x", 500, 320, 16000, 0), "num_streams 0"),
        (("x", (500, 1), 320, 16000), "vocab_size 1"),
        (("x", (500, 20), 320, 16000, 3), "2 numbers of units for 3 streams"),
    ],
)
def test_foreign_spec_impossible_values_are_errors(values, message):
    with pytest.raises(DSUError, match=message):
        foreign_spec(*values)
