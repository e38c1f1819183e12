"""How heavy is Headroom: import, command, start, idle memory, install?

Usage: ``python -m benchmarks.footprint [--install]``. Times are medians of several runs
beside the interpreter's own start in the same run; ``--install`` also installs core and
proxy into an empty environment (needs a package index) and counts.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
RUNS = 9
INSTALLERS = ("pip", "setuptools", "_distutils_hack", "distutils-precedence")
"""What a new environment begins with."""


def seconds(*command):
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def medians(**commands):
    """Median seconds of each command, run in turn so that drift hits all alike."""
    found = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, command in commands.items():
            found[name].append(seconds(*command))
    return {name: median(values) for name, values in found.items()}


def resident_mb(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def start_and_idle():
    """Seconds until the proxy says it listens, and its memory two seconds later."""
    with tempfile.TemporaryDirectory() as data:
        environment = {
            **os.environ,
            "HEADROOM_DATA_DIR": data,
            "HEADROOM_LOG_LEVEL": "off",
        }
        start = time.perf_counter()
        command = [sys.executable, "-m", "headroom.cli.main", "proxy", "--port", "0"]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            process.stdout.readline()
            ready = time.perf_counter() - start
            time.sleep(2)
            memory = resident_mb(process.pid)
            process.send_signal(signal.SIGTERM)
        return ready, memory


def installed(environment):
    """Megabytes and packages of a virtual environment, without what installs them."""
    site = next(Path(environment).glob("lib/*/site-packages"))
    size, packages = 0, 0
    for entry in site.iterdir():
        if entry.name.startswith(INSTALLERS):
            continue
        files = entry.rglob("*") if entry.is_dir() else (entry,)
        size += sum(f.stat().st_size for f in files if f.is_file())
        packages += entry.suffix == ".dist-info"
    return size / 1e6, packages


def install(extras=""):
    """Megabytes and packages of this project in an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = Path(folder) / "bin" / "pip"
        subprocess.run([pip, "install", "--quiet", f"{ROOT}{extras}"], check=True)
        return installed(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--install", action="store_true")
    options = parser.parse_args()
    python = sys.executable
    headroom = str(Path(python).parent / "headroom")
    found = medians(
        python=(python, "-c", "pass"),
        import_=(python, "-c", "import headroom"),
        use=(python, "-c", "import headroom; headroom.compress_text"),
        help_=(headroom, "--help"),
    )
    base = found["python"]
    print(
        f"import headroom        {1000 * (found['import_'] - base):6.0f} ms over python"
    )
    print(f"… and its functions    {1000 * (found['use'] - base):6.0f} ms over python")
    print(
        f"headroom --help        {1000 * found['help_']:6.0f} ms"
        f" (python {1000 * base:.0f})"
    )
    starts = [start_and_idle() for _ in range(3)]
    print(f"proxy ready            {median(s[0] for s in starts):6.2f} s")
    print(f"idle memory            {median(s[1] for s in starts):6.0f} MB")
    if options.install:
        megabytes, packages = install("[proxy]")
        print(f"install core + proxy   {megabytes:6.0f} MB, {packages} packages")


if __name__ == "__main__":
    main()
