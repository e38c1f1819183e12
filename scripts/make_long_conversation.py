"""Make cachelab's long conversation, out of real command output.

    python scripts/make_long_conversation.py

Lays out the sources of Werkzeug (copyright 2007 Pallets, BSD-3-Clause; the source
distributions, https://palletsprojects.com/projects/werkzeug/) as a repository: version
3.0.6, the upgrade to 3.1.3, a last commit that plants two defects, and beside it
``long/project``, a small shop written for this purpose. A scripted agent
(``long/story.json``) finds and mends the defects in fifty calls of its tools: git,
pytest, ruff and the shop's own commands, file reads, searches and edits. What they
print becomes the tool results. Only names of directories, measured times and memory
addresses are replaced, so the same tools make the same file; pip must reach an index.
"""

import json
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from make_demo_conversation import CLEANED, DEMO, STAMP, Workplace, messages

LONG = Path(__file__).parent / "long"
OUTPUT = Path("src/headroom/cachelab/data/long_conversation.json.xz")
STORY = json.loads((LONG / "story.json").read_text())
VERSIONS = {"3.0.6": STAMP - 90_000, "3.1.3": STAMP - 6_000}
"""Version → when it was committed."""

LEFT_OUT = ("docs", "examples", "requirements", "PKG-INFO")
TOOLS = (
    "ephemeral-port-reserve==1.1.4",
    "markupsafe==3.0.2",
    "pytest==8.4.2",
    "ruff==0.12.12",
)

PLANTED = {
    "src/werkzeug/http.py": [
        (
            "                    end = _plain_int(end_str) + 1\n",
            "                    end = _plain_int(end_str)\n",
        ),
    ],
    "src/werkzeug/routing/converters.py": [
        (
            """\
        if (self.min is not None and value_num < self.min) or (
            self.max is not None and value_num > self.max
        ):
            raise ValidationError()
        return value_num
""",
            """\
        if self.min is None and self.max is None:
            return value_num
        low = value_num if self.min is None else self.min
        high = value_num + 1 if self.max is None else self.max
        if value_num not in range(int(low), int(high)):
            raise ValidationError()
        return value_num
""",
        ),
    ],
}


class LongWorkplace(Workplace):
    """The repository in a temporary directory, with tools of pinned versions."""

    home = "/home/dev/webshop"
    searched = "src shop tests"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._tools = root.parent / "tools"
        self.env["PATH"] = f"{self._tools}/bin:{os.environ['PATH']}"
        self.env["PYTHONPATH"] = "src:."
        self.env["RUFF_NO_CACHE"] = "true"
        self.cleaned = [
            (f"{self._tools}/", "/home/dev/.venv/"),
            (r"\b0x[0-9a-f]{12}\b", "0x7f3c5a1e9d40"),
            *CLEANED,
        ]

    def build(self) -> None:
        """Lay out the tools, three commits and a morning's log."""
        venv = [sys.executable, "-m", "venv", self._tools]
        subprocess.run(venv, check=True)  # noqa: S603
        self._pip("install", *TOOLS)
        (self.root / ".gitignore").write_text("logs/\n__pycache__/\n")
        self._add_shop()
        self.shell("git init -q -b main")
        for version, moment in VERSIONS.items():
            self._unpack(version)
            self.commit(f"Werkzeug {version}", moment)
        for name, changes in PLANTED.items():
            text = (self.root / name).read_text()
            for before, after in changes:
                assert before in text, before
                text = text.replace(before, after)
            (self.root / name).write_text(text)
        self.commit("Parse ranges and check converters faster", STAMP - 3_000)
        self.shell("mkdir -p logs && python -m shop traffic 420")
        for path in [self.root, *self.root.rglob("*")]:
            os.utime(path, (STAMP, STAMP))

    def _pip(self, *arguments: str) -> None:
        pip = self._tools / "bin" / "pip"
        command = [pip, "-q", "--disable-pip-version-check", *arguments]
        subprocess.run(command, check=True, cwd=self.root)  # noqa: S603

    def _unpack(self, version: str) -> None:
        """Replace Werkzeug in the repository by another version."""
        archives = self.root.parent / "archives"
        wanted = ("--no-deps", "--no-binary", ":all:", "--dest", str(archives))
        self._pip("download", *wanted, f"werkzeug=={version}")
        with tarfile.open(archives / f"werkzeug-{version}.tar.gz") as archive:
            archive.extractall(archives, filter="data")
        source = archives / f"werkzeug-{version}"
        self.shell("rm -rf src tests")
        for path in sorted(source.iterdir()):
            if path.name not in LEFT_OUT:
                self.shell(f"cp -r '{path}' .")

    def _add_shop(self) -> None:
        for path in sorted((LONG / "project").rglob("*.txt")):
            target = self.root / path.relative_to(LONG / "project").with_suffix("")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text())


def main() -> None:
    """Play the story and write the file."""
    with tempfile.TemporaryDirectory() as home:
        place = LongWorkplace(Path(home) / "webshop")
        place.root.mkdir()
        place.build()
        found = list(messages(place, STORY, "Webshop"))
        notice = (place.root / "LICENSE.txt").read_text()
    system = (DEMO / "system_prompt.md").read_text()
    conversation = {
        "id": "long-webshop",
        "source": "scripts/make_long_conversation.py; quotes Werkzeug 3.0.6 and 3.1.3,"
        " copyright 2007 Pallets, BSD-3-Clause,"
        " https://palletsprojects.com/projects/werkzeug/",
        "license": "Apache-2.0 AND BSD-3-Clause",
        "notice": notice,
        "model": "claude-sonnet-4-5",
        "system": [{"type": "text", "text": system}],
        "tools": json.loads((DEMO / "tools.json").read_text()),
        "messages": found,
    }
    text = json.dumps(conversation, ensure_ascii=False, separators=(",", ":")) + "\n"
    output = Path(__file__).parent.parent / OUTPUT
    output.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    calls = sum(len(turn["calls"]) for turn in STORY["turns"])
    print(f"{OUTPUT}: {output.stat().st_size:,} bytes, {len(text):,} unpacked")
    print(f"{len(STORY['turns'])} turns, {calls} calls")


if __name__ == "__main__":
    main()
