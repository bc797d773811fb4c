"""What LibriSpeech (https://www.openslr.org/12) consists of: its parts, and sets."""

from __future__ import annotations

from archive_parts import Part

FOLDER = "LibriSpeech"  # of the corpus, in its archives
VARIABLE = "LIBRISPEECH"  # of db.sh
PARTS = {
    "train-clean-100": Part(
        28539,
        6.4,
        "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
    ),
    "train-clean-360": Part(
        104014,
        23.0,
        "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
    ),
    "train-other-500": Part(
        148688,
        30.6,
        "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2",
    ),
    "dev-clean": Part(
        2703,
        0.34,
        "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
    ),
    "dev-other": Part(
        2864,
        0.31,
        "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365",
    ),
    "test-clean": Part(
        2620,
        0.35,
        "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
    ),
    "test-other": Part(
        2939,
        0.33,
        "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29",
    ),
}

# Set -> its parts; names are those of ESPnet's recipes.
TRAIN_SETS = {
    "train_clean_100": ("train-clean-100",),
    "train_960": ("train-clean-100", "train-clean-360", "train-other-500"),
}
EVALUATION_SETS = {
    "dev": ("dev-clean", "dev-other"),
    "dev_clean": ("dev-clean",),
    "dev_other": ("dev-other",),
    "test_clean": ("test-clean",),
    "test_other": ("test-other",),
}

# The published text of language models (https://www.openslr.org/11), a sentence a line.
LM_TEXT = "librispeech-lm-norm.txt.gz"
