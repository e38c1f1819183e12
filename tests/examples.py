"""Examples of the documentation, run as they stand, with no network but this host."""

import asyncio
import contextlib
import os
import re
import sys
from pathlib import Path

from headroom.cachelab.lab import Lab, TokenCounter
from headroom.cachelab.script import Script
from headroom.cachelab.server import make_app, serving
from jobs import ANSWERS

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "integrations"
OFFLINE = Path(__file__).parent / "offline"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name):
    """The Python blocks of a page, in order."""
    return _BLOCK.findall((PAGES / name).read_text())


@contextlib.asynccontextmanager
async def lab(**more):
    """A billing provider that knows one conversation; its key ends in ``sdk``."""
    made = Lab(TokenCounter(), script=Script(**more), keeps_requests=True)
    made.script.register("sdk", ANSWERS)
    async with serving(make_app(made)) as url:
        yield made, url


async def run(code, url, folder):
    """What a program prints that finds its provider by the SDKs' own variables."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HEADROOM_")}
    path = [str(OFFLINE), str(ROOT / "src")]
    environment = clean | {
        "ANTHROPIC_API_KEY": "sk-ant-cachelab-sdk",
        "ANTHROPIC_BASE_URL": url,
        "OPENAI_API_KEY": "sk-cachelab-sdk",
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "PYTHONPATH": os.pathsep.join(path),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    program = folder / "example.py"
    program.write_text(code)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()
