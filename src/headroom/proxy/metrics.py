"""Figures for Prometheus; with several workers, their sum.

Labels come from bounded sets only: routes, statuses, the words of manifests. Children
are looked up once and kept, for a lookup costs more than the addition.

With workers, each process keeps its figures in files of ``PROMETHEUS_MULTIPROC_DIR``
(https://prometheus.github.io/client_python/multiprocess/), which the supervisor sets
before it starts them; a scrape of any worker then sums over all, those that died
included.
"""

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)

from headroom.core.types import Manifest

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_ADDED_BUCKETS_S = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 20.0,
)  # fmt: skip

ADDED = "headroom_added_seconds"
ADDED_DESCRIPTION = "Time between the last byte of a request and its forwarding."
IN_FLIGHT = "headroom_requests_in_flight"
IN_FLIGHT_DESCRIPTION = "Requests that have not been answered in full."
BEDROCK_LATENCY = "bedrock_invoke_latency_seconds"
BEDROCK_LATENCY_DESCRIPTION = "Time from a request for a Bedrock model to its end."
WEBSOCKETS = "headroom_websockets_open"
WEBSOCKETS_DESCRIPTION = "WebSockets that are being relayed."

CACHE_HIT_RATE = "proxy_cache_hit_rate_per_session"
COMPRESSION_RATIO = "proxy_compression_ratio_by_strategy"
RATE_LIMITS = {
    kind: f"proxy_rate_limit_remaining_{kind}"
    for kind in ("requests", "tokens", "input_tokens", "output_tokens")
}

SHARES: dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    CACHE_HIT_RATE: (
        "Share of an answer's input that was read from the provider's cache.",
        ("provider",),
        (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1),
    ),
    COMPRESSION_RATIO: (
        "Tokens of a block after compression, as a share of those before.",
        ("strategy", "content_type"),
        (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
    ),
}
"""Histograms of shares: name → what, labels, buckets."""

LIMITS_DESCRIPTION = "What the provider said last is left of a limit: {}."

MAX_MODELS = 100
MAX_MODEL_CHARS = 128
"""Models told apart in metrics, and their longest name; clients may make names up."""

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "headroom_requests": (
        "Requests by route, answer and decision.",
        ("route", "status", "decision"),
    ),
    "headroom_tokens_before": (
        "Tokens of the blocks that were compressed, as the client sent them.",
        ("state",),
    ),
    "headroom_tokens_after": (
        "Tokens of the same blocks, as forwarded.",
        ("state",),
    ),
    "headroom_blocks": (
        "Blocks looked at, by what happened to them.",
        ("action", "strategy", "kind"),
    ),
    "proxy_compression_rejected_by_token_check": (
        "Results that were not smaller in tokens.",
        ("strategy",),
    ),
    "proxy_passthrough_bytes_modified": (
        "Bodies that changed though nothing was to change; must stay 0.",
        ("path",),
    ),
    "headroom_prefix_breaks": (
        "Prefixes forwarded otherwise than before; must stay 0.",
        (),
    ),
    "headroom_upstream_errors": (
        "Failures to reach the provider.",
        ("code",),
    ),
    "proxy_conversations_api_request_count": (
        "Requests that add to a conversation kept by the provider; forwarded as is.",
        (),
    ),
    "prefix_drift_detected": (
        "Sessions whose system prompt, tools or first messages changed.",
        ("provider", "model"),
    ),
    "headroom_cache_gaps": (
        "Answers that read less from the cache than the session had left in it.",
        ("cause",),
    ),
    "headroom_volatile_content": (
        "Timestamps, ids and tokens found in front of conversations.",
        ("kind",),
    ),
    "bedrock_invoke_count": (
        "Requests for Bedrock models.",
        ("model", "region"),
    ),
    "bedrock_eventstream_message_count": (
        "Frames of Bedrock's streams that were read.",
        ("model", "region"),
    ),
    "headroom_store_failures": (
        "Requests served without the store.",
        (),
    ),
    "headroom_stage_failures": (
        "Stages that failed, the request being served all the same.",
        ("stage",),
    ),
    "headroom_usage_tokens": (
        "Tokens the provider billed, by class.",
        ("class",),
    ),
    "headroom_memory_calls": (
        "Calls of memory tools, by what came of them.",
        ("tool", "outcome"),
    ),
    "headroom_memory_injections": (
        "Requests to which facts were to be appended, by whether any fitted.",
        ("decision",),
    ),
    "headroom_retrievals": (
        "Originals that were asked back, inside the stream or at /v1/retrieve.",
        ("outcome",),
    ),
    "headroom_retrieved_tokens": (
        "Tokens of the answers: a debit against the tokens saved.",
        (),
    ),
    "proxy_service_tier_count": (
        "Answers by the tier that served them, where they tell.",
        ("tier",),
    ),
    "proxy_response_status_count": (
        "Answers of the Responses API by their status.",
        ("status",),
    ),
    "headroom_log_records_dropped": (
        "Log records lost because output stalled.",
        (),
    ),
}
"""Name → what it counts, and its labels; ``_total`` is added."""

# When each child was made says nothing; by default it doubles a scrape.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """All metrics of one server process.

    Args:
        is_shared: figures are shared with other workers.
        more: further counters, for ``count``.
    """

    def __init__(
        self,
        *,
        is_shared: bool = False,
        more: Mapping[str, tuple[str, tuple[str, ...]]] | None = None,
    ) -> None:
        self._registry = CollectorRegistry()
        self._is_shared = is_shared
        self._children: dict[tuple[str, ...], Any] = {}  # prometheus children vary
        self._families: dict[str, Counter | Histogram | Gauge] = {
            name: Counter(name, description, labels, registry=self._registry)
            for name, (description, labels) in {**COUNTERS, **(more or {})}.items()
        }
        self._families[ADDED] = Histogram(
            ADDED,
            ADDED_DESCRIPTION,
            ["route"],
            buckets=_ADDED_BUCKETS_S,
            registry=self._registry,
        )
        self._families[BEDROCK_LATENCY] = Histogram(
            BEDROCK_LATENCY,
            BEDROCK_LATENCY_DESCRIPTION,
            ["model", "region"],
            registry=self._registry,
        )
        for name, (description, labels, buckets) in SHARES.items():
            self._families[name] = Histogram(
                name, description, labels, buckets=buckets, registry=self._registry
            )
        for kind, name in RATE_LIMITS.items():
            self._families[name] = Gauge(
                name,
                LIMITS_DESCRIPTION.format(kind.replace("_", " ")),
                ["provider"],
                registry=self._registry,
                multiprocess_mode="mostrecent",
            )
        self._bedrock_models: set[str] = set()
        self._in_flight = Gauge(
            IN_FLIGHT,
            IN_FLIGHT_DESCRIPTION,
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._websockets = Gauge(
            WEBSOCKETS,
            WEBSOCKETS_DESCRIPTION,
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._take_dropped: Callable[[], int] = int

    def _child(self, *key: str) -> Any:
        """The child of a metric: its name, then the values of its labels."""
        child = self._children.get(key)
        if child is None:
            name, *labels = key
            family = self._families[name]
            child = family.labels(*labels) if labels else family
            self._children[key] = child
        return child

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Add to a counter that has no method of its own."""
        self._child(name, *labels).inc(by)

    def observe(self, name: str, *labels: str, value: float) -> None:
        """Add to one of ``SHARES``."""
        self._child(name, *labels).observe(value)

    def set_gauge(self, name: str, provider: str, value: float) -> None:
        """Set one of ``RATE_LIMITS``."""
        self._child(name, provider).set(value)

    def began(self) -> None:
        """A request came in."""
        self._in_flight.inc()

    def ended(self, route: str, status: int, decision: str) -> None:
        """A request was answered, or given up (status 499: by the client)."""
        self._in_flight.dec()
        self._child("headroom_requests", route, str(status), decision).inc()

    def websocket_opened(self) -> None:
        """Both handshakes of a WebSocket are done."""
        self._websockets.inc()

    def websocket_closed(self) -> None:
        """It has ended on both sides."""
        self._websockets.dec()

    def added(self, route: str, seconds: float) -> None:
        """How long a request was held before it was forwarded."""
        self._child(ADDED, route).observe(seconds)

    def manifest(self, manifest: Manifest) -> None:
        """What happened to the blocks of a request."""
        for entry in manifest.entries:
            outcome = entry.outcome
            self._child(
                "headroom_blocks", outcome.action, outcome.strategy, outcome.kind
            ).inc()
            if outcome.action == "rejected_not_smaller":
                self._child(
                    "proxy_compression_rejected_by_token_check", outcome.strategy
                ).inc()
            elif outcome.action == "compressed":
                state = "reapplied" if entry.is_reapplied else "first"
                self._child("headroom_tokens_before", state).inc(
                    outcome.original_tokens
                )
                self._child("headroom_tokens_after", state).inc(
                    outcome.compressed_tokens
                )

    def prefix_breaks(self, count: int) -> None:
        """Prefixes that left otherwise than before."""
        self._child("headroom_prefix_breaks").inc(count)

    def passthrough_modified(self, route: str) -> None:
        """A body changed without a stage having said so."""
        self._child("proxy_passthrough_bytes_modified", route).inc()

    def upstream_error(self, code: str) -> None:
        """The provider could not be reached or fell silent."""
        self._child("headroom_upstream_errors", code).inc()

    def bedrock(self, model: str, region: str, *, seconds: float, frames: int) -> None:
        """A request for Bedrock has ended.

        Args:
            model: as the path names it; empty: the path is of no model.
            region: where it was sent.
            seconds: how long it took.
            frames: read in its answer.
        """
        if not model:
            return
        known = self._bedrock_models
        is_name = len(model) <= MAX_MODEL_CHARS and model.isprintable()
        if model not in known and (len(known) >= MAX_MODELS or not is_name):
            model = "other"
        else:
            known.add(model)
        self._child("bedrock_invoke_count", model, region).inc()
        self._child(BEDROCK_LATENCY, model, region).observe(seconds)
        if frames:
            name = "bedrock_eventstream_message_count"
            self._child(name, model, region).inc(frames)

    def conversation(self) -> None:
        """A request adds to a conversation that the provider keeps."""
        self._child("proxy_conversations_api_request_count").inc()

    def drift(self, provider: str, family: str) -> None:
        """A session's prompt does not begin as it did."""
        self._child("prefix_drift_detected", provider, family).inc()

    def cache_gap(self, cause: str) -> None:
        """Less was read from the cache than the session had left in it."""
        self._child("headroom_cache_gaps", cause).inc()

    def volatile(self, kind: str) -> None:
        """Something that changes stands in front of a conversation."""
        self._child("headroom_volatile_content", kind).inc()

    def store_failure(self) -> None:
        """A request was served without the store."""
        self._child("headroom_store_failures").inc()

    def memory_call(self, tool: str, outcome: str) -> None:
        """A call of a memory tool."""
        self._child("headroom_memory_calls", tool, outcome).inc()

    def memory_injection(self, decision: str) -> None:
        """Facts were looked for, to be appended."""
        self._child("headroom_memory_injections", decision).inc()

    def retrieval(self, outcome: str, tokens: int) -> None:
        """An original was asked for."""
        self._child("headroom_retrievals", outcome).inc()
        self._child("headroom_retrieved_tokens").inc(tokens)

    def stage_failure(self, stage: str) -> None:
        """A stage failed."""
        self._child("headroom_stage_failures", stage).inc()

    def usage(self, counts: dict[str, int]) -> None:
        """What the provider billed, by class."""
        for name, count in counts.items():
            self._child("headroom_usage_tokens", name).inc(count)

    def watch_dropped_logs(self, dropped: Callable[[], int]) -> None:
        """Report lost log records: ``dropped`` returns those since the last call."""
        self._take_dropped = dropped

    def render(self) -> bytes:
        """The text a scrape gets."""
        self._child("headroom_log_records_dropped").inc(self._take_dropped())
        if not self._is_shared:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
