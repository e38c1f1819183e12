"""Writes the reference page of all settings, from the settings themselves.

    python scripts/make_reference.py [--check]

``--check`` writes nothing and ends with status 1 if the page is not up to date.
"""

import sys
from pathlib import Path

from headroom.settings import SETTINGS, Setting, flag_name

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"

HEADER = """# Settings

Made by `scripts/make_reference.py`; descriptions stand in `headroom/settings/tree.py`.

A value comes from the first of: a flag of `headroom proxy`, an environment variable,
the TOML file (the one named by `HEADROOM_CONFIG`, else `headroom.toml` in the user's
configuration directory), the default. Words are trimmed and may be in any case; an
empty variable is unset. A bad value ends the program with status 78 and a message that
names it. `headroom config` prints what is set and by whom.
`HEADROOM_PROXY_LISTEN=host:port` sets host and port at once.
"""


def page() -> str:
    """The whole page."""
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


def main() -> int:
    """Write or check the page."""
    text = page()
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text("utf-8") == text else 1
    PAGE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
