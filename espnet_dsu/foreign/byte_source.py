"""The bytes of a file that is not trusted: unpacked, and never more than are there."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from espnet_dsu.errors import DSUError

# Of a compressed file; k-means of 2,000 units with their training labels are far below.
MAX_UNPACKED = 2**30
# Reading in blocks never allocates for bytes that a file announces and does not hold.
_BLOCK = 2**20
_LINE = 1024


class _Zlib(io.RawIOBase):
    """The content of a zlib stream, which the standard library has no file for."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._inflate = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._packed.read(_BLOCK)
            if not packed:
                raise EOFError("ends inside the compressed data")
            if data := self._inflate.decompress(packed, len(buffer)):
                buffer[: len(data)] = data
                return len(data)
        return 0


def _lz4(packed: IO[bytes]) -> IO[bytes]:
    raise DSUError(
        "is compressed with lz4, which Python cannot read by itself; unpack it (lz4 -d)"
    )


# The first bytes of each compression that joblib offers.
_OPENERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda f: gzip.GzipFile(fileobj=f),
    b"\x78": lambda f: io.BufferedReader(_Zlib(f), _BLOCK),
    b"BZ": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
    b"\x5d\x00": lzma.LZMAFile,
    b"\x04\x22\x4d\x18": _lz4,
}


class ByteSource:
    """A file to read from start to end, unpacked on the way; a context manager."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._file: IO[bytes] = open(self.path, "rb")
        except OSError as error:
            raise DSUError(f"cannot be read: {error.strerror}") from None
        start = self._file.read(8)
        self._file.seek(0)
        self._stream, self._left = self._file, sys.maxsize
        for magic, opener in _OPENERS.items():
            if start.startswith(magic):
                self._stream, self._left = opener(self._file), MAX_UNPACKED
                break

    def __enter__(self) -> ByteSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, or fewer where the file ends.

        Raises:
            DSUError: damaged compression, or more than ``MAX_UNPACKED`` bytes in it.
        """
        data = bytearray()
        try:
            while size > len(data):
                block = self._stream.read(min(size - len(data), _BLOCK))
                if not block:
                    break
                self._left -= len(block)
                if self._left < 0:
                    raise DSUError(
                        f"unpacks to more than {MAX_UNPACKED} bytes; unpack it first "
                        "if that is what it should hold"
                    )
                data += block
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise DSUError(f"compressed data is damaged: {error}") from None
        return bytes(data)

    def readline(self) -> bytes:
        """Return the bytes up to a newline, at most 1,024; for pickle's text parts."""
        line = bytearray()
        while len(line) < _LINE and not line.endswith(b"\n"):
            if not (byte := self.read(1)):
                break
            line += byte
        return bytes(line)
