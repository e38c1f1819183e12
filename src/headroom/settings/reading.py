"""From flags, environment and file to the tree of settings; see the package.

The only module that reads the environment.
"""

import ipaddress
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin
from typing import get_type_hints as type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from headroom.core.types import KINDS
from headroom.errors import ConfigError
from headroom.settings.tree import Settings

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_MASK = "********"
_STORE_SCHEMES = frozenset(
    {"memory", "sqlite", "redis", "rediss", "redis+cluster", "rediss+cluster"}
)
_LISTEN = "HEADROOM_PROXY_LISTEN"
_CONFIG = "HEADROOM_CONFIG"


class Setting(Struct, frozen=True):
    """One field, described.

    Attributes:
        path: where it is in the tree and in the TOML file: ``proxy.port``.
        env: the variables that set it, the one with most say first.
        annotation: its type with the bounds.
        is_secret: never printed.
        shape: what a text must look like, in words; empty: it may be any.
    """

    path: str
    env: tuple[str, ...]
    annotation: Any  # a typing construct, as type_hints returns it
    default: Any
    unit: str
    description: str
    is_secret: bool
    is_url: bool
    is_store: bool
    shape: str = ""

    @property
    def type(self) -> Any:
        """The type without its annotations."""
        return get_args(self.annotation)[0]

    @property
    def bounds(self) -> Meta:
        """The limits of a number."""
        meta: Meta = get_args(self.annotation)[1]
        return meta

    @property
    def choices(self) -> tuple[str, ...]:
        """The words allowed, if it is one of a few."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    def allowed(self) -> str:
        """What a valid value is, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.type is bool:
            return "true or false"
        if self.type in {int, float}:
            kind = "an integer" if self.type is int else "a number"
            if self.bounds.le is not None:
                return f"{kind} from {self.bounds.ge} to {self.bounds.le}"
            return f"{kind} of at least {self.bounds.ge}"
        if self.is_url:
            return "an http or https URL without credentials, query and fragment"
        if self.is_store:
            return "sqlite:///path, memory:// or redis://host"
        if get_origin(self.type) is dict:
            return f"kind=bytes, … with a kind out of {', '.join(KINDS)}"
        if get_origin(self.type) is tuple:
            return "words separated by commas"
        return self.shape or "text"

    def shown(self, value: Any) -> str:
        """The value as a user would write it; secrets masked."""
        if self.is_secret:
            return _MASK if value else ""
        if self.is_store and "@" in value:
            scheme, _, rest = value.partition("://")
            return f"{scheme}://{_MASK}@{rest.rpartition('@')[2]}"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, dict):
            return ",".join(f"{name}={number}" for name, number in value.items())
        if isinstance(value, tuple):
            return ",".join(value)
        return str(value)


class Loaded(Struct, frozen=True):
    """Settings and where each came from.

    Attributes:
        sources: by path: the flag, the variable, the file's name, or ``default``.
    """

    settings: Settings
    sources: dict[str, str]

    def value(self, setting: Setting) -> Any:
        """The value of one setting."""
        return value_of(self.settings, setting.path)


def _spec(path: str, annotation: Any, default: Any) -> Setting:
    meta: Meta = get_args(annotation)[1]
    extra = meta.extra or {}
    variable = "HEADROOM_" + path.replace(".", "_").upper()
    return Setting(
        path=path,
        env=extra.get("env", (variable,)),
        annotation=annotation,
        default=default,
        unit=extra["unit"],
        description=meta.description or "",
        is_secret=extra.get("is_secret", False),
        is_url=extra.get("is_url", False),
        is_store=extra.get("is_store", False),
        shape=extra.get("shape", ""),
    )


def _all_settings() -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    defaults = Settings()
    for name, annotation in type_hints(Settings, include_extras=True).items():
        if not isinstance(annotation, type):
            found[name] = _spec(name, annotation, getattr(defaults, name))
            continue
        group = getattr(defaults, name)
        for field, inner in type_hints(annotation, include_extras=True).items():
            path = f"{name}.{field}"
            found[path] = _spec(path, inner, getattr(group, field))
    return found


SETTINGS: dict[str, Setting] = _all_settings()
"""Every setting by its path, in the order of the tree."""


def load(
    flags: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> Loaded:
    """Read all settings.

    Args:
        flags: values of command line flags by setting path, as the user typed them.
        environ: the environment; ``None`` means this process's own, and an empty one
            means empty.

    Raises:
        ConfigError: a value, a variable or the file is unusable.
    """
    env = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    sources = dict.fromkeys(SETTINGS, "default")
    path, from_file = _read_file(env)
    for name, raw in from_file.items():
        values[name] = parse(SETTINGS[name], raw, f"{name} in {path}")
        sources[name] = str(path)
    for name, (variable, text) in _from_environment(env).items():
        values[name] = parse(SETTINGS[name], text, variable)
        sources[name] = variable
    for name, text in (flags or {}).items():
        flag = flag_name(SETTINGS[name])
        values[name] = parse(SETTINGS[name], text, flag)
        sources[name] = flag
    if not values.get("data_dir"):
        values["data_dir"] = str(_user_dir(env, "XDG_DATA_HOME", ".local/share"))
    values["data_dir"] = str(Path(values["data_dir"]).expanduser().absolute())
    return Loaded(_tree(values), sources)


def environment() -> Mapping[str, str]:
    """This process's environment, for keys that a file refers to by variable."""
    return os.environ


def flag_name(setting: Setting) -> str:
    """The command line flag of a setting: its first variable, without the prefix."""
    name = setting.env[0].removeprefix("HEADROOM_").removeprefix("PROXY_")
    return "--" + name.replace("_", "-").lower()


def parse(setting: Setting, raw: Any, name: str) -> Any:
    """The value that ``raw`` means.

    Args:
        setting: what it is for.
        raw: text, or a value of a TOML file.
        name: how the user called it, for the message.

    Raises:
        ConfigError: it is no valid value.
    """
    try:
        value = _from_text(setting, raw.strip()) if isinstance(raw, str) else raw
        if setting.type is float and type(value) is int:
            value = float(value)
        value = msgspec.convert(value, setting.annotation)
        _check(setting, value)
    except (ValueError, msgspec.ValidationError) as error:
        may_hold_secret = setting.is_secret or "@" in str(raw)
        shown = _MASK if may_hold_secret else repr(raw)
        raise ConfigError(
            f"{name}: expected {setting.allowed()}, found {shown}"
        ) from error
    return value


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


MAX_NUMBER = 1e9
"""Beyond any time or size that means something; keeps infinity out."""


def _from_text(setting: Setting, text: str) -> Any:
    kind = setting.type
    if setting.choices:
        return text.casefold()
    if kind is bool:
        word = text.casefold()
        if word not in _TRUE | _FALSE:
            raise ValueError(word)
        return word in _TRUE
    if kind in {int, float}:
        return kind(text)
    if get_origin(kind) is tuple:
        return [word.strip() for word in text.split(",") if word.strip()]
    if get_origin(kind) is dict:
        pairs = [pair.split("=", 1) for pair in text.split(",") if pair.strip()]
        return {name.strip().casefold(): int(number) for name, number in pairs}
    return text.rstrip("/") if setting.is_url else text


def _check(setting: Setting, value: Any) -> None:
    """Raise ``ValueError`` for what the type cannot say."""
    if setting.type is float and not value <= MAX_NUMBER:
        raise ValueError(value)
    if isinstance(value, str) and not value.isprintable():
        raise ValueError(value)
    if setting.is_url and (" " in value or "%00" in value):
        raise ValueError(value)
    if setting.is_url:
        parts = urlsplit(value)
        is_plain = not (parts.username or parts.password or parts.query)
        is_web = parts.scheme in {"http", "https"} and bool(parts.hostname)
        if not is_web or not is_plain or parts.fragment or parts.port == 0:
            raise ValueError(value)
    if setting.is_store and value:
        scheme, colon, rest = value.partition("://")
        needs_path = scheme == "sqlite"
        if scheme not in _STORE_SCHEMES or not colon or (needs_path and len(rest) < 2):
            raise ValueError(value)
        if "%00" in rest or (scheme == "memory" and rest):
            raise ValueError(value)
    if get_origin(setting.type) is dict and (
        set(value) - set(KINDS) or min(value.values(), default=0) < 0
    ):
        raise ValueError(value)
    if setting.path == "proxy.host" and not value:
        raise ValueError(value)


def _from_environment(env: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """By path: the variable that sets it and its text."""
    found: dict[str, tuple[str, str]] = {}
    listen = env.get(_LISTEN, "").strip()
    if listen:
        host, colon, port = listen.rpartition(":")
        if not colon or not host or not port.isdecimal():
            raise ConfigError(f"{_LISTEN}: expected host:port, found {listen!r}")
        found["proxy.host"] = (_LISTEN, host.strip("[]"))
        found["proxy.port"] = (_LISTEN, port)
    for setting in SETTINGS.values():
        for variable in setting.env:
            text = env.get(variable, "")
            if text.strip():
                found[setting.path] = (variable, text)
                break
    return found


def _read_file(env: Mapping[str, str]) -> tuple[Path, dict[str, Any]]:
    """The TOML file's values by path; the default file may be missing."""
    given = env.get(_CONFIG, "").strip()
    if given:
        path = Path(given).expanduser()
    else:
        path = _user_dir(env, "XDG_CONFIG_HOME", ".config") / "headroom.toml"
        if not path.is_file():
            return path, {}
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{_CONFIG}: cannot read {path}: {error}") from error
    found: dict[str, Any] = {}
    for name, value in document.items():
        is_group = isinstance(value, dict) and name not in SETTINGS
        for path_name, inner in (
            {f"{name}.{field}": inner for field, inner in value.items()}.items()
            if is_group
            else [(name, value)]
        ):
            if path_name not in SETTINGS:
                known = ", ".join(SETTINGS)
                raise ConfigError(
                    f"{path}: no setting {path_name!r}; expected one of {known}"
                )
            found[path_name] = inner
    return path, found


def _user_dir(env: Mapping[str, str], variable: str, below_home: str) -> Path:
    """The user's directory for Headroom (XDG base directories; on Windows local)."""
    root = env.get(variable, "").strip()
    if not root and sys.platform == "win32":
        root = env.get("LOCALAPPDATA", "").strip()
    if root:
        return Path(root) / "headroom"
    home = env.get("HOME", "").strip()
    return (Path(home) if home else Path.home()) / below_home / "headroom"


def _tree(values: Mapping[str, Any]) -> Settings:
    plain: dict[str, Any] = {}
    for path, value in values.items():
        group, dot, field = path.rpartition(".")
        if dot:
            plain.setdefault(group, {})[field] = value
        else:
            plain[field] = value
    return msgspec.convert(plain, Settings)


def value_of(settings: Settings, path: str) -> Any:
    """The value of the setting at a path of the tree."""
    found: Any = settings
    for name in path.split("."):
        found = getattr(found, name)
    return found
