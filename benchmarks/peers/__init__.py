"""Other compressors, measured from outside: each a command in its own environment.

A peer is any command that speaks JSON lines on standard input and output; what it
imports, and in which language it is written, is its own affair.

1. When it is ready it writes one line that introduces it::

       {"name": "headroom-ai", "version": "0.42.0", "kinds": ["json"], "note": "…"}

   ``name`` and ``version`` are what the report calls it. ``kinds`` (optional) names the
   only kinds of text it is made for; ``note`` (optional) is printed with the figures.
2. It reads one request per line, ``{"id": 7, "text": "…"}``, and answers each before it
   reads the next with ``{"id": 7, "text": "…", "seconds": 0.0021}``: the text that it
   would send to a model in place of the one it got, and how long it took, reading and
   writing of lines aside (``cpu_seconds`` optional). Or it says ``{"id": 7, "error":
   "why"}``, and the text counts as left as it was.
3. It exits when its standard input ends.

Standard error is free for messages. A peer that dies, hangs, or answers anything else
is ended, the text counts as left as it was, and it is started and warmed again for the
next one.

``answering.serve`` does the peer's side in Python, with the standard library alone. It
is run by the peer's own interpreter; so are the drivers (``with_*.py``), which use
nothing but what the peer documents for its users.
"""

from pathlib import Path

FOLDER = Path(__file__).parent

DRIVERS = {
    "headroom-ai": FOLDER / "with_headroom_ai.py",
    "toon-format": FOLDER / "with_toon_format.py",
}
"""By the name of the distribution that must be in the peer's environment."""

OURSELVES = FOLDER / "with_this_project.py"
