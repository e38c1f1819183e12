"""Writes the reference pages of settings and metrics, from their own descriptions.

    python scripts/make_reference.py [--check]

``--check`` writes nothing and ends with status 1 if a page is not up to date.
"""

import sys
from pathlib import Path

from headroom.broker.metrics import COUNTERS as BROKER_COUNTERS
from headroom.proxy.metrics import (
    ADDED,
    ADDED_DESCRIPTION,
    BEDROCK_LATENCY,
    BEDROCK_LATENCY_DESCRIPTION,
    COUNTERS,
    IN_FLIGHT,
    IN_FLIGHT_DESCRIPTION,
    LIMITS_DESCRIPTION,
    RATE_LIMITS,
    SHARES,
    WEBSOCKETS,
    WEBSOCKETS_DESCRIPTION,
)
from headroom.settings import SETTINGS, Setting, flag_name

PAGES = Path(__file__).parent.parent / "docs" / "reference"

METRICS_HEADER = """# Metrics

Made by `scripts/make_reference.py` from `headroom/proxy/metrics.py`; those of
`headroom broker` stand in `headroom/broker/metrics.py`.

`/metrics` serves them in the Prometheus text format; with several workers, their sum.
Labels come from bounded sets. Alert on `headroom_prefix_breaks_total` and
`proxy_passthrough_bytes_modified_total`: both must stay 0.

| metric | kind | labels | what |
|---|---|---|---|
"""

HEADER = """# Settings

Made by `scripts/make_reference.py`; descriptions stand in `headroom/settings/tree.py`.

A value comes from the first of: a flag of `headroom proxy`, an environment variable,
the TOML file (the one named by `HEADROOM_CONFIG`, else `headroom.toml` in the user's
configuration directory), the default. Words are trimmed and may be in any case; an
empty variable is unset. A bad value ends the program with status 78 and a message that
names it. `headroom config` prints what is set and by whom.
`HEADROOM_PROXY_LISTEN=host:port` sets host and port at once.
"""


def settings_page() -> str:
    """The page of all settings."""
    parts = [HEADER]
    group = None
    for setting in SETTINGS.values():
        name = setting.path.rpartition(".")[0]
        if name != group:
            group = name
            title = f"[{name}]" if name else "Top level"
            parts.append(f"\n## {title}\n")
        parts.append(entry(setting))
    return "\n".join(parts)


def entry(setting: Setting) -> str:
    """One setting."""
    name = setting.path.rpartition(".")[2]
    default = setting.shown(setting.default) or "(empty)"
    unit = f" {setting.unit}" if setting.unit else ""
    variables = ", ".join(f"`{variable}`" for variable in setting.env)
    flag = flag_name(setting)
    if setting.type is bool:
        flag = f"{flag}`, `--no-{flag[2:]}"
    return (
        f"**`{name}`** — {setting.description}  \n"
        f"{variables} · `{flag}` · {setting.allowed()} · default `{default}`{unit}\n"
    )


def metrics_page() -> str:
    """The page of all metrics."""
    rows = [
        (f"{name}_total", "counter", labels, description)
        for name, (description, labels) in {**COUNTERS, **BROKER_COUNTERS}.items()
    ]
    rows += [
        (ADDED, "histogram, seconds", ("route",), ADDED_DESCRIPTION),
        (
            BEDROCK_LATENCY,
            "histogram, seconds",
            ("model", "region"),
            BEDROCK_LATENCY_DESCRIPTION,
        ),
        *(
            (name, "histogram", labels, description)
            for name, (description, labels, _) in SHARES.items()
        ),
        (IN_FLIGHT, "gauge", (), IN_FLIGHT_DESCRIPTION),
        (WEBSOCKETS, "gauge", (), WEBSOCKETS_DESCRIPTION),
        *(
            (
                name,
                "gauge",
                ("provider",),
                LIMITS_DESCRIPTION.format(kind.replace("_", " ")),
            )
            for kind, name in RATE_LIMITS.items()
        ),
    ]
    lines = [
        f"| `{name}` | {kind} | {', '.join(labels)} | {description} |"
        for name, kind, labels, description in rows
    ]
    return METRICS_HEADER + "\n".join(lines) + "\n"


def main() -> int:
    """Write or check the pages."""
    pages = {"settings.md": settings_page(), "metrics.md": metrics_page()}
    if "--check" in sys.argv[1:]:
        found = {name: (PAGES / name).read_text("utf-8") for name in pages}
        return 0 if found == pages else 1
    for name, text in pages.items():
        (PAGES / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
