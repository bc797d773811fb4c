"""The unit vocoder task: units to speech, by ESPnet's GAN trainer."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from typing import Any

import humanfriendly
import torch
from espnet2.gan_tts.hifigan import (
    HiFiGANMultiPeriodDiscriminator,
    HiFiGANMultiScaleDiscriminator,
    HiFiGANMultiScaleMultiPeriodDiscriminator,
)
from espnet2.tasks.abs_task import AbsTask, optim_classes
from espnet2.train.class_choices import ClassChoices
from espnet2.train.collate_fn import CommonCollateFn
from espnet2.train.gan_trainer import GANTrainer
from espnet2.utils.get_default_kwargs import get_default_kwargs
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str_or_none

from espnet_dsu.errors import DSUError
from espnet_dsu.models.vocoder.gan import UnitVocoderModel
from espnet_dsu.models.vocoder.hifigan import UnitHiFiGAN
from espnet_dsu.models.vocoder.istft import ISTFTGenerator
from espnet_dsu.models.vocoder.unit_vocoder import UnitVocoder, samples_of_a_frame
from espnet_dsu.plugin import register
from espnet_dsu.scp import read_scp
from espnet_dsu.tasks.checkpoint import CheckedLoading
from espnet_dsu.tasks.units import check_units
from espnet_dsu.tokenizer import UnitTokenizer

register()

generator_choices = ClassChoices(
    "generator",
    classes={"hifigan": UnitHiFiGAN, "istft": ISTFTGenerator},
    type_check=torch.nn.Module,
    default="hifigan",
)
discriminator_choices = ClassChoices(
    "discriminator",
    classes={
        "hifigan_multi_scale_multi_period": HiFiGANMultiScaleMultiPeriodDiscriminator,
        "hifigan_multi_period": HiFiGANMultiPeriodDiscriminator,
        "hifigan_multi_scale": HiFiGANMultiScaleDiscriminator,
    },
    type_check=torch.nn.Module,
    default="hifigan_multi_scale_multi_period",
)
# What the task gives the vocoder itself.
_GIVEN = ("tokenizer", "fs", "generator", "speakers", "styles")


class UnitVocoderTask(CheckedLoading, AbsTask):
    """Train unit vocoders with ESPnet's GAN trainer, optimizers and reporter."""

    num_optimizers: int = 2
    class_choices_list = [generator_choices, discriminator_choices]
    trainer = GANTrainer

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add what ESPnet's other tasks do not have."""
        group = parser.add_argument_group(description="Task related")
        required = parser.get_default("required")
        required += ["tokenizer"]
        add = group.add_argument
        add(
            "--tokenizer",
            type=str_or_none,
            help="config.yaml of the tokenizer bundle that the units are of",
        )
        add(
            "--fs",
            type=humanfriendly.parse_size,
            default=16000,
            help="sampling rate of the audio that is learned and made, e.g. 24k",
        )
        add(
            "--spk2sid",
            type=str_or_none,
            help="file of speaker names and ids; with it the data has sids",
        )
        add(
            "--style2id",
            type=str_or_none,
            help="file of style names and ids; with it the data has styles",
        )
        add(
            "--vocoder_conf",
            action=NestedDictAction,
            default=_defaults(UnitVocoder, _GIVEN),
            help="embeddings, speakers, pitch and durations of the vocoder",
        )
        add(
            "--model_conf",
            action=NestedDictAction,
            default=get_default_kwargs(UnitVocoderModel),
            help="losses and segments of the training",
        )
        for choices in cls.class_choices_list:
            choices.add_arguments(group)

    @classmethod
    def build_collate_fn(cls, args: argparse.Namespace, train: bool) -> Callable:
        """Pad a batch; ids and speaker embeddings are no sequences."""
        return CommonCollateFn(
            float_pad_value=0.0,
            int_pad_value=-1,
            not_sequence=["spembs", "sids", "styles"],
        )

    @classmethod
    def build_preprocess_fn(
        cls, args: argparse.Namespace, train: bool
    ) -> Callable | None:
        """Take the data as it comes."""
        return None

    @classmethod
    def required_data_names(
        cls, train: bool = True, inference: bool = False
    ) -> tuple[str, ...]:
        """Name the data that there must be."""
        return ("units",) if inference else ("units", "speech")

    @classmethod
    def optional_data_names(
        cls, train: bool = True, inference: bool = False
    ) -> tuple[str, ...]:
        """Name the data that there may be."""
        return ("sids", "styles", "spembs", "f0")

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Check the data, then train."""
        train = args.train_data_path_and_name_and_type
        data = [*train, *args.valid_data_path_and_name_and_type]
        check_units(UnitTokenizer.from_pretrained(args.tokenizer).spec, data)
        _check_conditions(args, {name for _, name, _ in train})
        super().main_worker(args)

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> UnitVocoderModel:
        """Build vocoder and discriminator; names of speakers go into the config."""
        args.spk2sid = _read_ids(args.spk2sid, "spk2sid")
        args.style2id = _read_ids(args.style2id, "style2id")
        tokenizer = UnitTokenizer.from_pretrained(args.tokenizer)
        generator = generator_choices.get_class(args.generator)(
            in_channels=args.vocoder_conf.get(
                "embed_dim", _defaults(UnitVocoder, ())["embed_dim"]
            ),
            upsample=samples_of_a_frame(tokenizer.spec, args.fs),
            **args.generator_conf,
        )
        vocoder = UnitVocoder(
            tokenizer,
            args.fs,
            generator,
            args.spk2sid,
            args.style2id,
            **args.vocoder_conf,
        )
        discriminator = discriminator_choices.get_class(args.discriminator)
        return UnitVocoderModel(
            vocoder, discriminator(**args.discriminator_conf), **args.model_conf
        )

    @classmethod
    def build_optimizers(
        cls, args: argparse.Namespace, model: UnitVocoderModel
    ) -> list[torch.optim.Optimizer]:
        """Give generator and discriminator an optimizer each."""
        if args.sharded_ddp:
            raise DSUError("sharded_ddp is true, but unit vocoders train without it")
        return [
            optim_classes[name](part.parameters(), **conf)
            for name, part, conf in (
                (args.optim, model.generator, args.optim_conf),
                (args.optim2, model.discriminator, args.optim2_conf),
            )
        ]


def _check_conditions(args: argparse.Namespace, names: set[str]) -> None:
    """Refuse what the vocoder would ignore, and ask for what it would miss.

    Raises:
        DSUError: naming the data and the option that do not go together.
    """
    conf = args.vocoder_conf
    for name, option, taken in (
        ("sids", "--spk2sid", bool(args.spk2sid)),
        ("styles", "--style2id", bool(args.style2id)),
        ("spembs", "vocoder_conf: spk_embed_dim", bool(conf.get("spk_embed_dim"))),
        ("f0", "vocoder_conf: f0", conf.get("f0", "none") != "none"),
    ):
        if name in names and not taken:
            raise DSUError(
                f"the data has {name}, which the vocoder would ignore: set {option}, "
                "or leave the data out"
            )
        if taken and name not in names:
            raise DSUError(
                f"{option} is set, but the data has no {name}; give it, or leave the "
                "option out"
            )


def _defaults(made: Callable, given: tuple[str, ...]) -> dict[str, Any]:
    """Return the options of a class and their defaults, but for those given."""
    options = inspect.signature(made).parameters.values()
    return {
        p.name: p.default
        for p in options
        if p.name not in given and p.default is not inspect.Parameter.empty
    }


def _read_ids(source: str | dict[str, int] | None, option: str) -> dict[str, int]:
    """Read names and ids: of a file, or those that a config holds.

    Raises:
        DSUError: an id is no number.
    """
    if source is None or isinstance(source, dict):
        return source or {}
    found = read_scp(source)
    if bad := [f"{name} {text}" for name, text in found.items() if not text.isdigit()]:
        raise DSUError(f"--{option} {source}: {bad[0]!r}, expected a name and its id")
    return {name: int(text) for name, text in found.items()}
