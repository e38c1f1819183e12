"""How serious a log line is: the level it states, and the words of trouble it uses."""

import re

LEVELS = ("error", "warning", "info", "debug")

_STATED = {
    word: name
    for name, words in {
        "error": "FATAL ERROR ERR CRITICAL CRIT SEVERE EMERG ALERT PANIC FAILURE fatal"
        " error err critical crit severe emerg alert panic Error Fatal Critical",
        "warning": "WARN WARNING warn warning Warn Warning",
        "info": "INFO NOTICE info notice Info Information Notice",
        "debug": "DEBUG TRACE VERBOSE FINE FINER debug trace verbose Debug Trace"
        " Verbose",
    }.items()
    for word in words.split()
}
_PARTS = (
    "err", "warn", "info", "debug", "notice", "trace", "fatal", "crit", "severe",
    "emerg", "alert", "panic", "fail", "verbose", "fine",
)  # fmt: skip
"""One of these is in every word for a level, in lower case."""

_WORD = re.compile(r"[\w.-]+")
"""A level is a whole word by this: no part of a name, a file's or a host's."""

# logcat's `E Tag:`, glog's `E0311` (its date is cut out), brief logcat's `E/Tag`.
_LETTER = re.compile(
    r"[^A-Za-z]{0,40}(?:(?P<error>[EF])|(?P<warning>W)|(?P<info>I)|(?P<debug>[DV]))"
    r"(?= \S+ *:|/[\w$.]|\d{4} | \x02)"
)
TROUBLE = (
    "error", "fail", "fatal", "exception", "panic", "denied", "deny", "refus", "reject",
    "timeout", "timed out", "time out", "critical", "crash", "invalid", "illegal",
    "disput", "chargeback", "declin", "unhealthy", "unreachable", "not found", "killed",
    "abort", "unauthor", "forbidden", "evict", "degraded", "exceed", "exhaust",
    "unavailable", "corrupt", "segfault", "traceback", "overflow", "deadlock",
    "no such", "throttl", "violat", "expired", "mismatch",
)  # fmt: skip
"""Parts of words that speak of trouble in data, in lower case."""

_TROUBLE = (
    *TROUBLE,
    "unexpected", "backtrace", " oom", "kill", "unable", "missing", "lost", "broken",
    "attack", "break-in", "caused by", "cannot", "can't", "could not", "unknown",
    "conflict", "retry", "out of ", "disconnect",
)  # fmt: skip
"""Those of messages. No list of such words can be complete: what is rare is kept for
being rare."""
_SERVER_ERROR = re.compile(r'" 5\d\d |\bstatus[=:] ?5\d\d\b')
_HEAD = 120
"""Levels stand near the start of a line; further on the words are the message's."""


def level(text: str) -> str:
    """The level a line states, one of ``LEVELS``; empty if it states none."""
    head = text[:_HEAD]
    found = _LETTER.match(head)
    if found is not None:
        return found.lastgroup or ""
    lower = head.lower()
    for part in _PARTS:
        if part in lower:
            break
    else:
        return ""
    words = _WORD.findall(head)
    if _STATED.keys().isdisjoint(words):
        return ""
    return next(_STATED[word] for word in words if word in _STATED)


def has_trouble(text: str) -> bool:
    """Whether the words speak of something gone wrong, whatever the level."""
    lower = text.lower()
    for word in _TROUBLE:  # a loop, as a generator would take twice as long
        if word in lower:
            return True
    may_be = '" 5' in text or "status" in text
    return may_be and _SERVER_ERROR.search(text) is not None


def is_serious(text: str) -> bool:
    """An error by its level, or trouble in a line of no level or a warning."""
    stated = level(text)
    return stated == "error" or (stated in {"", "warning"} and has_trouble(text))
