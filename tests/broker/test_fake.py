"""The built-in provider, behind the broker as it is started."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from headroom.broker.app import make_loader
from headroom.settings import Settings

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "broker.md"
ENTRY = "from headroom.cli.main import main; main()"


def guide_file():
    return re.search(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)[1]


@pytest.fixture
def started(tmp_path):
    """A broker started from the command line; yields its URL."""
    (tmp_path / "models.yml").write_text(guide_file())
    environ = {**os.environ, "TEAM_A_KEY": "sk-a", "HEADROOM_DATA_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, "broker", "--models", "models.yml", "--fake",
         "--port", "0", "--compression"],
        cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process.stdout.readline().split()[-1].decode()
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors


def ask(url, path, body=None, **headers):
    request = urllib.request.Request(
        url + path,
        None if body is None else json.dumps(body).encode(),
        {"content-type": "application/json", "authorization": "Bearer sk-a", **headers},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode()


@pytest.mark.e2e
def test_the_guide_s_file_runs_with_the_fake_provider(started):
    said = [{"role": "user", "content": "hello"}]
    chat = {"model": "default", "messages": said}
    assert json.loads(ask(started, "/v1/chat/completions", chat))["usage"]
    stream = ask(started, "/v1/chat/completions", {**chat, "stream": True})
    assert stream.rstrip().endswith("data: [DONE]")
    found = json.loads(ask(started, "/v1/models"))["data"]
    assert [model["id"] for model in found] == ["fast", "default"]
    embeddings = {"model": "gpt-embed", "input": ["a", "b"]}
    vectors = json.loads(ask(started, "/v1/embeddings", embeddings))["data"]
    assert vectors[0]["embedding"] != vectors[1]["embedding"]
    responses = {"model": "gpt-5", "input": "hello"}
    assert json.loads(ask(started, "/v1/responses", responses))["output"]
    assert json.loads(ask(started, "/health"))["compression"] is True
    assert 'headroom_broker_tokens_total{class="input_tokens",key="team-a"' in ask(
        started, "/metrics"
    )


def test_the_guide_names_every_member_of_the_file(tmp_path):
    text = GUIDE.read_text()
    from headroom.broker import models_file

    for entry in (models_file.ModelsFile, models_file.Key, models_file.Backend,
                  models_file.Target, models_file.Model, models_file.Retries,
                  models_file.Limits):  # fmt: skip
        for name in entry.__struct_fields__:
            assert name in text, name
    assert yaml.safe_load(guide_file())["models"]


def test_without_a_file_there_is_one_model_called_fake():
    load = make_loader(None, Settings(), {}, fake_url="http://127.0.0.1:1")
    assert list(load().models) == ["fake"]


@pytest.mark.e2e
def test_the_official_clients_are_served(started):
    import anthropic
    import openai

    said = [{"role": "user", "content": "hello"}]
    with openai.OpenAI(base_url=f"{started}/v1", api_key="sk-a") as client:
        answer = client.chat.completions.create(model="fast", messages=said)
        assert answer.choices[0].message.content
        stream = client.chat.completions.create(
            model="fast", messages=said, stream=True
        )
        assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
        assert client.responses.create(model="gpt-5", input="hello").output_text
        assert [m.id for m in client.models.list()] == ["fast", "default"]
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="none", messages=said)
    with (
        openai.OpenAI(base_url=f"{started}/v1", api_key="wrong") as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()
    with anthropic.Anthropic(base_url=started, api_key="sk-a") as client:
        message = client.messages.create(model="fast", max_tokens=9, messages=said)
        assert message.content[0].text
