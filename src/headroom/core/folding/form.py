"""The lossless form of lines, as ``writing`` writes and ``reading`` reads it.

::

    log templates; time syslog
    $a= web1 sshd: Accepted key for ~ from ~
    $b= web1 cron: start ~1
    +~t2 web1 cron: end ~1

    Mar  3 10:00:00 web1 kernel: up
    10:00:07$a root 10.0.0.4
    $a root 10.0.0.5
    $b job-1 10:00:09

The legend gives each template once: ``~`` stands for the next value of a row, ``~2``
for its second. A template of several lines goes on in lines that begin with ``+``;
``~t2`` is the time, the clock being the row's second value. A row is its time if it has
changed (only the clock if only that), ``$`` and the template, ``×n`` if it stands n
times, the values. A row without ``$`` is a source line as it was; ``×9 of 2 rows`` says
that the two rows above stand nine times. Lines of a log with times that have none
themselves are marked ``~|`` in the legend, and ``|`` in rows that could be mistaken.
"""

import re
from functools import cache

from headroom.core.folding.times import Notation, lead_pattern

MAX_PERIOD = 16
"""Longest loop of rows, in rows."""

UNTIMED = "~|"
_CODE = r"\$(?P<code>[A-Za-z]+)(?:×(?P<times>\d{1,9}))?(?: |$)"


class FormError(ValueError):
    """The text is not a lossless form of lines."""


@cache
def coded_row(times: str) -> re.Pattern[str]:
    """A row with a template, in lines with that notation of times (or none).

    Groups 1 to 3 are a full time, or 4 its clock.
    """
    return re.compile((lead_pattern(times) + "?" if times else "((?!))?" * 4) + _CODE)


def header(name: str) -> str:
    """How the forms of lines of that name begin."""
    return f"{name} templates"


def header_line(name: str, times: Notation | None) -> str:
    """The first line of a form of lines with such times."""
    if times is None:
        return header(name)
    return f"{header(name)}; time {times.name}" + (
        "" if times.is_leading else " inside"
    )
