"""Every setting of Headroom: one tree, read once at start-up, never changed after.

A value comes from the first of: a command line flag, the environment, the TOML file
(``HEADROOM_CONFIG``, else ``headroom.toml`` in the user's configuration directory), the
default. Only this package reads the environment.

What always holds: a tree that was returned is complete and valid. A bad value raises a
``ConfigError`` that names the setting as the user spelled it, the value, and what is
allowed. Words of a choice are trimmed and case-folded; an empty variable is unset.

Each field carries its unit and description: command line options, ``headroom config``
and the reference page (``scripts/make_reference.py``) are made from them.
"""

from headroom.settings.reading import (
    SETTINGS,
    Loaded,
    Setting,
    environment,
    flag_name,
    is_loopback,
    load,
    parse,
    value_of,
)
from headroom.settings.tree import (
    AuthSettings,
    CloudSettings,
    CompressionMode,
    CompressionSettings,
    LogSettings,
    MemorySettings,
    ProxySettings,
    Settings,
    StoreSettings,
    Switch,
    UpstreamSettings,
    policy_of,
)

__all__ = [
    "SETTINGS",
    "AuthSettings",
    "CloudSettings",
    "CompressionMode",
    "CompressionSettings",
    "Loaded",
    "LogSettings",
    "MemorySettings",
    "ProxySettings",
    "Setting",
    "Settings",
    "StoreSettings",
    "Switch",
    "UpstreamSettings",
    "environment",
    "flag_name",
    "is_loopback",
    "load",
    "parse",
    "policy_of",
    "value_of",
]
