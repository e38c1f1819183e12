"""How serious a log line says it is: by its level, else by the words it uses."""

import re
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "info", "debug", "other"]

_LEVEL = re.compile(
    r"(?<![\w.-])(?:(?P<error>FATAL|ERROR|ERR|CRITICAL|CRIT|SEVERE|EMERG|ALERT|PANIC"
    r"|FAILURE|fatal|error|err|critical|crit|severe|emerg|alert|panic|Error|Fatal"
    r"|Critical)"
    r"|(?P<warning>WARN|WARNING|warn|warning|Warn|Warning)"
    r"|(?P<info>INFO|NOTICE|info|notice|Info|Information|Notice)"
    r"|(?P<debug>DEBUG|TRACE|VERBOSE|FINE|FINER|debug|trace|verbose|Debug|Trace"
    r"|Verbose))(?![\w.-])"
)
_LETTER = re.compile(
    r"^(?:[^A-Za-z]{0,40} )?(?:(?P<error>[EF])|(?P<warning>W)|(?P<info>I)"
    r"|(?P<debug>[DV]))(?: [\w$.]+ *:|/[\w$.]|\d{4} |\x02| \x02)"
)
_TROUBLE = re.compile(
    r"(?i)\b(?:fail(?:ed|ure|ures|s|ing)?|\w*exception|\w+error|errors?|fatal|panic(?:ked)?"
    r"|traceback|abort(?:ed|ing)?|den(?:ied|y)|refused|rejected|killed|oom|corrupt(?:ed|ion)?"
    r"|segfault|unreachable|timed? ?out|timeout|invalid|illegal|unexpected|cannot|can't"
    r"|unable|missing|not found|lost|broken|crash(?:ed)?|violation|attack|break-in"
    r"|forbidden|unauthorized|overflow|deadlock|stack ?trace|backtrace|caused by)\b"
    r'|" 5\d\d |\bstatus[=:] ?5\d\d\b'
)
_HEAD = 160
"""Levels stand near the start of a line; further on the words are the message's."""


def severity(text: str) -> Severity:
    """The severity a line states; ``other`` if it states none.

    Trouble words make an unlevelled line a warning.
    """
    head = text[:_HEAD]
    found = _LETTER.match(head) or _LEVEL.search(head)
    if found:
        return found.lastgroup  # type: ignore[return-value]  # the group names are the levels
    return "warning" if _TROUBLE.search(text) else "other"


def has_trouble(text: str) -> bool:
    """Whether the words speak of something gone wrong, whatever the level."""
    return _TROUBLE.search(text) is not None
