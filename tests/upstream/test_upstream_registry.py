"""Names, the registry, and what importing the package costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream import (
    Upstream,
    UpstreamName,
    build_upstream,
    parse_upstream_name,
    register_upstream,
    registry,
)

CHECKPOINTS = st.text(
    st.characters(codec="ascii", categories=["L", "N"], include_characters="/._-@"),
    min_size=1,
)


@given(
    family=st.sampled_from(["hf", "torchaudio"]),
    checkpoint=CHECKPOINTS,
    layers=st.sets(st.integers(0, 100), min_size=1, max_size=4),
)
def test_parse_of_a_layered_name_is_undone_by_str(family, checkpoint, layers):
    name = UpstreamName(family, checkpoint, tuple(sorted(layers)))
    assert parse_upstream_name(str(name)) == name


@pytest.mark.parametrize(
    "text, name",
    [
        ("mfcc", UpstreamName("mfcc")),
        (
            "hf:facebook/hubert-base-ls960@6",
            UpstreamName("hf", "facebook/hubert-base-ls960", (6,)),
        ),
        ("hf:/data/a@b/m@0", UpstreamName("hf", "/data/a@b/m", (0,))),
        ("hf:a+b/c@6+12+0@2+21", UpstreamName("hf", "a+b/c@6+12+0", (2, 21))),
        ("torchaudio:WAVLM_LARGE@21", UpstreamName("torchaudio", "WAVLM_LARGE", (21,))),
    ],
)
def test_parse_of_documented_forms_gives_their_parts(text, name):
    assert parse_upstream_name(text) == name
    assert str(name) == text


@pytest.mark.parametrize(
    "text, message",
    [
        ("hubert@6", "unknown upstream family 'hubert'.*hf, mfcc, torchaudio"),
        ("", "unknown upstream family ''"),
        ("hf:facebook/hubert-base-ls960", "names no layer"),
        ("hf", "names no checkpoint"),
        ("hf@6", "names no checkpoint"),
        ("hf:@6", "names no checkpoint"),
        ("hf:a/b@six", "layer 'six' is not a whole number"),
        ("hf:a/b@", "layer '' is not a whole number"),
        ("hf:a/b@-1", "layer '-1' is not a whole number"),
        ("hf:a/b@06", "layer '06' is not a whole number"),
        ("hf:a/b@6+", r"layer '' is not a whole number; .*'hf:a/b@6\+12'"),
        ("hf:a/b@6,12", "layer '6,12' is not a whole number"),
        ("hf:a/b@12+6", r"layers 12\+6 do not rise; write '@6\+12'"),
        ("hf:a/b@6+6", r"layers 6\+6 do not rise; write '@6'"),
        ("mfcc@3+4", "mfcc has no layers"),
        ("mfcc@3", "mfcc has no layers"),
        ("mfcc:x@3", "mfcc has no layers"),
    ],
)
def test_parse_of_a_wrong_name_says_what_is_wrong(text, message):
    with pytest.raises(DSUError, match=message):
        parse_upstream_name(text)


def _constant_upstream(family: str) -> type[Upstream]:
    class Constant(Upstream):
        layered = False
        conf_keys = ("dim",)

        def __init__(self, dim: int = 2):
            super().__init__()
            self.name = UpstreamName(family)
            self.sample_rate, self.frame_shift, self.dim = 16000, 4, dim

        @classmethod
        def build(cls, name, conf):
            return cls(**conf)

        def num_frames(self, num_samples):
            return num_samples // 4

        def config(self):
            return {"name": family, "conf": {"dim": self.dim}}

        def identity(self):
            return {"family": family, "dim": self.dim}

        def save_weights(self, directory):
            pass

        @classmethod
        def tag_of(cls, name, conf):
            return str(name)

        def _frames(self, wav, lengths, counts, statistics, layers):
            return [wav.new_ones(len(wav), int(counts.max()), self.dim)]

    Constant.family = family
    return Constant


@pytest.fixture
def clean_registry(monkeypatch):
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))


def test_registered_family_is_built_by_name(clean_registry):
    cls = register_upstream(_constant_upstream("constant"))
    upstream = build_upstream("constant", {"dim": 3})
    assert isinstance(upstream, cls)
    frames, counts = upstream.frames(torch.zeros(2, 9), torch.tensor([9, 3]))
    assert frames.shape == (2, 2, 3) and counts.tolist() == [2, 0]
    assert frames[0].eq(1).all() and frames[1].eq(0).all()


def test_registering_the_same_class_again_changes_nothing(clean_registry):
    cls = register_upstream(_constant_upstream("constant"))
    assert register_upstream(cls) is cls


@pytest.mark.parametrize("family", ["mfcc", "hf"])
def test_registering_a_taken_family_is_refused_quoting_both(clean_registry, family):
    registry._classes.pop(family, None)  # taken even before it was first used
    cls = _constant_upstream(family)
    with pytest.raises(DSUError) as error:
        register_upstream(cls)
    assert registry._MODULES[family] in str(error.value)
    assert cls.__qualname__ in str(error.value)


def test_registering_two_classes_of_one_family_is_refused(clean_registry):
    register_upstream(_constant_upstream("constant"))
    other = _constant_upstream("constant")
    other.__qualname__ = "Other"
    with pytest.raises(DSUError, match=r"'constant' is .*Constant; .*Other cannot"):
        register_upstream(other)


def test_build_with_an_unknown_option_lists_the_known():
    with pytest.raises(DSUError, match="unknown option cmn; known: sample_rate, cmvn"):
        build_upstream("mfcc", {"cmn": "utterance"})


@pytest.mark.parametrize(
    "wav, lengths, message",
    [
        (torch.zeros(8000), torch.tensor([8000]), "waveforms of shape"),
        (torch.zeros(0, 8000), torch.zeros(0).long(), "B > 0"),
        (torch.zeros(1, 8000).long(), torch.tensor([8000]), "floating-point"),
        (torch.zeros(2, 8000), torch.tensor([8000]), "for each of 2 utterances"),
        (torch.zeros(1, 8000), torch.tensor([8000.0]), "lengths of shape"),
        (torch.zeros(1, 8000), torch.tensor([8001]), "the width of the batch"),
        (torch.zeros(1, 8000), torch.tensor([-1]), "expected 0 to 8000"),
    ],
)
def test_frames_of_a_malformed_batch_says_what_is_wrong(wav, lengths, message):
    with pytest.raises(DSUError, match=message):
        build_upstream("mfcc").frames(wav, lengths)


def test_importing_the_package_loads_no_model_library():
    package = Path(registry.__file__).parent
    script = (
        "import sys, types\n"
        "top = types.ModuleType('espnet_dsu'); "
        f"top.__path__ = [{str(package.parent)!r}]\n"
        "sys.modules['espnet_dsu'] = top\n"
        "from espnet_dsu.upstream import parse_upstream_name as parse\n"
        "parse('hf:a/b@1'), parse('torchaudio:X@1'), parse('mfcc')\n"
        "print([m for m in ('transformers', 'torchaudio') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_parse_s3prl_says_why_not_and_what_instead():
    with pytest.raises(DSUError, match="s3prl.*torchaudio>=2.9.*families hf"):
        parse_upstream_name("s3prl:hubert@6")
