"""Trained models as archives: packed with a model card, unpacked, up and downloaded."""

from espnet_dsu.hub.download import install_model, unpack_model
from espnet_dsu.hub.pack import pack_asr, pack_voc
from espnet_dsu.hub.upload import upload

__all__ = ["install_model", "pack_asr", "pack_voc", "unpack_model", "upload"]
