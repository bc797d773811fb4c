"""One run at a time into one directory."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
from pathlib import Path
from types import TracebackType

from espnet_dsu.errors import DSUError

_NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class DirectoryLock:
    """Context manager that holds a directory for this process.

    The kernel holds the lock (``flock``), so it ends with the process, however that
    ends. On NFS Linux passes it on to the server, so that runs on other machines are
    kept out as well, except where the mount says ``nolock`` or ``local_lock``; there
    it keeps out the same machine only. A file system without locks (Lustre mounted
    without ``flock``) is used without, and the log says so.

    Raises:
        DSUError: another run holds the directory, or it cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / ".lock"

    def __enter__(self) -> DirectoryLock:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._take()
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise DSUError(
                f"{self.path.parent} cannot be written ({error.strerror}); choose "
                "another --output_dir, or have its permissions mended"
            ) from error
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            raise DSUError(
                f"{self.path.parent} is on a read-only file system; choose another "
                "--output_dir"
            ) from error
        return self

    def _take(self) -> None:
        while True:
            self._file = open(self.path, "a+", encoding="utf-8")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.seek(0)
                raise DSUError(
                    f"{self.path.parent} is being written by another run "
                    f"({self._file.read() or 'just begun'}); wait for it, or choose "
                    "another --output_dir"
                ) from None
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    raise
                logging.warning(
                    f"{self.path}: this file system has no locks ({error.strerror}); "
                    "start no second run into this directory"
                )
            if self._is_current():
                break
            self._file.close()
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def _is_current(self) -> bool:
        """Tell whether the file that is locked is still the one of that name."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.path.unlink(missing_ok=True)
        self._file.close()
