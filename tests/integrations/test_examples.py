"""The examples of pages that need nothing but the SDKs, with the network blocked."""

import subprocess
import sys

import pytest

from examples import OFFLINE, PAGES, blocks, lab, run

pytestmark = pytest.mark.e2e

PAGES_HERE = ["library.md", "sdk-clients.md", "broker.md", "asgi.md"]


@pytest.mark.parametrize(
    ("page", "code"), [(page, code) for page in PAGES_HERE for code in blocks(page)]
)
async def test_an_example_runs_as_it_stands(page, code, tmp_path):
    async with lab() as (made, url):
        out = await run(code, url, tmp_path)
    assert out.strip()
    assert not [record.error for record in made.records if record.error]


def test_every_page_has_an_example_that_is_run():
    pages = {path.name for path in PAGES.glob("*.md")} - {"README.md", "typescript.md"}
    others = {
        "frames.md",
        "langchain.md",
        "litellm.md",
        "openai-agents.md",
        "pydantic-ai.md",
        "ray.md",
    }
    assert pages == {*PAGES_HERE, *others}
    assert all(blocks(page) for page in pages)
    index = (PAGES / "README.md").read_text()
    assert all(f"({page})" in index for page in pages)


@pytest.mark.parametrize("host", ["192.0.2.1", "example.org", "2001:db8::1"])
def test_the_examples_have_no_network(host):
    code = f"import socket; socket.create_connection(({host!r}, 443), 1)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env={"PYTHONPATH": str(OFFLINE)},
        capture_output=True,
        text=True,
    )
    assert "BlockedError" in done.stderr
