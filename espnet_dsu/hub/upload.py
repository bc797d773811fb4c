"""A packed model to a repository of the Hugging Face hub."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from espnet_dsu.errors import DSUError
from espnet_dsu.hub.card import KINDS, Facts, model_card
from espnet_dsu.hub.client import explained, import_client
from espnet_dsu.hub.layout import CARD, FACTS, extract, read_meta
from espnet_dsu.hub.portable import read_config
from espnet_dsu.version import __version__


def upload(archive: str | Path, hf_repo: str) -> str:
    """Upload a packed model, unpacked, so that its parts can be read on the hub.

    The card gets the repository's name. Files that an earlier upload left in the
    folders of the archive go; others, such as a picture of the user's, stay.

    Args:
        archive: made by :func:`espnet_dsu.hub.pack_asr`.
        hf_repo: ``<user or organisation>/<name>``; made if it does not exist.

    Returns:
        the address of the commit.

    Raises:
        DSUError: nobody is logged in, the hub refuses, or there is no network.
    """
    hub = import_client()
    if hub.get_token() is None:
        raise DSUError(
            "you are not logged in to the Hugging Face hub: run 'hf auth login', or "
            "set HF_TOKEN to a token with the right to write"
        )
    archive = Path(archive)
    beside = archive.absolute().parent
    with tempfile.TemporaryDirectory(prefix=".upload.", dir=beside) as temporary:
        folder = Path(temporary)
        extract(archive, folder)
        _write_card(folder, hf_repo)
        files = [path for path in folder.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        logging.info(f"uploading {len(files)} files, {size / 1e6:.1f} MB, to {hf_repo}")
        with explained(f"upload to {hf_repo}"):
            hub.HfApi().create_repo(hf_repo, exist_ok=True)
            commit = hub.HfApi().upload_folder(
                repo_id=hf_repo,
                folder_path=folder,
                delete_patterns=[f"{p.name}/*" for p in folder.iterdir() if p.is_dir()],
                commit_message=f"Model packed by espnet_dsu {__version__}",
            )
    logging.info(f"uploaded {archive} to {hf_repo}")
    return str(commit)


def _write_card(folder: Path, hf_repo: str) -> None:
    if not (folder / FACTS).is_file():
        raise DSUError(f"the archive holds no {FACTS}; pack the model again")
    facts = Facts(**read_config(folder / FACTS))
    config = read_meta(folder)["yaml_files"][KINDS[facts.kind].config]
    card = model_card(folder, str(config.relative_to(folder)), facts, hf_repo)
    (folder / CARD).write_text(card, encoding="utf-8")
