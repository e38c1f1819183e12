"""What requests cost: limits asked before, figures counted after.

What was used in the running period is kept in a file, so that a restart gives nobody a
new budget. What always holds: an answer without figures counts as an estimate, never as
nothing; a file that cannot be written or read is logged and stops no request.
"""

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from headroom.broker.limits import Meter, Meters, Refusal, Spent, admit
from headroom.broker.registry import Client, Model
from headroom.inference.model_table import ModelTable
from headroom.providers.prices import Prices
from headroom.proxy.exchange import Exchange
from headroom.proxy.metrics import Metrics
from headroom.proxy.upstream import Body

log = logging.getLogger("headroom.broker")

FILE_NAME = "broker-spent.json"
_WRITE_EVERY_S = 2.0
_BYTES_PER_TOKEN = 4
"""Of requests and answers whose tokens nobody has told; an average of English text."""

_MILLION = 1_000_000
_MAX_UNPRICED = 1000
"""Models without a price that are reported; clients can make up more."""

_CLASSES = (
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
)
"""What providers bill; all providers' figures have these names here."""


class Bill(Struct, frozen=True):
    """Of one request that was admitted."""

    meters: tuple[Meter, ...]
    estimate: int
    key: str
    model: str
    in_usd: bool


class Billing:
    """Of one server process.

    Args:
        directory: where the file is.
        table: of prices.
        metrics: figures to add to.
        wall: seconds since the epoch.
    """

    def __init__(
        self,
        directory: Path,
        table: ModelTable,
        metrics: Metrics,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._path = directory / FILE_NAME
        self._table = table
        self._metrics = metrics
        self._wall = wall
        self._meters = Meters()
        self._unpriced: set[str] = set()
        self._writer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take over what was used before."""
        self._meters.resume(await asyncio.to_thread(self._read))
        self._writer = asyncio.create_task(self._write_often())

    async def close(self) -> None:
        """Write what was used."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])
        await self._write()

    def open(
        self, client: Client, model: Model | None, body: Body
    ) -> tuple[Bill, Refusal | None]:
        """Admit a request, or say why not.

        Args:
            client: who asks.
            model: for what; ``None``: nothing that is counted by model.
            body: of the request; ``None`` or a stream counts as nothing.
        """
        now, wall = time.monotonic(), self._wall()
        owners = [(f"the key {client.name!r}", client.limits)] if client.name else []
        if model is not None:
            owners.append((f"the model {model.name!r}", model.limits))
        meters = tuple(self._meters.of(name, lim, now, wall) for name, lim in owners)
        size = len(body) if isinstance(body, bytes) and model is not None else 0
        estimate = math.ceil(size / _BYTES_PER_TOKEN)
        in_usd = any(meter.limits.budget_usd is not None for meter in meters)
        name = model.name if model is not None else ""
        bill = Bill(meters, estimate, client.name, name, in_usd)
        return bill, admit(meters, estimate, now, wall)

    async def settle(self, bill: Bill, exchange: Exchange, answer_bytes: int) -> None:
        """Count what a request came to.

        Args:
            bill: from ``open``.
            exchange: with the usage that was read in its answer.
            answer_bytes: that the client got.
        """
        usage = {name: exchange.usage.get(name, 0) for name in _CLASSES}
        tokens = sum(usage.values())
        is_answered = 200 <= exchange.response_status < 300
        if is_answered and exchange.usage:
            for name, count in usage.items():
                if count:
                    self._metrics.count(
                        "headroom_broker_tokens", bill.key, bill.model, name, by=count
                    )
        elif is_answered and bill.model:
            usage["input_tokens"] = bill.estimate
            usage["output_tokens"] = math.ceil(answer_bytes / _BYTES_PER_TOKEN)
            tokens = sum(usage.values())
            backend = str(exchange.fields.get("backend", ""))
            self._metrics.count("headroom_broker_unbilled", backend)
        usd = 0.0
        if bill.in_usd and tokens:
            usd = await self._cost(exchange, usage)
        for meter in map(self._meters.current, bill.meters):
            meter.settle(bill.estimate, tokens, usd, self._wall())

    async def _cost(self, exchange: Exchange, usage: dict[str, int]) -> float:
        model = str(exchange.fields.get("backend_model", exchange.model))
        # The first look into the data package takes a fraction of a second.
        prices = (await asyncio.to_thread(self._table.row, model)).prices
        if prices is None:
            if model not in self._unpriced and len(self._unpriced) < _MAX_UNPRICED:
                self._unpriced.add(model)
                log.warning("price_unknown", extra={"model": model})
            return 0.0
        return cost_usd(usage, prices)

    async def _write_often(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_EVERY_S)
            await self._write()

    async def _write(self) -> None:
        changed = self._meters.take_changes()
        if changed is None:
            return
        data = msgspec.json.format(msgspec.json.encode(changed))
        try:
            await asyncio.to_thread(_replace, self._path, data)
        except OSError as error:
            log.warning("spent_not_written", extra={"error": str(error.strerror)})

    def _read(self) -> dict[str, Spent]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Spent])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("spent_not_read", extra={"error": type(error).__name__})
            return {}


def cost_usd(usage: dict[str, int], prices: Prices) -> float:
    """What tokens cost, by class."""
    read = usage["cache_read_input_tokens"] * prices.cache_read
    written = usage["cache_creation_input_tokens"] * prices.cache_write
    fresh = usage["input_tokens"] * prices.input
    return (fresh + read + written + usage["output_tokens"] * prices.output) / _MILLION


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that whoever reads it finds the old or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    beside.replace(path)
