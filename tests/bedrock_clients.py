"""Bedrock behind the proxy: the double, the conversations, the clients."""

import contextlib
import json
import random

import anthropic
import boto3
import botocore.config

from clouds import ACCESS_KEY, CLAUDE, SECRET_KEY, SESSION_TOKEN, Bedrock
from loopback import client, post, provider, proxy


def use_credentials(monkeypatch, tmp_path):
    """The proxy's own AWS credentials, and nothing of the machine's."""
    for name in ("AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION_TOKEN)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@contextlib.asynccontextmanager
async def bedrock(double=None, **settings):
    double = double or Bedrock()
    async with provider(double.respond) as made, proxy(made.url, **settings) as px:
        yield double, px


def rows(count, seed=0):
    """A tool's result that is worth compressing."""
    rng = random.Random(seed)
    found = [
        {"id": i, "name": f"host-{i:03d}", "state": "running", "load": rng.random()}
        for i in range(count)
    ]
    return json.dumps(found)


def noisy_log():
    """Much output, of which little matters: what a lossy form leaves out."""
    rng = random.Random(7)
    lines = [
        f"2026-03-01T12:{i // 60:02d}:{i % 60:02d}Z INFO"
        f" worker-{rng.randrange(8)} took job {rng.randrange(10**6)} in {i % 97} ms"
        for i in range(500)
    ]
    lines[333] = "2026-03-01T12:05:33Z ERROR job 7 failed: the disk is full"
    return "\n".join(lines)


def envelope(messages, **more):
    """A Messages body as Bedrock takes it."""
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "tools": [{"name": "list_hosts", "input_schema": {"type": "object"}}],
        "messages": messages,
    }
    return {**body, **more}


def conversation(turns):
    """A growing conversation: a question, then calls with their results."""
    messages = [{"role": "user", "content": "Which hosts are loaded? " * 200}]
    for turn in range(turns):
        call = {
            "type": "tool_use",
            "id": f"toolu_{turn}",
            "name": "list_hosts",
            "input": {"zone": turn},
        }
        result = {
            "type": "tool_result",
            "tool_use_id": f"toolu_{turn}",
            "content": rows(60, turn),
        }
        messages += [
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ]
    return messages


def path(operation, model=CLAUDE):
    return (
        f"/model/{model.replace(':', '%3A').replace('/', '%2F')}/{operation}".encode()
    )


async def call(px, body, *, operation="invoke", model=CLAUDE, headers=()):
    """Post a body as it is."""
    async with client(px) as raw:
        await raw.send(post(body, path=path(operation, model), headers=headers))
        return await raw.response()


@contextlib.contextmanager
def boto(px):
    """AWS's client, with credentials of its own that are good nowhere."""
    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=px.url,
        region_name="eu-west-1",
        aws_access_key_id="AKIDCLIENT",
        aws_secret_access_key="client",
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )
    with contextlib.closing(client):
        yield client


def called(px, operation, **arguments):
    """What an operation of AWS's client returns, its body read."""
    with boto(px) as client:
        found = getattr(client, operation)(**arguments)
        for name, value in found.items():
            if name in {"body", "stream"}:
                with contextlib.closing(value):
                    is_whole = operation == "invoke_model"
                    found[name] = json.loads(value.read()) if is_whole else list(value)
        return found


def sdk(px, **options):
    return anthropic.AnthropicBedrock(
        aws_access_key="AKIDCLIENT",
        aws_secret_key="client",
        aws_session_token="client-session",
        aws_region="eu-west-1",
        base_url=px.url,
        max_retries=0,
        **options,
    )


def streamed(client, messages=None, **more):
    """The final message of a stream of the official SDK."""
    with client.messages.stream(
        model=CLAUDE,
        max_tokens=100,
        messages=messages or [{"role": "user", "content": "Hi"}],
        **more,
    ) as stream:
        return stream.get_final_message()


def created(client, messages, **more):
    return client.messages.create(
        model=CLAUDE, max_tokens=100, messages=messages, **more
    )
