"""Pickles that would run code, fill the memory, or are damaged: refused, by name."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import tracemalloc
import zlib

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.foreign import byte_source
from espnet_dsu.foreign.pickle_arrays import read_pickle


class Calls:
    """Pickles as a call of ``function(*args)``."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def text(value: str) -> bytes:
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def refuse(tmp_path, content: bytes, message: str) -> None:
    path = tmp_path / "km.mdl"
    path.write_bytes(content)
    with pytest.raises(DSUError, match=message) as info:
        read_pickle(path)
    assert str(info.value).startswith(str(path))


def touching(path) -> dict[str, tuple[bytes, str]]:
    """Return pickles that make ``path`` when loaded, and the name to be told."""
    line = f"open({str(path)!r}, 'w').close()"
    call = Calls(exec, line)
    named = b"\x80\x04" + text("builtins") + b"\x94" + text("exec") + b"\x94"
    return {
        "reduce": (pickle.dumps(call, 4), "builtins.exec"),
        "reduce_2": (pickle.dumps(call, 2), "__builtin__.exec"),
        "joblib": (
            _joblib({"cluster_centers_": np.eye(3), "n": call}),
            "builtins.exec",
        ),
        "nested": (pickle.dumps({"a": [np.eye(2), (1, call)]}, 4), "builtins.exec"),
        "inst": (b"(" + text(line) + b"ibuiltins\nexec\n.", "builtins.exec"),
        "obj": (b"(cbuiltins\nexec\n" + text(line) + b"o.", "builtins.exec"),
        # The words of the name come from the memo, out of order.
        "memo": (
            named + b"h\x00h\x01\x93" + text(line) + b"\x85R.",
            "builtins.exec",
        ),
        # A dotted name reaches a module inside of one that is allowed.
        "dotted": (
            b"\x80\x04" + text("numpy") + text("dtype.__class__") + b"\x93"
            b"0cbuiltins\nexec\n" + text(line) + b"\x85R.",
            r"numpy.dtype.__class__",
        ),
    }


def _joblib(content) -> bytes:
    file = io.BytesIO()
    joblib.dump(content, file)
    return file.getvalue()


TRICKS = list(touching("x"))


@pytest.mark.parametrize("trick", TRICKS)
def test_read_pickle_code_is_refused_by_name_and_not_run(tmp_path, trick):
    sentinel = tmp_path / "ran"
    content, name = touching(sentinel)[trick]
    refuse(tmp_path, content, f"names {name}|holds {name}")
    assert not sentinel.exists()
    # Any other reader runs it, so the test could have failed.
    joblib.load(io.BytesIO(content)) if trick == "joblib" else pickle.loads(content)
    assert sentinel.exists()


def test_read_pickle_real_command_is_refused_by_its_name(tmp_path):
    import os

    content = pickle.dumps(Calls(os.system, "true"))
    refuse(tmp_path, content, f"names {os.system.__module__}.system")


def test_read_pickle_name_cannot_write_to_the_terminal(tmp_path):
    name = text("\x1b[2J" * 1000) + text("é")
    refuse(tmp_path, b"\x80\x04" + name + b"\x93.", r"names (\\x1b\[2J){25} \(nothing")


def test_read_pickle_class_is_never_changed_by_build(tmp_path):
    from joblib.numpy_pickle import NumpyArrayWrapper

    # On a real machine this sets an attribute of the class itself.
    name = b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n"
    content = b"\x80\x04" + name + b"N}" + text("ran") + b"\x88s\x86b."
    pickle.loads(content)
    assert NumpyArrayWrapper.ran is True
    del NumpyArrayWrapper.ran
    refuse(tmp_path, content, "no Node where one is to be filled")
    assert not hasattr(NumpyArrayWrapper, "ran")


@pytest.mark.parametrize(
    ("body", "opcode"),
    [
        (b"\x82\x01.", "EXT1"),
        (b"P1\n.", "PERSID"),
        (b"K\x01Q.", "BINPERSID"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"K\x010K\x02.", "POP"),
        (b"\x8f.", "EMPTY_SET"),
        (b"I5\n.", "INT"),
        (b"S'x'\n.", "STRING"),
    ],
)
def test_read_pickle_instruction_that_is_not_needed_is_named(tmp_path, body, opcode):
    refuse(tmp_path, b"\x80\x04" + body, f"holds opcode {opcode} ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b".", "pop from empty list"),
        (b"(.", "holds type"),
        (b"h\x05.", "is no whole pickle: 5"),
        (b"K\x01K\x02\x93.", "a name that is no text"),
        (b"K\x01)R.", "a call of what is no function"),
        (b"K\x01}b.", "no Node where one is to be filled"),
        (b"K\x01K\x02a.", "no list where one is to be filled"),
        (b"}K\x01K\x02K\x03(u.", "no dict where one is to be filled"),
        (b"}(K\x01u.", "is no whole pickle: zip"),
        (b"}))s.", "a key that is neither text nor number"),
        (b"(\x85.", "a mark where a value should be"),
        (b"cnumpy\nndarray\n)R}b}b.", "an object that is built twice"),
        (b"cnumpy\nndarray\n", "exhausted before seeing STOP"),
        (b"cnumpy" + b"y" * 5000, "newline"),
        (b"\xff.", "unknown"),
    ],
)
def test_read_pickle_program_that_does_not_fit_is_an_error(tmp_path, body, message):
    refuse(tmp_path, b"\x80\x04" + body, message)


def test_read_pickle_memory_stays_small_whatever_is_announced(tmp_path):
    huge = struct.pack("<Q", 2**40)
    wrapper = _joblib(np.zeros((3, 5), np.float32)).replace(
        b"K\x03K\x05\x86", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"
    )
    deep = b"\x80\x04)" + b"\x94h\x00\x86" * 1 + b"2" * 0
    for index in range(200):
        deep += b"q" + bytes([index]) + b"h" + bytes([index]) + b"\x86"
    tricks = {
        b"\x80\x04\x8e" + huge + b"x.": "bytes",
        b"\x80\x05\x96" + huge + b"x.": "bytes",
        b"\x80\x04\x8d" + huge + b"x.": "bytes",
        b"\x80\x04N" + b"r\xff\xff\xff\x7f" + b".": "holds NoneType",
        b"\x80\x04\x8a\xff" + b"\xff" * 10: "long1",
        wrapper: "is damaged: an array of",
        # A tuple of tuples of tuples: quick to make, and endless to hash or to print.
        deep + b".": "holds tuple where an array should be",
        deep[:2] + b"}" + deep[2:] + b"Ns.": "a key that is neither",
    }
    tracemalloc.start()
    for content, message in tricks.items():
        refuse(tmp_path, content, message)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.parametrize(
    "compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3)]
)
def test_read_pickle_cut_anywhere_is_an_error(tmp_path, compress):
    path = tmp_path / "whole"
    joblib.dump({"cluster_centers_": np.eye(3)}, path, compress=compress)
    content = path.read_bytes()
    read_pickle(path)
    for length in range(0, len(content) - 1, 1 if compress == 0 else 7):
        path.write_bytes(content[:length])
        try:
            _, arrays = read_pickle(path)
        except DSUError:
            continue
        # Only the check sum at the end of the compression is missing.
        assert compress and len(content) - length <= 40
        assert np.array_equal(arrays["cluster_centers_"], np.eye(3))


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_read_pickle_changed_bytes_give_arrays_or_an_error(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("p") / "x"
    content = bytearray(_joblib({"cluster_centers_": np.eye(3)}))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        _, arrays = read_pickle(path)
    except DSUError:
        return
    assert all(isinstance(array, np.ndarray) for array in arrays.values())


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60))
def test_read_pickle_any_bytes_give_arrays_or_an_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("p") / "x"
    path.write_bytes(b"\x80\x04" + content)
    with pytest.raises(DSUError):
        read_pickle(path)


def test_read_pickle_bomb_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(byte_source, "MAX_UNPACKED", 10**6)
    content = b"\x80\x04B" + struct.pack("<I", 2**30) + b"\0" * 2 * 10**6
    refuse(tmp_path, zlib.compress(content), "unpacks to more than 1000000 bytes")


def test_read_pickle_lz4_says_how_to_unpack(tmp_path):
    refuse(tmp_path, b"\x04\x22\x4d\x18" + b"x" * 20, r"lz4.*unpack it \(lz4 -d\)")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds list where an array should be"),
        (np.array(["a", "b"]), "array of U1, expected numbers"),
        (np.array([None, 1]), "array of O8, expected numbers"),
        (np.zeros(2, "f4,i4"), "array of V8, expected numbers"),
        (np.zeros(2, complex), "array of c16, expected numbers"),
        (np.ma.zeros(3), "names numpy.ma.core"),
    ],
)
@pytest.mark.parametrize("dump", [pickle.dumps, _joblib])
def test_read_pickle_other_content_is_named(tmp_path, content, message, dump):
    refuse(tmp_path, dump(content), message)


def test_read_pickle_arrays_of_other_order_and_bytes_are_read(tmp_path):
    array = np.arange(12, dtype=np.float64).reshape(3, 4)
    path = tmp_path / "x"
    for variant in (array, np.asfortranarray(array), array.astype(">f8"), array[:0]):
        for protocol in (3, 4, 5):
            for dump in (pickle.dump, joblib.dump):
                with open(path, "wb") as f:
                    dump(variant, f, protocol=protocol)
                kind, arrays = read_pickle(path)
                assert kind == "array" and np.array_equal(arrays["array"], variant)
                assert arrays["array"].shape == variant.shape


def test_read_pickle_missing_file_is_an_error(tmp_path):
    with pytest.raises(DSUError, match="none cannot be read: No such file"):
        read_pickle(tmp_path / "none")


def test_reading_imports_neither_joblib_nor_sklearn(tmp_path):
    import subprocess

    joblib.dump(np.eye(3), tmp_path / "x", compress=3)
    code = (
        "import sys; sys.modules['joblib'] = sys.modules['sklearn'] = None\n"
        "from espnet_dsu.foreign.pickle_arrays import read_pickle\n"
        f"print(read_pickle({str(tmp_path / 'x')!r})[1]['array'].sum())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "3.0", done.stderr
