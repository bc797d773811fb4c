"""How fast unit vocoders speak: the light generator against HiFi-GAN, on one core."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml

from benchmarks.common import clock, machine_facts, make_parser, publish
from espnet_dsu.bin.cli import run
from espnet_dsu.models.vocoder import Conditions, UnitVocoder
from espnet_dsu.models.vocoder.hifigan import UnitHiFiGAN
from espnet_dsu.models.vocoder.istft import ISTFTGenerator
from espnet_dsu.models.vocoder.unit_vocoder import samples_of_a_frame
from espnet_dsu.tokenizer import UnitTokenizer

CONF = Path(__file__).parents[1] / "conf" / "vocoder"
CONFIGS = ("ljspeech_istft_1gpu", "ljspeech_hifigan_1gpu")
_KINDS = {"istft": ISTFTGenerator, "hifigan": UnitHiFiGAN}
_FS = 22050


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    assert __doc__
    parser = make_parser("vocoders", __doc__, rounds=5, threads=1, device="cpu")
    add = parser.add_argument
    add("--configs", nargs="+", default=CONFIGS, help="names in conf/vocoder")
    add("--audio_sec", type=float, default=10.0, help="length of what is spoken")
    return parser


def build(name: str) -> UnitVocoder:
    """Make the vocoder of a config with random weights, for units of 20 ms."""
    config = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    noise = [torch.randn(16000).numpy() for _ in range(2)]
    tokenizer = UnitTokenizer.train(
        noise, 16000, nclusters=20, upstream_conf={"frame_shift": 20}
    )
    conf = config["vocoder_conf"]
    upsample = samples_of_a_frame(tokenizer.spec, _FS)
    kind = _KINDS[config["generator"]]
    generator = kind(conf["embed_dim"], upsample, **config["generator_conf"])
    if isinstance(generator, UnitHiFiGAN):
        generator.remove_weight_norm()
    return UnitVocoder(tokenizer, _FS, generator, **conf).eval()


@torch.inference_mode()
def seconds(vocoder: UnitVocoder, frames: int, device: str) -> float:
    """Time one utterance."""
    units = torch.randint(vocoder.spec.vocab_size, (1, frames), device=device)
    now = clock(device, torch.get_num_threads())
    start = now()
    vocoder(units, torch.tensor([frames], device=device), Conditions()).cpu()
    return now() - start


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    made = {name: build(name).to(args.device) for name in args.configs}
    frames = round(args.audio_sec * 50)
    times: dict[str, list[float]] = {name: [] for name in made}
    for number in range(args.rounds + 1):
        for name, vocoder in made.items():
            taken = seconds(vocoder, frames, args.device)
            if number:  # the first round warms up
                times[name].append(taken)
    rows = [
        {
            "config": name,
            "generator, M parameters": round(
                sum(p.numel() for p in made[name].generator.parameters()) / 1e6, 1
            ),
            "real time factor": round(statistics.median(found) / args.audio_sec, 4),
            "to the first": round(
                statistics.median(t / f for t, f in zip(found, times[args.configs[0]])),
                2,
            ),
        }
        for name, found in times.items()
    ]
    facts = machine_facts(args.threads, args.device)
    publish(args.output, args, facts, {"Unit vocoders": rows}, {"seconds": times})


if __name__ == "__main__":
    run(main)
