"""Make the conversation that ships with the package, out of real command output.

    python scripts/make_demo_conversation.py

Copies ``demo/project`` (a small tracking service, written for this purpose) into a
temporary directory, gives it a history whose last commit plants two defects, and lets
a scripted agent (``demo/story.json``) find and mend them with real commands: git, curl,
grep, pytest, and file reads and edits as a coding agent's tools do them. What they
print becomes the tool results. Only the directory's name, measured times and the owners
of files are replaced, so the same tools make the same file; port 8099 must be free.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEMO = Path(__file__).parent / "demo"
OUTPUT = Path("src/headroom/cachelab/data/demo_conversation.json")
STORY = json.loads((DEMO / "story.json").read_text())
HOME = "/home/dev/parcels"
PORT = 8099
STAMP = 1_762_160_400  # 2025-11-03 09:00 UTC

PLANTED = {
    "src/parcels/eta.py": [
        (
            "    if is_working_day(day) and received_at.time() < CUT_OFF:\n",
            "    if received_at.hour <= CUT_OFF.hour:\n",
        ),
        (
            "import add_working_days, is_working_day, next_working_day",
            "import add_working_days, next_working_day",
        ),
    ],
    "src/parcels/report.py": [
        (
            """    exact = Decimal(price_cents) * Decimal(str(percent)) / 100
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))
""",
            "    return int(price_cents * percent / 100)\n",
        ),
        ("from decimal import ROUND_HALF_UP, Decimal\n", ""),
        ("commercially rounded to whole cents", "in whole cents"),
    ],
}

# What differs from machine to machine and from run to run, and what stands for it.
CLEANED = [
    (r" in \d+\.\d\ds", " in 0.21s"),
    (r"(?m)^total \d+$", "total 48"),
    (r"(?m)^([d-][rwx-]{9}) +(\d+) \S+ \S+ +(\d+)", r"\1 \2 dev dev \3"),
    (r"(?m)^(d[rwx-]{9} .*? dev dev) \d+", r"\1 4096"),
    (r"(?m)^(d[rwx-]{9}) \d+ (.*) \S+ \S+ \.\.$", r"\1 3 \2 2025-11-03 09:00 .."),
]


class Workplace:
    """The project in a temporary directory, and the agent's tools that work in it.

    Attributes:
        home: what stands for the directory's name.
        searched: the directories that are searched.
        cleaned: patterns, and what stands for what they match.
    """

    home = HOME
    searched = "src tests tools"
    cleaned = CLEANED

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(root.parent),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "-p no:cacheprovider",
            "GIT_CONFIG_GLOBAL": "/dev/null",
        }
        for who in ("AUTHOR", "COMMITTER"):
            self.env[f"GIT_{who}_NAME"] = "dev"
            self.env[f"GIT_{who}_EMAIL"] = "dev@example.com"

    def build(self) -> None:
        """Lay out files, two commits, data and a log."""
        source = DEMO / "project"
        for path in sorted(source.rglob("*.txt")):
            target = self.root / path.relative_to(source).with_suffix("")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        (self.root / ".gitignore").write_text("data/\nlogs/\n__pycache__/\n")
        self.shell("PYTHONPATH=src python tools/seed.py && git init -q -b main")
        self.commit("Track shipments, estimate arrivals, report", STAMP - 90_000)
        for name, changes in PLANTED.items():
            text = (self.root / name).read_text()
            for before, after in changes:
                assert before in text, before
                text = text.replace(before, after)
            (self.root / name).write_text(text)
        self.commit("Simplify cut-off and surcharge arithmetic", STAMP - 7_000)
        self.shell("PYTHONPATH=src python tools/traffic.py")
        for path in [self.root, *self.root.rglob("*")]:
            os.utime(path, (STAMP, STAMP))

    def commit(self, subject: str, moment: int) -> None:
        """Commit everything as of a moment."""
        dates = f"GIT_AUTHOR_DATE='{moment} +0000' GIT_COMMITTER_DATE='{moment} +0000'"
        self.shell(f"git add -A && {dates} git commit -q -m '{subject}'")

    def shell(self, command: str) -> str:
        """What a command prints, and its exit status if it failed."""
        done = subprocess.run(  # noqa: S603
            ["bash", "-c", command],  # noqa: S607
            cwd=self.root,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        text = self.clean(done.stdout.decode())
        return f"{text}\nExit status {done.returncode}" if done.returncode else text

    def clean(self, text: str) -> str:
        """Replace what differs from machine to machine and from run to run."""
        text = text.replace(str(self.root), self.home)
        text = text.replace(f"{Path(sys.executable).parent}/", "/usr/bin/")
        for pattern, replacement in self.cleaned:
            text = re.sub(pattern, replacement, text)
        return text.rstrip("\n")

    def call(self, name: str, given: dict[str, Any]) -> str:
        """Run one of the agent's tools."""
        path = Path(given.get("file_path", "").replace(self.home, str(self.root)))
        match name:
            case "Bash":
                long_form = "ls -la --time-style=long-iso"
                return self.shell(given["command"].replace("ls -la", long_form))
            case "Read":
                first = given.get("offset", 1)
                end = first - 1 + given.get("limit", 2000)
                lines = path.read_text().splitlines()[first - 1 : end]
                numbered = enumerate(lines, first)
                return "\n".join(f"{n:6}\t{line}" for n, line in numbered)
            case "Edit":
                text, old = path.read_text(), given["old_string"]
                assert text.count(old) == 1, old
                path.write_text(text.replace(old, given["new_string"]))
                os.utime(path, (STAMP + 600, STAMP + 600))
                return f"The file {given['file_path']} has been updated."
            case "Grep":
                files = f"$(find {self.searched} -name '{given['glob']}' | sort)"
                context = f"-C {given['context']}" if "context" in given else ""
                return self.shell(f"grep -nE {context} '{given['pattern']}' {files}")
            case "Glob":
                found = sorted(str(p) for p in self.root.glob(given["pattern"]))
                return self.clean("\n".join(found))
        raise ValueError(name)


def messages(
    place: Workplace, story: dict[str, Any], ids: str
) -> Iterator[dict[str, Any]]:
    """The conversation, message by message, while the agent works."""
    yield {"role": "user", "content": story["question"]}
    number = 0
    for turn in story["turns"]:
        text = turn["text"]
        blocks: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
        results: list[dict[str, Any]] = []
        for call in turn["calls"]:
            number += 1
            call_id = f"toolu_01{ids}{number:013d}"
            blocks.append({"type": "tool_use", "id": call_id, **call})
            output = place.call(call["name"], call["input"])
            result = {
                "type": "tool_result",
                "tool_use_id": call_id,
                "content": output,
            }
            if re.search(r"(?m)^Exit status", output):
                result["is_error"] = True
            results.append(result)
        yield {"role": "assistant", "content": blocks}
        if results:
            yield {"role": "user", "content": results}


def wait_for_server() -> None:
    """Return as soon as the project's API answers."""
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/report").read()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the project's server does not start")


def main() -> None:
    """Play the story and write the file."""
    with tempfile.TemporaryDirectory() as home:
        place = Workplace(Path(home) / "parcels")
        place.root.mkdir()
        place.build()
        server = subprocess.Popen(  # noqa: S603
            [sys.executable, str(DEMO.resolve() / "server.py"), str(PORT)],
            cwd=place.root,
            env={**place.env, "PYTHONPATH": "src"},
        )
        try:
            wait_for_server()
            found = list(messages(place, STORY, "Parcels"))
        finally:
            server.kill()
            server.wait()
    conversation = {
        "id": "demo-parcels",
        "source": "scripts/make_demo_conversation.py",
        "license": "Apache-2.0",
        "model": "claude-sonnet-4-5",
        "system": [{"type": "text", "text": (DEMO / "system_prompt.md").read_text()}],
        "tools": json.loads((DEMO / "tools.json").read_text()),
        "messages": found,
    }
    output = Path(__file__).parent.parent / OUTPUT
    output.write_text(json.dumps(conversation, ensure_ascii=False, indent=1) + "\n")
    print(f"{OUTPUT}: {output.stat().st_size:,} bytes, {len(STORY['turns'])} turns")


if __name__ == "__main__":
    main()
