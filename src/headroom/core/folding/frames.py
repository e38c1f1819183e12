"""Stack frames: lines that a reader quotes whole, so nothing in them is a hole.

Sources: CPython's ``traceback``, V8's stack trace API, ``Throwable.printStackTrace``,
.NET's ``Exception.ToString``, Go's ``runtime/debug.Stack``, Rust's ``std::backtrace``,
gdb's ``backtrace``, Ruby's ``Exception#full_message``.
"""

import re

_FRAMES = (
    r"\s+(?:at \S|\d+: +(?:0x[0-9a-fA-F]+ - )?[\w<$]|from \S+:\d+:in )"
    r"|\s*(?:File \"[^\"]+\", line \d+|#\d+ +(?:0x[0-9a-fA-F]+ in )?\S+"
    r"|\.\.\. \d+ (?:more|common frames))"
    r"|\t\S+\.(?:go|s):\d+"
    r"|--- End of (?:inner exception )?stack trace"
)
_EXCEPTIONS = (
    r"\s*(?:Caused by: |Suppressed: |Unhandled [Ee]xception|Uncaught |panic: "
    r"|fatal error: "
    r"|Exception in thread |thread '[^']*' panicked at |Traceback \(most recent"
    r"|(?:[A-Za-z_][\w.$]*\.)?(?:[A-Z]\w*)?(?:Error|Exception|Exit|Interrupt|Warning|Fault)\b"
    r"(?: \[\w+\])?(?::|$))"
)
_FRAME = re.compile(_FRAMES)
_EXCEPTION = re.compile(_EXCEPTIONS)
_FIXED = re.compile(rf"(?!\s*#)(?:{_FRAMES}|{_EXCEPTIONS})")


def is_frame(line: str) -> bool:
    """Whether the line is a stack frame, or says how many were left out."""
    return _FRAME.match(line) is not None


def is_fixed(line: str) -> bool:
    """Whether the line is quoted whole; debuggers' frames are full of addresses."""
    return _FIXED.match(line) is not None


def is_exception(line: str) -> bool:
    """Whether the line begins a stack trace or names what was raised."""
    return _EXCEPTION.match(line) is not None
