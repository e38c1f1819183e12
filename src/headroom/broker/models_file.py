"""The file of models: who may call, what they may ask for, and which backends answer.

YAML; or JSON or TOML, if its name says so. Keys never stand in it, only names of
environment variables and hashes. What always holds: a file that was read is complete
and known to the last member; else a ``ConfigError`` says where and why, and repeats no
value of a member that might hold a key.
"""

import tomllib
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import yaml
from msgspec import Meta, Struct

from headroom.errors import ConfigError

MAX_FILE_BYTES = 1024 * 1024

Api: TypeAlias = Literal["openai", "anthropic", "gemini"]
Period: TypeAlias = Literal["day", "month", "total"]
_Variable: TypeAlias = Annotated[str, Meta(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")]
_Name: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
_Positive: TypeAlias = Annotated[int, Meta(ge=1)]
_Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86_400)]
_Url: TypeAlias = Annotated[str, Meta(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")]
_Digest: TypeAlias = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$")]


class _Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the file: a member that nobody knows is an error."""


class Limits(_Entry, frozen=True, kw_only=True):
    """How much may be used; ``None``: as much as one likes.

    Attributes:
        requests_per_minute: in a row at once, then so many a minute.
        tokens_per_minute: the same of tokens that providers bill, cached ones included.
        budget_tokens: tokens in one period.
        budget_usd: cost in one period, by the table of prices.
        budget_period: a day or month in UTC, or all time.
    """

    requests_per_minute: _Positive | None = None
    tokens_per_minute: _Positive | None = None
    budget_tokens: _Positive | None = None
    budget_usd: Annotated[float, Meta(gt=0)] | None = None
    budget_period: Period = "day"


class Key(_Entry, frozen=True, kw_only=True):
    """Who may call.

    Attributes:
        name: in logs and metrics; also separates conversations and originals.
        key_env: the environment variable that holds the key.
        key_sha256: or the key's SHA-256, in hex.
        models: what may be asked for, ``gpt-*`` for a beginning; empty: everything.
        limits: of everything under this key.
    """

    name: _Name
    key_env: _Variable = ""
    key_sha256: _Digest = ""
    models: tuple[str, ...] = ()
    limits: Limits = Limits()


class Backend(_Entry, frozen=True, kw_only=True):
    """Where requests can go.

    Attributes:
        api: whose API it speaks; decides about paths and credentials.
        base_url: with or without a version at its end.
        key_env: the environment variable that holds its key; empty: it needs none.
        serves_messages: a backend of OpenAI's API that has ``/v1/messages``, too.
        headers: sent with every request.
        attribution: headers that say for whom; ``{key}``, ``{model}`` and
            ``{request_id}`` stand for the caller, the model and the request.
        connect_timeout_s: time to reach it.
        timeout_s: its longest silence, before and inside an answer.
        open_after: failures in a row after which it is left alone.
        open_s: for so long, then one request tries it.
    """

    api: Api = "openai"
    base_url: _Url
    key_env: _Variable = ""
    serves_messages: bool = False
    headers: dict[str, str] = {}
    attribution: dict[str, str] = {}
    connect_timeout_s: _Seconds = 5.0
    timeout_s: _Seconds = 600.0
    open_after: _Positive = 5
    open_s: _Seconds = 10.0


class Target(_Entry, frozen=True, kw_only=True):
    """One backend of a model.

    Attributes:
        backend: its name.
        model: the model's name there; empty: as asked for.
        weight: its share of the conversations.
    """

    backend: str
    model: str = ""
    weight: Annotated[float, Meta(gt=0, le=1_000_000)] = 1.0


class Model(_Entry, frozen=True, kw_only=True):
    """What can be asked for; a name that ends in ``*`` stands for all that begin so.

    Attributes:
        backends: share its conversations by weight.
        fallbacks: asked in this order when none of them answers.
        aliases: further names.
        limits: of all requests for it.
    """

    backends: Annotated[tuple[Target, ...], Meta(min_length=1)]
    fallbacks: tuple[Target, ...] = ()
    aliases: tuple[str, ...] = ()
    limits: Limits = Limits()


class Retries(_Entry, frozen=True, kw_only=True):
    """How often is asked again, before any answer has begun.

    Attributes:
        rounds: how often all backends are asked once more.
        wait_s: before the first of them, at most; doubled for each further one.
        max_wait_s: never longer; a provider that asks for more gets its answer told.
    """

    rounds: Annotated[int, Meta(ge=0, le=10)] = 2
    wait_s: _Seconds = 0.25
    max_wait_s: _Seconds = 5.0


class ModelsFile(_Entry, frozen=True, kw_only=True):
    """The whole file.

    Attributes:
        compression_enabled: texts of requests are compressed losslessly.
        compression_lossy: parts may be left out, too, of what users paste as well; the
            originals are kept and served under ``/v1/retrieve``.
        default_backend: for requests that name no model (files, batches); empty: they
            are refused.
        attribution: as a backend's, for all of them.
        retries: what happens when backends fail.
        keys: who may call; empty: whoever reaches the address.
        backends: by name.
        models: by name.
    """

    compression_enabled: bool = False
    compression_lossy: bool = False
    default_backend: str = ""
    attribution: dict[str, str] = {}
    retries: Retries = Retries()
    keys: tuple[Key, ...] = ()
    backends: Annotated[dict[_Name, Backend], Meta(min_length=1)]
    models: Annotated[dict[str, Model], Meta(min_length=1)]


def read(path: Path) -> ModelsFile:
    """The file under a path.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    return parse(data, str(path))


def parse(data: bytes, name: str) -> ModelsFile:
    """The file with these bytes.

    Args:
        data: YAML, or JSON or TOML if the name ends so.
        name: for messages.

    Raises:
        ConfigError: something is wrong; says where.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{name}: longer than {MAX_FILE_BYTES} bytes")
    try:
        text = data.decode()
        found: object
        if name.endswith(".toml"):
            found = tomllib.loads(text)
        elif name.endswith(".json"):
            found = msgspec.json.decode(text)
        else:
            found = yaml.load(text, _Loader)  # noqa: S506 - of its own safe kind
        return msgspec.convert(found, ModelsFile)
    except ValueError as error:  # of UTF-8, TOML, JSON, and of the file's shape
        raise ConfigError(f"{name}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError) as error:
        # What YAML's reader says of values that are not of the type they are tagged.
        raise ConfigError(f"{name}: a value is not what its tag says") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: {_problem(error)}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: nested too deeply") from error


class _Loader(yaml.SafeLoader):
    """Plain values only, and no member twice: the later would win silently."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, Any]:  # YAML's values are of any type
        """A mapping whose keys differ."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value!r} stands twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _problem(error: yaml.YAMLError) -> str:
    """What and where, without the line itself: it may hold a key."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "not YAML"
    mark = error.problem_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
