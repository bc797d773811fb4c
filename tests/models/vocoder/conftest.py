import pytest

from espnet_dsu import UnitTokenizer
from tests.speech import voice


@pytest.fixture(scope="session")
def tokenizers():
    wavs = [voice(1.5, i, 8000) for i in range(2)]
    conf = {"sample_rate": 8000, "frame_shift": 20}
    made = {
        name: UnitTokenizer.train(wavs, 8000, nclusters=k, upstream_conf=conf)
        for name, k in {"one": 9, "three": (5, 7, 9)}.items()
    }
    return made
