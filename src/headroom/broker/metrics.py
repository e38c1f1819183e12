"""The broker's own figures, beside the proxy's; labels are names out of the file."""

from collections.abc import Mapping

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "headroom_broker_attempts": (
        "Requests sent to backends, by status; `no_answer` where none came.",
        ("backend", "outcome"),
    ),
    "headroom_broker_passed_over": (
        "Requests that a backend failed and that were sent on or again.",
        ("backend",),
    ),
    "headroom_broker_requests": (
        "Requests answered, by who asked for what.",
        ("key", "model", "status"),
    ),
    "headroom_broker_tokens": (
        "Tokens that backends billed.",
        ("key", "model", "class"),
    ),
    "headroom_broker_refusals": (
        "Requests refused before any backend was asked.",
        ("reason",),
    ),
    "headroom_broker_unbilled": (
        "Answers without figures; limits counted an estimate.",
        ("backend",),
    ),
    "headroom_broker_reloads": (
        "Readings of the file of models after the first.",
        ("outcome",),
    ),
}
"""Name → what it counts, and its labels; ``_total`` is added."""
