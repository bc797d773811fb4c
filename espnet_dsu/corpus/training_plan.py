"""What a training makes of a corpus: which bundles, from which frames."""

from __future__ import annotations

import itertools
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from espnet_dsu.corpus.plan import Shard, Utterance, inspect
from espnet_dsu.corpus.sampling import num_frames
from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer import build_quantizer
from espnet_dsu.quantizer.frame_sample import is_drawn
from espnet_dsu.quantizer.memory import DEFAULT_MAX_FRAMES, DEFAULT_MAX_MEMORY
from espnet_dsu.scp import read_scp
from espnet_dsu.tokenizer import plan_tag
from espnet_dsu.training_streams import NumClusters, Stream, plan_streams
from espnet_dsu.upstream import build_upstream


@dataclass(frozen=True)
class Training:
    """What decides the tokenizers.

    Attributes:
        upstream: ``family:checkpoint@layer``; without the layer if there are
            ``layers``; ``@6+12`` for a stream of each.
        layers: of the upstream; a tokenizer for each K of each.
        nclusters: K, the numbers of units; several numbers in place of one are those of
            the streams of one tokenizer.
        upstream_conf: options of the upstream family.
        quantizer: its name.
        quantizer_conf: its further options.
        seed: of the sample of frames and of the quantizer.
        portion: share of the utterances to use, drawn at random.
        max_frames: frames to train on at most.
        max_memory: of frames and quantizer, as in ``2GiB``; bounds the frames as well.
        dtype: that the upstream computes in; half precision is for GPUs.
        embed_upstream: whether the upstream's weights go into the bundles.
    """

    upstream: str = "mfcc"
    layers: tuple[int, ...] = ()
    nclusters: tuple[NumClusters, ...] = (500,)
    upstream_conf: Mapping[str, Any] = field(default_factory=dict)
    quantizer: str = "kmeans"
    quantizer_conf: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    portion: float = 1.0
    max_frames: int = DEFAULT_MAX_FRAMES
    max_memory: str = DEFAULT_MAX_MEMORY
    dtype: str = "float32"
    embed_upstream: bool = False

    @property
    def upstreams(self) -> list[str]:
        """Names of the upstream, one for each layer, the highest last."""
        if not self.layers:
            return [self.upstream]
        if named := re.search(r"@[\d+]+$", self.upstream):
            raise DSUError(
                f"upstream {self.upstream!r} names a layer, and so do layers "
                f"{','.join(map(str, self.layers))}; drop the {named[0]!r}"
            )
        return [f"{self.upstream}@{layer}" for layer in sorted(set(self.layers))]

    @property
    def combinations(self) -> list[tuple[str, NumClusters]]:
        """Each name of the upstream with each different K."""
        return list(itertools.product(self.upstreams, dict.fromkeys(self.nclusters)))

    def tags(self) -> list[str]:
        """Return the tags of the combinations' bundles, without loading weights."""
        conf = dict(self.upstream_conf)
        return [plan_tag(name, conf, k) for name, k in self.combinations]


@dataclass(frozen=True)
class Target:
    """One bundle to make.

    Attributes:
        path: where it goes.
        upstream: ``family:checkpoint@layer``.
        identity: what determines its frames.
        streams: to train.
    """

    path: Path
    upstream: str
    identity: Mapping[str, Any]
    streams: tuple[Stream, ...]

    def state(self, training: Training, utterances: Sequence[Utterance]) -> str:
        """Hash all that decides the bundle: audio, upstream and options."""
        facts = asdict(training)
        # These are there in what they mean for this one bundle.
        for name in ("upstream", "layers", "nclusters", "max_frames", "max_memory"):
            del facts[name]
        sizes = [(stream.nclusters, stream.num_frames) for stream in self.streams]
        facts |= {"upstream": self.identity, "streams": sizes}
        text = json.dumps(facts, sort_keys=True)
        return Shard(0, tuple(utterances)).state(text)


def draw_utterances(wav_scp: str | Path, training: Training) -> list[Utterance]:
    """Plan the portion of a corpus that the seed draws.

    Raises:
        DSUError: a bad portion, or one that draws nothing.
    """
    entries, portion = read_scp(wav_scp), training.portion
    drawn = {n: s for n, s in entries.items() if is_drawn(training.seed, n, portion)}
    if not drawn:
        raise DSUError(
            f"portion {portion} draws none of {len(entries)} utterances of {wav_scp}; "
            "give a larger one, or another seed"
        )
    if portion < 1:
        logging.info(f"portion {portion} draws {len(drawn)} of {len(entries)} utt")
    return inspect(drawn)


def plan_training(
    training: Training, utterances: Sequence[Utterance], output_dir: Path
) -> tuple[list[Target], dict[Utterance, int]]:
    """Say what to make, and how many frames each utterance has.

    Raises:
        DSUError: for options that do not fit.
    """
    targets = []
    tags = training.tags()
    by_upstream = itertools.groupby(zip(training.combinations, tags), lambda c: c[0][0])
    for name, combinations in by_upstream:
        upstream = build_upstream(name, training.upstream_conf)
        bounds = training.max_frames, training.max_memory
        for (_, nclusters), tag in combinations:
            streams = tuple(plan_streams(upstream, nclusters, *bounds))
            path = output_dir / tag if len(tags) > 1 else output_dir
            targets.append(Target(path, name, upstream.identity(), streams))
            # Wrong options are told now, not after hours of reading audio.
            for stream in streams:
                conf = stream.quantizer_conf(training.quantizer_conf, training.seed)
                build_quantizer(training.quantizer, conf)
    counts = {u: num_frames(upstream, u.num_samples, u.fs) for u in utterances}
    return targets, counts
