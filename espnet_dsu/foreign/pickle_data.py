"""A pickle read as data: nothing is imported, called or built.

A pickle is a program for a stack machine that names functions and calls them. Here the
program runs on a machine that has no functions: a name becomes a :class:`Name`, a call
a :class:`Node` that remembers it. Names that are not expected of a k-means model are
refused, and so is every instruction that pickling one does not need.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, cast

from espnet_dsu.errors import DSUError
from espnet_dsu.foreign.byte_source import ByteSource

_SHOWN = 100


@dataclass(frozen=True)
class Name:
    """A global that a pickle names, as two words."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Node:
    """A call that a pickle asks for, not made.

    Attributes:
        function: what would be called.
        args: with what.
        state: what the pickle would set on the result.
    """

    function: Name
    args: tuple[Any, ...]
    state: Any = None


def shown(text: str) -> str:
    """Make text of a file that is not trusted fit for a message: short and ASCII."""
    return ascii(text[:_SHOWN])[1:-1]


class _Mark:
    """Where a group of values on the stack begins."""


class PickleMachine:
    """Runs the instructions of one pickle.

    Args:
        source: where it is read from.
        allowed: tells whether a name may occur.
        built: called with a node when its state is known; may read on in ``source``.
    """

    def __init__(
        self,
        source: ByteSource,
        allowed: Callable[[Name], bool],
        built: Callable[[Node, ByteSource], None],
    ) -> None:
        self._source, self._allowed, self._built = source, allowed, built
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Return what the pickle holds: plain values, names and nodes.

        Raises:
            DSUError: an instruction or a name that is not expected, or damage.
        """
        try:
            # All it needs is read and readline.
            file = cast(IO[bytes], self._source)
            for opcode, arg, _ in pickletools.genops(file):
                if opcode.name == "STOP":
                    return self._stack.pop()
                self._step(opcode.name, arg)
        except DSUError:
            raise
        # A program that does not fit its own stack, and what pickletools finds.
        except (ValueError, LookupError) as error:
            raise DSUError(f"is no whole pickle: {error}") from None
        raise DSUError("is no whole pickle: it does not stop")

    def _step(self, opcode: str, arg: Any) -> None:
        if opcode in _PUSHED:
            self._stack.append(arg)
        elif opcode in _CONSTANTS:
            self._stack.append(_CONSTANTS[opcode]())
        elif opcode in _STEPS:
            _STEPS[opcode](self, arg)
        elif opcode not in _IGNORED:
            # INST names its function in the instruction itself.
            found = ".".join(arg.split()) if opcode == "INST" else f"opcode {opcode}"
            raise DSUError(f"is no pickled k-means model: it holds {shown(found)}")

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _Mark:
            raise LookupError("a mark where a value should be")
        return value

    def _pop_some(self, count: int) -> list[Any]:
        return [self._pop() for _ in range(count)][::-1]

    def _pop_group(self) -> list[Any]:
        group = []
        while (value := self._stack.pop()) is not _Mark:
            group.append(value)
        return group[::-1]

    def _top(self, kind: type) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise LookupError(f"no {kind.__name__} where one is to be filled")
        return self._stack[-1]

    def _name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise LookupError("a name that is no text")
        found = Name(module, name)
        if not self._allowed(found):
            raise DSUError(f"is no pickled k-means model: it names {shown(str(found))}")
        self._stack.append(found)

    def _call(self) -> None:
        function, args = self._pop_some(2)
        if not isinstance(function, Name) or not isinstance(args, tuple):
            raise LookupError("a call of what is no function")
        self._stack.append(Node(function, args))

    def _build(self) -> None:
        state, node = self._pop(), self._top(Node)
        if node.state is not None:
            raise LookupError("an object that is built twice")
        node.state = state
        self._built(node, self._source)

    def _append(self, values: list[Any]) -> None:
        self._top(list).extend(values)

    def _fill(self, pairs: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            # Anything else could take forever to hash.
            if not isinstance(key, str | int):
                raise LookupError("a key that is neither text nor number")
            target[key] = value

    def _keep(self, index: int | None) -> None:
        self._memo[len(self._memo) if index is None else index] = self._stack[-1]


Step = Callable[[PickleMachine, Any], None]


def _push_tuple(count: int) -> Step:
    return lambda m, _: m._stack.append(tuple(m._pop_some(count)))


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "MARK": lambda: _Mark,
}
_PUSHED = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_PUSHED |= {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BYTEARRAY8"}
_PUSHED |= {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}
_IGNORED = {"PROTO", "FRAME"}
_STEPS: dict[str, Step] = {
    "TUPLE": lambda m, _: m._stack.append(tuple(m._pop_group())),
    "TUPLE1": _push_tuple(1),
    "TUPLE2": _push_tuple(2),
    "TUPLE3": _push_tuple(3),
    "APPEND": lambda m, _: m._append([m._pop()]),
    "APPENDS": lambda m, _: m._append(m._pop_group()),
    "SETITEM": lambda m, _: m._fill(m._pop_some(2)),
    "SETITEMS": lambda m, _: m._fill(m._pop_group()),
    "GLOBAL": lambda m, arg: m._name(*arg.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m._name(*m._pop_some(2)),
    "REDUCE": lambda m, _: m._call(),
    "NEWOBJ": lambda m, _: m._call(),
    "BUILD": lambda m, _: m._build(),
    "MEMOIZE": PickleMachine._keep,
    "BINPUT": PickleMachine._keep,
    "LONG_BINPUT": PickleMachine._keep,
    "BINGET": lambda m, arg: m._stack.append(m._memo[arg]),
    "LONG_BINGET": lambda m, arg: m._stack.append(m._memo[arg]),
}
