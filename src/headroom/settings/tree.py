"""The tree of settings: what can be set, its type, default, unit and description."""

from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Meta, Struct

from headroom.core.stabilise import (
    BREAKPOINTS,
    CACHE_KEY,
    SCHEMA_SORT,
    STABILISERS,
    TOOL_COMPACT,
    TOOL_SORT,
)
from headroom.core.types import Policy

Switch: TypeAlias = Literal["enabled", "disabled"]
CompressionMode: TypeAlias = Literal["live_zone", "off"]

_KEY_TAKING_HOSTS = (".openai.com", ".openai.azure.com", ".azure.com")

# Below these sizes a marker and the cost of asking back outweigh what is left out.
_MIN_LOSSY_BYTES = {
    "json": 1024,
    "table": 1024,
    "listing": 1024,
    "log": 512,
    "build": 512,
    "trace": 512,
    "search": 1024,
    "diff": 1024,
    "code": 2048,
    "html": 5120,
    "prose": 5120,
    "mixed": 1024,
}


def about(description: str, unit: str = "", **extra: Any) -> Meta:
    """What is known about a field beside its type; ``extra`` is read by ``reading``."""
    bounds = {
        name: extra.pop(name) for name in ("ge", "le", "pattern") if name in extra
    }
    return Meta(description=description, extra={"unit": unit, **extra}, **bounds)


class ProxySettings(Struct, frozen=True, kw_only=True):
    """The server."""

    host: Annotated[
        str, about("Address to listen on; beyond loopback a token is required.")
    ] = "127.0.0.1"
    port: Annotated[
        int, about("Port to listen on; 0 takes a free one.", ge=0, le=65535)
    ] = 8787
    workers: Annotated[
        int, about("Server processes that share the port.", "processes", ge=1, le=64)
    ] = 1
    token: Annotated[
        str,
        about(
            "Shared secret that requests bring as `x-headroom-token`.", is_secret=True
        ),
    ] = ""
    allowed_hosts: Annotated[
        tuple[str, ...],
        about("Further host names under which Headroom's own endpoints may be called."),
    ] = ()
    compression: Annotated[
        bool, about("Master switch: off, nothing is buffered or looked at.")
    ] = True
    compression_mode: Annotated[
        CompressionMode, about("Which blocks may be compressed.")
    ] = "live_zone"
    reapply: Annotated[
        Switch,
        about("Repeat what was sent before; disabled only to compare with."),
    ] = "enabled"
    cache_control_auto_frozen: Annotated[
        Switch,
        about("Leave marked messages alone; matters only where `reapply` is disabled."),
    ] = "enabled"
    strip_internal_headers: Annotated[
        Switch,
        about(
            "Keep `x-headroom-*` request headers from the provider.",
            env=(
                "HEADROOM_PROXY_STRIP_INTERNAL_HEADERS",
                "HEADROOM_STRIP_INTERNAL_HEADERS",
            ),
        ),
    ] = "enabled"
    beta_header_sticky: Annotated[
        Switch,
        about(
            "Repeat beta words that a session has used, where credentials allow it.",
            env=("HEADROOM_BETA_HEADER_STICKY",),
        ),
    ] = "enabled"
    beta_tracker_max_sessions: Annotated[
        int,
        about(
            "Sessions whose beta words are remembered.",
            "sessions",
            ge=1,
            env=("HEADROOM_BETA_TRACKER_MAX_SESSIONS",),
        ),
    ] = 1000
    enable_responses_streaming: Annotated[
        bool,
        about(
            "Read streams of the Responses API beside their bytes; else they pass"
            " unread, without figures, and nothing is left out of results."
        ),
    ] = True
    enable_conversations_passthrough: Annotated[
        bool, about("Pass `/v1/conversations`; else such requests are refused (404).")
    ] = True
    max_body_bytes: Annotated[
        int,
        about(
            "Larger requests are refused; larger WebSocket messages close theirs.",
            "bytes",
            ge=1,
        ),
    ] = 100_000_000
    compression_max_body_bytes: Annotated[
        int,
        about(
            "Larger bodies stream through unread; 0: as `max_body_bytes`.",
            "bytes",
            ge=0,
        ),
    ] = 0
    body_too_large_status: Annotated[
        int, about("Status of that refusal.", "HTTP status", ge=400, le=599)
    ] = 413
    sse_buffer_max_bytes: Annotated[
        int,
        about(
            "Longest event of a stream that is read along; streams pass regardless."
            " Of longer events of the Responses API both ends are read.",
            "bytes",
            ge=1,
            env=("HEADROOM_SSE_BUFFER_MAX_BYTES",),
        ),
    ] = 1024 * 1024
    keep_alive_s: Annotated[
        int, about("Idle time after which clients are disconnected.", "seconds", ge=1)
    ] = 75
    websocket_ping_s: Annotated[
        float,
        about(
            "How often clients of WebSockets are pinged, so that idle connections are "
            "kept open on their way; 0: never.",
            "seconds",
            ge=0,
        ),
    ] = 20.0
    graceful_shutdown_s: Annotated[
        int, about("Time that running streams get to finish.", "seconds", ge=0)
    ] = 30


class UpstreamSettings(Struct, frozen=True, kw_only=True):
    """The providers."""

    anthropic_url: Annotated[
        str,
        about(
            "Base URL of the Anthropic API.",
            env=("HEADROOM_ANTHROPIC_URL",),
            is_url=True,
        ),
    ] = "https://api.anthropic.com"
    openai_url: Annotated[
        str,
        about("Base URL of the OpenAI API.", env=("HEADROOM_OPENAI_URL",), is_url=True),
    ] = "https://api.openai.com"
    gemini_url: Annotated[
        str,
        about("Base URL of the Gemini API.", env=("HEADROOM_GEMINI_URL",), is_url=True),
    ] = "https://generativelanguage.googleapis.com"
    chatgpt_url: Annotated[
        str,
        about(
            "Base URL for requests under a ChatGPT account.",
            env=("HEADROOM_CHATGPT_URL",),
            is_url=True,
        ),
    ] = "https://chatgpt.com"
    copilot_url: Annotated[
        str,
        about(
            "Base URL for requests of GitHub Copilot's clients.",
            env=("HEADROOM_COPILOT_URL",),
            is_url=True,
        ),
    ] = "https://api.githubcopilot.com"
    azure_url: Annotated[
        str,
        about(
            "Endpoint of the Azure OpenAI resource that `/openai/...` paths are for; "
            "empty: they go where OpenAI's go.",
            env=("HEADROOM_AZURE_URL",),
            is_url=True,
        ),
    ] = ""
    base_url_allowlist: Annotated[
        tuple[str, ...],
        about(
            "Hosts that `x-headroom-base-url` may name.",
            env=("HEADROOM_BASE_URL_ALLOWLIST",),
        ),
    ] = ()
    connect_timeout_s: Annotated[
        float, about("Time to reach the provider.", "seconds", ge=0.01)
    ] = 10.0
    idle_timeout_s: Annotated[
        float, about("Longest silence of the provider.", "seconds", ge=0.01)
    ] = 600.0
    # Below the idle time after which providers close a connection, so that a request is
    # rarely sent into one that is about to be closed.
    keep_alive_s: Annotated[
        float, about("How long idle connections are kept.", "seconds", ge=0)
    ] = 15.0


class CloudSettings(Struct, frozen=True, kw_only=True):
    """Models at Amazon Bedrock and on Vertex AI, under the operator's account."""

    bedrock_native: Annotated[
        bool,
        about(
            "Serve Bedrock's paths, signed with the credentials of AWS's chain.",
            env=("HEADROOM_PROXY_ENABLE_BEDROCK_NATIVE",),
        ),
    ] = True
    bedrock_region: Annotated[
        str,
        about(
            "Region of Bedrock.",
            env=("HEADROOM_PROXY_BEDROCK_REGION",),
            pattern=r"^[a-z]{2,4}(-[a-z]{2,12}){1,3}-[0-9]{1,2}$",
            shape="the name of an AWS region, such as us-east-1",
        ),
    ] = "us-east-1"
    bedrock_endpoint: Annotated[
        str,
        about(
            "Base URL of Bedrock's runtime; empty: the region's own.",
            env=("HEADROOM_PROXY_BEDROCK_ENDPOINT",),
            is_url=True,
        ),
    ] = ""
    aws_profile: Annotated[
        str,
        about(
            "AWS profile whose credentials are used; empty: as AWS's chain has it.",
            env=("HEADROOM_PROXY_AWS_PROFILE",),
        ),
    ] = ""
    bedrock_validate_eventstream_crc: Annotated[
        bool,
        about(
            "Check the checksums of the frames that Bedrock streams.",
            env=("HEADROOM_PROXY_BEDROCK_VALIDATE_EVENTSTREAM_CRC",),
        ),
    ] = True
    vertex_region: Annotated[
        str,
        about(
            "Location whose host serves Vertex paths that name none.",
            env=("HEADROOM_PROXY_VERTEX_REGION",),
            pattern=r"^([a-z]{2,20}(-[a-z]{2,20}){1,2}[0-9]{1,2}|global|us|eu)$",
            shape="a location of Google's, such as us-central1 or global",
        ),
    ] = "us-central1"
    vertex_endpoint: Annotated[
        str,
        about(
            "Base URL of Vertex AI; empty: the location's own.",
            env=("HEADROOM_PROXY_VERTEX_ENDPOINT",),
            is_url=True,
        ),
    ] = ""
    vertex_adc_scope: Annotated[
        str,
        about(
            "Scope of the access tokens that Google is asked for.",
            env=("HEADROOM_PROXY_VERTEX_ADC_SCOPE",),
        ),
    ] = "https://www.googleapis.com/auth/cloud-platform"


class CompressionSettings(Struct, frozen=True, kw_only=True):
    """What is worth compressing."""

    min_lossless_bytes: Annotated[
        int, about("Smaller blocks are left alone.", "bytes", ge=0)
    ] = 256
    min_lossy_bytes: Annotated[
        dict[str, int],
        about("From which size parts may be left out, by kind.", "bytes"),
    ] = msgspec.field(default_factory=lambda: dict(_MIN_LOSSY_BYTES))
    max_block_bytes: Annotated[
        int, about("Larger blocks are left alone.", "bytes", ge=1)
    ] = 16 * 1024 * 1024
    user_text: Annotated[
        Literal["lossless", "lossy"],
        about("How machine output inside people's messages may be shortened."),
    ] = "lossless"


AuthWord: TypeAlias = Literal[
    "compress",
    "lossy",
    "stabilise",
    "betas",
    "memory",
    "tools",
    "forwarded",
    "encoding",
]
"""What may be done to requests under one kind of credential; see ``proxy.auth``."""


class AuthSettings(Struct, frozen=True, kw_only=True):
    """What may be done to requests, by whose credential they carry.

    The words: ``compress`` tool outputs; leave parts out (``lossy``); put the front in
    order (``stabilise``); repeat a session's beta words (``betas``); add ``memory``
    to messages, and its ``tools``; add ``x-forwarded-*`` (``forwarded``); ask for
    answers without ``encoding``.
    """

    policy_enforcement: Annotated[
        Switch,
        about(
            "Tell credentials apart; disabled: treat all as API keys.",
            env=("HEADROOM_PROXY_AUTH_MODE_POLICY_ENFORCEMENT",),
        ),
    ] = "enabled"
    payg: Annotated[tuple[AuthWord, ...], about("Under API keys.")] = (
        "compress",
        "lossy",
        "stabilise",
        "betas",
        "memory",
        "tools",
        "forwarded",
        "encoding",
    )
    oauth: Annotated[
        tuple[AuthWord, ...], about("Under tokens of a cloud or an account.")
    ] = ("compress", "memory")
    subscription: Annotated[
        tuple[AuthWord, ...], about("In coding clients under their user's plan.")
    ] = ("compress", "memory")


class StabiliseSettings(Struct, frozen=True, kw_only=True):
    """What is put in order in front of conversations under API keys.

    Decided when a conversation begins; a change holds for those that begin afterwards.
    """

    breakpoints: Annotated[
        Switch,
        about("Set cache markers for Messages clients that set none themselves."),
    ] = "enabled"
    prompt_cache_key: Annotated[
        Literal["auto", "enabled", "disabled"],
        about(
            "Set `prompt_cache_key` where clients of OpenAI's APIs set none; `auto`: "
            "only if `upstream.openai_url` is OpenAI's or Azure's own, since others "
            "may refuse what they do not know."
        ),
    ] = "auto"
    tool_sort: Annotated[
        Switch, about("Sort tools by name, for clients that list them in random order.")
    ] = "disabled"
    schema_sort: Annotated[
        Switch, about("Sort the keys of tools' schemas, for the same reason.")
    ] = "disabled"
    tool_compact: Annotated[
        Switch,
        about("Take out of tool definitions what means nothing; see `headroom tools`."),
    ] = "disabled"


class StoreSettings(Struct, frozen=True, kw_only=True):
    """Where originals and the ledger are kept."""

    url: Annotated[
        str,
        about(
            "`sqlite:///path`, `memory://` or `redis://…`; empty: SQLite in data_dir.",
            env=("HEADROOM_STORE",),
            is_store=True,
        ),
    ] = ""
    retention_days: Annotated[float, about("Kept since last use.", "days", ge=0.05)] = (
        30.0
    )
    max_bytes: Annotated[
        int, about("Size from which the least recently used goes.", "bytes", ge=1)
    ] = 2 * 1024**3


class MemorySettings(Struct, frozen=True, kw_only=True):
    """Facts kept across conversations; off unless a mode is chosen.

    Changes hold for conversations that begin afterwards.
    """

    mode: Annotated[
        Literal["off", "auto_tail", "tool"],
        about(
            "`tool`: models get tools to keep and find facts, where tools are in use; "
            "`auto_tail`: facts that fit are also appended to what the user says newly."
        ),
    ] = "off"
    injection_mode: Annotated[
        Literal["live_zone_tail", "disabled"],
        about("Where `auto_tail` appends; disabled: nowhere."),
    ] = "live_zone_tail"
    tool_injection_sticky: Annotated[
        Switch,
        about(
            "Conversations keep the tools they began with; disabled: each request has "
            "those of the settings, and caches are lost when they change.",
            env=("HEADROOM_TOOL_INJECTION_STICKY",),
        ),
    ] = "enabled"
    dir: Annotated[
        str, about("Directory of the memories, a file for each user; empty: data_dir.")
    ] = ""
    embeddings: Annotated[
        str,
        about("Installed package that finds facts by meaning; empty: by words alone."),
    ] = ""
    max_facts: Annotated[
        int, about("Facts of one user; then no more are kept.", "facts", ge=1)
    ] = 100_000
    max_fact_bytes: Annotated[int, about("Longest fact.", "bytes", ge=16, le=65536)] = (
        4096
    )
    max_users: Annotated[int, about("Users that may keep facts.", "users", ge=1)] = (
        10_000
    )


class LogSettings(Struct, frozen=True, kw_only=True):
    """What is said on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error", "off"],
        about("Least level that is written."),
    ] = "info"
    format: Annotated[Literal["json", "text"], about("How records look.")] = "json"


class LearningSettings(Struct, frozen=True, kw_only=True):
    """What is learned from one run for the next."""

    observe: Annotated[
        bool,
        about("Count what compression came to, by structure, for `headroom learn`."),
    ] = True
    recommendations_path: Annotated[
        str,
        about(
            "File of `headroom learn publish`, read once at start.",
            env=("HEADROOM_RECOMMENDATIONS_PATH",),
        ),
    ] = "./recommendations.toml"


class WatchSettings(Struct, frozen=True, kw_only=True):
    """What is watched, without changing anything."""

    enabled: Annotated[
        bool,
        about("Warn of what changes in front of conversations and of cache gaps."),
    ] = True
    max_sessions: Annotated[
        int, about("Sessions compared with their last request.", "sessions", ge=1)
    ] = 1000
    decisions_max_bytes: Annotated[
        int,
        about("Decision records kept for `headroom why`; 0: none.", "bytes", ge=0),
    ] = 32 * 1024 * 1024


class SidecarSettings(Struct, frozen=True, kw_only=True):
    """``/v1/compress``, for gateways that talk to providers themselves."""

    retrieval: Annotated[
        Literal["client", "gateway", "off"],
        about(
            "When parts of tool results may be left out for a gateway: where the "
            "request lists our tool, always (the gateway adds the tool as soon as it "
            "is told of hashes, which costs the cache once a conversation), or never.",
        ),
    ] = "client"


class Settings(Struct, frozen=True, kw_only=True):
    """All settings; ``load`` makes one."""

    data_dir: Annotated[
        str,
        about("Directory of everything Headroom keeps; empty: the user's."),
    ] = ""
    require_core: Annotated[
        bool,
        about(
            "Refuse to start when the self-check fails; false: compression stays off.",
            env=("HEADROOM_REQUIRE_CORE", "HEADROOM_REQUIRE_RUST_CORE"),
        ),
    ] = True
    retrieval: Annotated[
        Literal["tool", "shell", "mcp", "off"],
        about(
            "How models get back what was left out: by a tool that Headroom adds, by a "
            "command of their shell, by a tool of an MCP server, or not at all; then "
            "nothing is left out.",
        ),
    ] = "tool"
    models_file: Annotated[
        str,
        about("TOML file with what is known of models; wins over what is built in."),
    ] = ""
    proxy: ProxySettings = ProxySettings()
    upstream: UpstreamSettings = UpstreamSettings()
    cloud: CloudSettings = CloudSettings()
    compression: CompressionSettings = CompressionSettings()
    auth: AuthSettings = AuthSettings()
    stabilise: StabiliseSettings = StabiliseSettings()
    store: StoreSettings = StoreSettings()
    memory: MemorySettings = MemorySettings()
    watch: WatchSettings = WatchSettings()
    learning: LearningSettings = LearningSettings()
    sidecar: SidecarSettings = SidecarSettings()
    log: LogSettings = LogSettings()

    @property
    def store_url(self) -> str:
        """The store's URL with the default put in."""
        return self.store.url or f"sqlite://{quote(self.data_dir)}/headroom.db"

    @property
    def memory_dir(self) -> str:
        """The directory of the memories with the default put in."""
        return self.memory.dir or f"{self.data_dir}/memory"

    @property
    def compression_max_body_bytes(self) -> int:
        """The largest body that is read, with the default put in."""
        limit = self.proxy.compression_max_body_bytes or self.proxy.max_body_bytes
        return min(limit, self.proxy.max_body_bytes)


def policy_of(settings: Settings) -> Policy:
    """The part of the settings that the core works by; credentials narrow it."""
    compression = settings.compression
    return Policy(
        is_reapplying=settings.proxy.reapply == "enabled",
        honours_markers=settings.proxy.cache_control_auto_frozen == "enabled",
        allow_lossy=settings.retrieval != "off",
        retrieval=settings.retrieval,
        min_lossless_bytes=compression.min_lossless_bytes,
        min_lossy_bytes=dict(compression.min_lossy_bytes),
        lossy_user_text=compression.user_text == "lossy",
        max_block_bytes=compression.max_block_bytes,
        stabilisers=_stabilisers(settings),
    )


def _stabilisers(settings: Settings) -> tuple[str, ...]:
    chosen = settings.stabilise
    key = chosen.prompt_cache_key
    if key == "auto":
        host = urlsplit(settings.upstream.openai_url).hostname or ""
        is_known = host == "openai.com" or host.endswith(_KEY_TAKING_HOSTS)
        key = "enabled" if is_known else "disabled"
    switches = {
        BREAKPOINTS: chosen.breakpoints,
        CACHE_KEY: key,
        SCHEMA_SORT: chosen.schema_sort,
        TOOL_COMPACT: chosen.tool_compact,
        TOOL_SORT: chosen.tool_sort,
    }
    return tuple(name for name in STABILISERS if switches[name] == "enabled")
