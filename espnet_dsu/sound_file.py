"""Opening a wav.scp value, and what a header alone can show to be wrong with it."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile as sf

from espnet_dsu.errors import DSUError

# A header that was never completed (audio streamed through a pipe) declares one of the
# largest sizes there are; such a file has no known length and so cannot be truncated.
UNKNOWN_SIZE = 0x7FFF0000


class AudioError(DSUError):
    """A recording that cannot be used; the message is the reason in few words."""


class _Window(io.RawIOBase):
    """The ``size`` bytes of ``file`` from ``start`` on, as a file of their own."""

    def __init__(self, file: io.BufferedReader, start: int, size: int) -> None:
        self.file, self.start, self.size, self.position = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}
        self.position = max(0, origin[whence] + offset)
        return self.position

    def tell(self) -> int:
        return self.position

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        self.file.seek(self.start + self.position)
        wanted = max(0, min(len(buffer), self.size - self.position))
        data = self.file.read(wanted)
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)


def _ark_entry(file: io.BufferedReader, offset: int, length: int) -> _Window:
    """Return the recording at ``offset`` of a Kaldi ark of ``length`` bytes."""
    if offset >= length:
        raise AudioError(f"offset {offset} is beyond the ark's {length} bytes")
    file.seek(offset)
    head = file.read(15)
    if head[:5] == b"AUDIO":  # kaldiio: the width of the size field, the size, the data
        width = head[5] if len(head) > 5 else 0
        size = int.from_bytes(head[6 : 6 + width], "little")
        return _Window(file, offset + 6 + width, min(size, length - offset - 6 - width))
    size = length - offset
    if head[:4] == b"RIFF" and len(head) >= 8:
        # What follows the recording in the ark is not part of it.
        size = min(size, struct.unpack("<I", head[4:8])[0] + 8)
    return _Window(file, offset, size)


def _locate(source: str) -> tuple[Path, int | None]:
    """Split a wav.scp value into a path with something in it and an offset, if any."""
    if source.startswith("|") or source.rstrip().endswith("|"):
        raise AudioError("a pipe, which is never executed: convert the audio first")
    path, offset = Path(source), None
    entry = re.fullmatch(r"(.+):(\d+)", source)
    if entry and not path.exists():
        path, offset = Path(entry[1]), int(entry[2])
    if not path.exists():
        raise AudioError("not found")
    if not path.is_file():
        raise AudioError("not a file")
    if path.stat().st_size == 0:
        raise AudioError("empty file")
    return path, offset


@contextmanager
def open_sound(source: str) -> Iterator[sf.SoundFile]:
    """Open a wav.scp value whose header shows nothing wrong.

    Raises:
        AudioError: not found, not a file, empty, unreadable, truncated, without
            samples, or a Kaldi pipe (never executed).
    """
    path, offset = _locate(source)
    with open(path, "rb") as file:
        # A plain file is left to libsndfile by name; Python reads entries of an ark.
        target: Path | _Window = path
        head = b""
        if offset is None:
            head = file.read(1024)
        else:
            target = _ark_entry(file, offset, path.stat().st_size)
        try:
            sound = sf.SoundFile(target)
        except sf.LibsndfileError as error:
            reason = f"not readable as audio ({error.error_string})"
            raise AudioError(_compressed_sphere(head) or reason) from error
        with sound:
            _check(sound, head)
            yield sound


def _compressed_sphere(head: bytes) -> str | None:
    """Say so where the file is a NIST sphere file whose samples are compressed."""
    coding = re.search(
        rb"^NIST_1A.*\nsample_coding -s\d+ (\S*embedded-\S+)", head, re.S
    )
    return coding and (
        f"compressed sphere file ({coding[1].decode(errors='replace')}), which is not "
        "read; decompress it with `sph2pipe -p -f wav`"
    )


def _missing_samples(sound: sf.SoundFile, head: bytes) -> str | None:
    """Say what a header promises and the file lacks; None where nothing is missing.

    libsndfile quietly shortens a file to what is there and tells only in its log.
    """
    log = sound.extra_info
    chunk = re.search(r"^\s*(?:data|SSND)\s*: (\d+) \(should be (\d+)\)", log, re.M)
    if chunk and int(chunk[2]) < int(chunk[1]) < UNKNOWN_SIZE:
        return f"{chunk[1]} bytes declared, {chunk[2]} present"
    sphere = re.search(rb"^NIST_1A.*\nsample_count -i (\d+)", head, re.S)
    if sphere and int(sphere[1]) > sound.frames:
        return f"{int(sphere[1])} samples declared, {sound.frames} present"
    if sound.format == "OGG" and "lacks an end-of-stream" in log:
        return "the last page is missing"
    return None


def _check(sound: sf.SoundFile, head: bytes) -> None:
    """Raise AudioError where the header alone shows that the audio is unusable."""
    missing = _missing_samples(sound, head)
    if missing:
        raise AudioError(f"truncated ({missing})")
    if sound.frames == 0:
        raise AudioError("no samples")
