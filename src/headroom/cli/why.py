"""``headroom why REQUEST_ID``: what was decided about one request, and why."""

import sys
from pathlib import Path
from typing import cast

import click
import msgspec

from headroom import settings
from headroom.core.types import JsonValue
from headroom.proxy import decisions
from headroom.proxy.decisions import Record

_REASONS = {
    "not_intercepted": "requests of this path are never read",
    "not_json_content": "the body is no JSON",
    "switched_off": "compression is switched off",
    "mode_off": "the compression mode is off",
    "bypass_header": "the client asked for it",
    "body_over_compression_cap": "the body is larger than is read",
    "auth_mode_policy": "nothing may be changed under this credential",
    "no_messages": "there are no messages in it",
    "not_json": "the body could not be read beyond doubt",
    "n_greater_than_one": "it asks for several answers",
    "conversation_state": "the provider keeps the conversation, and others may add",
    "no_block_compressed": "nothing in it gets smaller",
    "prefix_reapplied": "what was sent before is sent the same way again",
    "live_zone_blocks_rewritten": "new tool output was compressed",
    "failed_open": "something failed: what was sent before is repeated, if it can be",
    "no_stage": "no stage of the proxy looked at it",
}
_ACTIONS = {
    "no_compression_applied": "left",
    "below_byte_threshold": "left, small",
    "compressed": "compressed",
    "rejected_not_smaller": "left, not smaller",
    "compressor_error": "left, the compressor failed",
    "excluded": "never touched",
}


@click.command("why")
@click.argument("request_id", required=False)
@click.option("--last", is_flag=True, help="The newest request there is.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as it is.")
def command(request_id: str | None, *, last: bool, as_json: bool) -> None:
    """Explain what Headroom did with one request.

    REQUEST_ID is the `x-request-id` of the proxy's answer, or the provider's own. The
    proxy keeps the newest records in its data directory; they hold no content.
    """
    if last == bool(request_id):
        raise click.UsageError("name a REQUEST_ID, or give --last")
    directory = Path(settings.load().settings.data_dir)
    found = (
        next(decisions.newest_first(directory), None)
        if request_id is None
        else decisions.find(directory, request_id)
    )
    if found is None:
        raise click.ClickException(
            f"no record of {request_id or 'any request'} in {directory}"
        )
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
        return
    for line in explained(found):
        click.echo(line)


def explained(record: Record) -> list[str]:
    """A record in words, one line for each thing it tells."""
    reason = str(record.get("reason", ""))
    method, path, status = (record.get(k) for k in ("method", "path", "status"))
    lines = [
        f"request {record.get('request_id')}  {method} {path}  status {status}",
        f"decision: {record.get('decision')}: {_REASONS.get(reason, reason)}",
        f"credential: {record.get('auth_mode')}",
    ]
    if changes := cast("list[str]", record.get("mutation_reasons") or []):
        lines.append(f"the body was changed by: {', '.join(changes)}")
    if record.get("tokens_before"):
        lines.append(
            f"tokens of compressed blocks: {record['tokens_before']} before, "
            f"{record.get('tokens_after')} after"
        )
    for name, words in (
        ("prefix_breaks", "messages left otherwise than before (must not happen)"),
        ("store_failures", "failures of the store"),
        ("retrievals", "originals were asked back in the answer"),
    ):
        if record.get(name):
            lines.append(f"{record[name]} {words}")
    if record.get("is_refusal"):
        lines.append("the model declined to answer")
    lines += _cache_lines(record)
    blocks = cast("list[dict[str, JsonValue]]", record.get("blocks") or [])
    if blocks:
        lines.append("blocks:")
        lines += [f"  {_block_line(block)}" for block in blocks]
    if left := record.get("blocks_left_out"):
        lines.append(f"  and {left} more")
    return lines


def _cache_lines(record: Record) -> list[str]:
    lines = []
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    if any(name in record for name in names):
        plain, read, written = (record.get(name, 0) for name in names)
        lines.append(
            f"billed input: {plain} plain, {read} read from the cache, "
            f"{written} written to it"
        )
    gap = record.get("cache_gap")
    if isinstance(gap, dict):
        lines.append(
            f"cache gap: {gap.get('expected_read_tokens')} tokens were in the cache, "
            f"{gap.get('billed_read_tokens')} were read; first difference: "
            f"{gap.get('first_difference')} ({gap.get('cause')})"
        )
    return lines


def _block_line(block: dict[str, JsonValue]) -> str:
    place = f"message {block.get('message')}"
    if block.get("block") is not None:
        place += f", block {block['block']}"
    words = [f"{place} ({block.get('type') or 'text'}):"]
    words.append(_ACTIONS.get(str(block.get("action")), str(block.get("action"))))
    if block.get("strategy"):
        words.append(f"by {block['strategy']}")
    if block.get("is_reapplied"):
        words.append("as before")
    if block.get("tokens_before"):
        words.append(f"{block['tokens_before']} → {block.get('tokens_after')} tokens")
    if block.get("is_lossy"):
        words.append("lossy, the original is kept")
    if block.get("reason"):
        words.append(f"({block['reason']})")
    return " ".join(words)
