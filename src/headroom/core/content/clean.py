"""What a terminal would not show: colours, overwritten progress, blanks at line ends.

Cleaning changes no character that is visible: escape sequences of ECMA-48 go (colours,
cursor moves, window titles), of a line that was written over with carriage returns the
last state stays, struck-over letters (``man``) stand once, and blanks at the ends of
lines go. Line ends of two characters stay as they are. Where blanks count (diffs) or
text may have to be quoted (numbered views of files) the ends of lines are not touched.

What always holds: cleaning twice changes nothing; the work is linear.
"""

import re

from headroom.core.content.gutter import is_numbered

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[()#][0-9A-Za-z]"
    r"|[=>78cDEHMNOZ])"
)
_STRUCK_OVER = re.compile(r"_\x08(?=[^\n\x08])|([^\n\x08])\x08(?=\1)")
_LINE_END = re.compile(r"(?<![ \t])[ \t]+(?=\r?\n|\Z)")
_DIFF = re.compile(r"^(?:@@ -|diff --git |--- \S)", re.MULTILINE)
_PASSES = 3


def is_clean(text: str) -> bool:
    """Whether cleaning would leave the text as it is, as far as a glance tells."""
    # One character at a time first: the search for two is several times as slow.
    if "\x1b" in text or "\x08" in text or text[-1:] in {" ", "\t"}:
        return False
    if "\r" in text and (" \r\n" in text or text.count("\r") != text.count("\r\n")):
        return False
    return " \n" not in text and ("\t" not in text or "\t\n" not in text)


def clean(text: str) -> str:
    """The text as a terminal shows it in the end."""
    if is_clean(text):
        return text
    cleaned = text
    for _ in range(_PASSES):
        before = cleaned
        cleaned = _once(before)
        if cleaned == before:
            return cleaned
    # Sequences that come out of sequences are nothing a terminal was meant to show.
    return text


def _once(text: str) -> str:
    keeps_blanks = bool(_DIFF.search(text)) or is_numbered(text[:4096].split("\n"))
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    if "\x08" in text:
        text = _STRUCK_OVER.sub("", text)
    if text.count("\r") != text.count("\r\n"):
        text = "\n".join(map(_last_state, text.split("\n")))
    return text if keeps_blanks else _LINE_END.sub("", text)


def _last_state(line: str) -> str:
    """What stands in a line after all that was written over it.

    A later, shorter writing leaves the rest of the earlier one on screen; programs pad
    or erase it, so the last writing that says something is taken alone.
    """
    if "\r" not in line:
        return line
    end = "\r" if line.endswith("\r") else ""
    states = [state for state in line.split("\r") if state.strip()]
    return (states[-1] if states else "") + end
