"""The Hugging Face hub's client: imported on use, its errors in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from espnet_dsu.errors import DSUError


def import_client() -> ModuleType:
    """Import huggingface_hub, or say how to install it."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise DSUError(
            f"the Hugging Face hub needs huggingface_hub ({error}); run: "
            "pip install 'espnet_dsu[hub]'"
        ) from error
    for name in ("httpx", "httpx2"):  # its requests, a line for each
        logging.getLogger(name).setLevel(logging.WARNING)
    return huggingface_hub


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what the client raises into one line that says what to do.

    Args:
        what: is going on, such as ``upload to me/x``.
    """
    import_client()
    from huggingface_hub import constants, errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise _failed(what, "ask for access on its page, then log in", error) from error
    except errors.RepositoryNotFoundError as error:
        hint = "no such repository, or a private one; check the name, or log in with "
        raise _failed(what, f"{hint}'hf auth login'", error) from error
    except errors.RevisionNotFoundError as error:
        hint = "the repository has no such branch, tag or commit; check what follows @"
        raise _failed(what, hint, error) from error
    except errors.HFValidationError as error:
        raise _failed(what, "expected <user>/<name>", error) from error
    except errors.HfHubHTTPError as error:
        raise _failed(what, _hint_of_status(error), error) from error
    except DSUError:
        raise
    # The network's errors share no base class across versions of the client.
    except Exception as error:
        hint = f"cannot reach {constants.ENDPOINT}; check the network and HF_ENDPOINT"
        raise _failed(what, hint, error) from error


def _hint_of_status(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    hints = {
        401: "the hub does not know the token; log in again with 'hf auth login'",
        403: "the token must not write there; use one with the right to write",
    }
    return hints.get(status or 0, f"the hub answered with status {status}; try again")


def _failed(what: str, hint: str, error: Exception) -> DSUError:
    reason = " ".join(str(error).split())[:200]
    return DSUError(f"{what} failed: {hint} ({type(error).__name__}: {reason})")
