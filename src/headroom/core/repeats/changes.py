"""What differs between two JSON values, by paths, and the changes made again.

``payments[1].amount`` is a member of an element, ``payments[1+]`` what follows from
there on, ``payments[2=1].amount`` a member of a new element that is as element 1
otherwise.
"""

import re

from headroom.core.compressors.json_table.parse import Value

MAX_DEPTH = 8
"""Differences further down are told by the value above them."""

MAX_CHANGE = 0.7
"""Of a value: what changes in more of it is given whole."""

MAX_ALIKE = 8
"""New elements of one list that are compared with others of it."""

COPY_CHARS = 8
"""What it is worth that a reader has no other element to look up."""

WHOLE = ""
"""The path of a change that leaves nothing in common."""

_NAME = re.compile(r"[^.\[\]()\s][^.\[\]()]*")
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)(?:=(\d+)|\+)?\]")


class Changes:
    """What differs, by path; a change without a path is the whole."""

    def __init__(self) -> None:
        self.given: dict[str, Value] = {}
        self.gone: list[str] = []
        self.chars = 0

    def give(self, path: str, value: Value) -> None:
        """A value is another one here, or only here."""
        self.given[path] = value
        self.chars += len(path) + size(value) + 4

    def drop(self, path: str) -> None:
        """A value is only there."""
        self.gone.append(path)
        self.chars += len(path) + 3

    def add(self, more: "Changes") -> None:
        """Take the changes inside of a value."""
        self.given |= more.given
        self.gone += more.gone
        self.chars += more.chars


def size(value: Value) -> int:
    """About the characters of a value; a measure that costs little."""
    return len(repr(value))


def compare(old: Value, new: Value, path: str, changes: Changes) -> None:
    """Collect what differs between two values that stand at one path."""
    if old == new:  # but for the order of keys, which is seen at the end
        return
    inside: Changes | None = None
    if path.count(".") + path.count("[") < MAX_DEPTH:
        if isinstance(old, dict) and isinstance(new, dict):
            inside = _compare_members(old, new, path)
        elif isinstance(old, list) and isinstance(new, list):
            inside = _compare_elements(old, new, path)
    if inside is None or (path and inside.chars > MAX_CHANGE * size(new)):
        changes.give(path, new)
    else:
        changes.add(inside)


def _compare_members(
    old: dict[str, Value], new: dict[str, Value], path: str
) -> Changes | None:
    """Changes inside an object; ``None`` if a path could not tell them in order."""
    order = [key for key in old if key in new] + [key for key in new if key not in old]
    if list(new) != order or not all(_NAME.fullmatch(key) for key in (*old, *new)):
        return None
    found = Changes()
    for key, value in new.items():
        below = f"{path}.{key}" if path else key
        if key in old:
            compare(old[key], value, below, found)
        else:
            found.give(below, value)
    for key in old:
        if key not in new:
            found.drop(f"{path}.{key}" if path else key)
    return found


def _compare_elements(old: list[Value], new: list[Value], path: str) -> Changes:
    found = Changes()
    for index, (before, after) in enumerate(zip(old, new, strict=False)):
        compare(before, after, f"{path}[{index}]", found)
    if len(old) > len(new):
        found.drop(f"{path}[{len(new)}+]")
    for index in range(len(old), len(new)):
        inside = _as_another(new, index, path) if index < len(old) + MAX_ALIKE else None
        if inside is None:
            rest = new[index:]
            if len(rest) == 1:
                found.give(f"{path}[{index}]", rest[0])
            else:
                found.give(f"{path}[{index}+]", rest)
            break
        found.add(inside)
    return found


def _as_another(values: list[Value], index: int, path: str) -> Changes | None:
    """How an element differs from one before it, if it is much like that."""
    value = values[index]
    if not isinstance(value, dict):
        return None
    for other in dict.fromkeys((index - 1, 0)):
        if not 0 <= other < index:
            continue
        place = f"{path}[{index}]"
        inside = Changes()
        compare(values[other], value, place, inside)
        if inside.gone or not inside.given or place in inside.given:
            continue
        if inside.chars + COPY_CHARS <= MAX_CHANGE * size(value):
            first, *others = inside.given
            copied = f"{path}[{index}={other}]{first[len(place) :]}"
            given = {copied: inside.given[first]}
            inside.given = given | {one: inside.given[one] for one in others}
            return inside
    return None


def apply(old: Value, changes: Changes) -> Value:
    """The value with the changes made; the old one is not touched.

    Raises:
        ValueError: a path leads nowhere.
    """
    root = _copy(old)
    try:
        for path in changes.gone:
            holder, step = _holder(root, path)
            if isinstance(holder, dict):
                del holder[step]
            elif isinstance(holder, list):
                del holder[int(step) :]
        for path, value in changes.given.items():
            holder, step = _holder(root, path)
            if isinstance(holder, dict):
                holder[step] = value
            elif isinstance(holder, list):
                _set(holder, path, int(step), value)
    except LookupError as error:
        raise ValueError("a path leads nowhere") from error
    return root


def _set(holder: list[Value], path: str, index: int, value: Value) -> None:
    if path.endswith("+]"):
        holder[index:] = value if isinstance(value, list) else []
    elif index == len(holder):
        holder.append(value)
    else:
        holder[index] = value


def _holder(root: Value, path: str) -> tuple[Value, str]:
    """What holds the last step of a path, and that step."""
    steps = [
        (match[1] or match[2], match[1] is None, match[3])
        for match in _STEP.finditer(path)
    ]
    if not steps:
        raise ValueError("a path without steps")
    value = root
    for step, is_index, other in steps[:-1]:
        if isinstance(value, dict):
            value = value[step]
        elif isinstance(value, list) and is_index:
            if other is not None and int(step) == len(value):
                value.append(_copy(value[int(other)]))
            value = value[int(step)]
    last, is_index, _ = steps[-1]
    if isinstance(value, list) and not is_index:
        raise ValueError("a list has no members")
    return value, last


def _copy(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _copy(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_copy(one) for one in value]
    return value
