"""``headroom cachelab``: a provider that bills like the real one, and its replayer."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import ExitStack

    from headroom.cachelab.clients import Recording, Replayed
    from headroom.cachelab.conversations import Conversation
    from headroom.cachelab.measure import Result
    from headroom.cachelab.replay import Options, Progress, Restart

_FILE_COLUMNS = 140
_SOCKETS = "responses-ws"
_APIS = ("messages", "chat", "responses", _SOCKETS, "gemini")
_MARKERS = ("newest", "system", "none", "as-recorded")


@click.group("cachelab")
def command() -> None:
    """A provider that bills like the real one, for measuring any proxy."""


@command.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8788,
    show_default=True,
    help="0: a free one.",
)
@click.option(
    "--strict-thinking",
    is_flag=True,
    help="Refuse thinking blocks whose signature was not issued here.",
)
@click.option(
    "--retrieve",
    default=0,
    metavar="N",
    help="The scripted model asks back every N-th lossy block.",
)
def serve(host: str, port: int, *, strict_thinking: bool, retrieve: int) -> None:
    """Run the provider until interrupted; caches live by the real clock."""
    import uvicorn

    from headroom.cachelab.lab import Clock, Lab, TokenCounter
    from headroom.cachelab.script import Script
    from headroom.cachelab.server import make_app
    from headroom.inference.vocabulary import load_encoding

    load_encoding("o200k_base")
    lab = Lab(
        TokenCounter(),
        clock=Clock(is_real=True),
        script=Script(retrieve_every=retrieve),
        is_strict_thinking=strict_thinking,
    )
    click.echo(f"cachelab listens on http://{host}:{port}", err=True)
    uvicorn.run(
        make_app(lab),
        host=host,
        port=port,
        lifespan="off",
        log_level="warning",
        server_header=False,
    )


@command.command()
@click.argument("conversations", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--target",
    metavar="URL",
    help="The proxy to measure, whose upstream is cachelab (see --listen). "
    "Default: a Headroom proxy is started for the run.",
)
@click.option("--listen", default=0, metavar="PORT", help="cachelab's port.")
@click.option("--direct-only", is_flag=True, help="Measure no proxy at all.")
@click.option("--proxy-args", default="", help="Arguments for the proxy started here.")
@click.option(
    "--markers",
    type=click.Choice(_MARKERS),
    default="newest",
    show_default=True,
    help="Where the client sets its cache markers.",
)
@click.option(
    "--api",
    type=click.Choice(_APIS),
    default="messages",
    show_default=True,
    help="The API that is spoken; conversations are put into its shape.",
)
@click.option("--model", default="", help="Instead of the recorded one.")
@click.option("--stream/--no-stream", default=True, help="How answers are asked for.")
@click.option("--thinking", is_flag=True, help="The model thinks before it answers.")
@click.option("--strict-thinking", is_flag=True, help="Refuse foreign signatures.")
@click.option("--resend", is_flag=True, help="Send a middle turn again at the end.")
@click.option("--new-connection", is_flag=True, help="One connection per request.")
@click.option("--parallel", default=1, metavar="N", help="Copies at once.")
@click.option("--restart-command", metavar="CMD", help="Run in mid-conversation.")
@click.option(
    "--kill-restart",
    is_flag=True,
    help="kill -9 the proxy started here in mid-conversation, and start it again.",
)
@click.option(
    "--pause", default=0.0, metavar="SECONDS", help="Virtual time that passes there."
)
@click.option(
    "--retrieve", default=0, metavar="N", help="Ask back every N-th lossy block."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def run(conversations: tuple[Path, ...], **options: Any) -> None:
    """Replay CONVERSATIONS directly and through a proxy, and compare the bills.

    Files, directories, or the names of what ships with the package: `demo` (which is
    also what is run without any) and `long`, fifty calls of a coding agent's tools.
    The exit status is 1 if a prefix was broken or anything failed.
    """
    import asyncio

    import msgspec

    from headroom.cachelab import report
    from headroom.cachelab.conversations import SHIPPED, load
    from headroom.errors import ConfigError

    if options["thinking"] and options["api"] != "messages":
        raise click.ClickException("--thinking is for the Messages API alone")
    try:
        is_socket = options["api"] == _SOCKETS
        loaded = load(
            list(conversations) or [SHIPPED],
            "responses" if is_socket else options["api"],
        )
        results, strays = asyncio.run(_measure(loaded, options))
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    if options["as_json"]:
        click.echo(msgspec.json.encode(report.as_json(results, strays)))
    else:
        from rich.console import Console

        console = Console()
        if not console.is_terminal:
            console.width = _FILE_COLUMNS
        report.print_report(console, results, strays)
    if report.problems(results):
        raise SystemExit(1)


@command.command()
@click.argument("recordings", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--target",
    metavar="URL",
    help="The proxy to measure, whose upstream is cachelab (see --listen). "
    "Default: a Headroom proxy is started for the run.",
)
@click.option("--listen", default=0, metavar="PORT", help="cachelab's port.")
@click.option("--proxy-args", default="", help="Arguments for the proxy started here.")
@click.option("--restart-command", metavar="CMD", help="Run in the middle.")
@click.option(
    "--kill-restart",
    is_flag=True,
    help="kill -9 the proxy started here in the middle, and start it again.",
)
@click.option(
    "--retrieve", default=0, metavar="N", help="Ask back every N-th lossy block."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def clients(recordings: tuple[Path, ...], **options: Any) -> None:
    """Replay RECORDINGS of clients, directly and through a proxy, as they were sent.

    Files of one request per line (see the guide), or directories of them. The exit
    status is 1 if a prefix was broken that the client did not break itself, an answer
    arrived with other bytes, or anything failed.
    """
    import asyncio

    import msgspec

    from headroom.cachelab import report
    from headroom.cachelab.clients import load
    from headroom.errors import ConfigError

    try:
        loaded = load(recordings)
        replays = asyncio.run(_replay_clients(loaded, options))
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    if options["as_json"]:
        click.echo(msgspec.json.encode(report.clients_as_json(replays)))
    else:
        from rich.console import Console

        console = Console()
        if not console.is_terminal:
            console.width = _FILE_COLUMNS
        report.print_clients(console, replays)
    if report.client_problems(replays):
        raise SystemExit(1)


async def _replay_clients(
    loaded: "Sequence[Recording]", options: dict[str, Any]
) -> "list[Replayed]":
    import contextlib

    from headroom.cachelab.clients import replay
    from headroom.cachelab.launcher import end_on_sigterm
    from headroom.cachelab.replay import Options, bench

    end_on_sigterm()
    with contextlib.ExitStack() as stack:
        target = _target(stack, options)
        settings = Options(retrieve_every=options["retrieve"])
        async with bench(
            settings, listen_port=options["listen"], target=target
        ) as running:
            with _Progress(is_quiet=options["as_json"]) as progress:
                return [await replay(running, one, progress) for one in loaded]


async def _measure(
    loaded: "Sequence[Conversation]", options: dict[str, Any]
) -> "tuple[list[Result], int]":
    import contextlib

    from headroom.cachelab.launcher import end_on_sigterm
    from headroom.cachelab.replay import bench, unattributed

    end_on_sigterm()
    with contextlib.ExitStack() as stack:
        target = None if options["direct_only"] else _target(stack, options)
        async with bench(
            _options(options), listen_port=options["listen"], target=target
        ) as running:
            with _Progress(is_quiet=options["as_json"]) as progress:
                results = await running.run(list(loaded), progress)
            names = {result.name for result in results}
            lab = running.target.lab if running.target else running.direct.lab
            return results, len(unattributed(lab, names))


def _options(options: dict[str, Any]) -> "Options":
    from headroom.cachelab.conversations import Sending
    from headroom.cachelab.replay import Options

    return Options(
        sending=Sending(
            markers=options["markers"],
            model=options["model"],
            is_stream=options["stream"],
            thinks=options["thinking"],
        ),
        resends=options["resend"],
        is_reconnecting=options["new_connection"],
        parallel=options["parallel"],
        pause_s=options["pause"],
        retrieve_every=options["retrieve"],
        is_strict_thinking=options["strict_thinking"],
        uses_sockets=options["api"] == _SOCKETS,
    )


def _target(
    stack: "ExitStack", options: dict[str, Any]
) -> "Callable[[str], Awaitable[tuple[str, Restart | None]]]":
    """Where the target is: the one given, or a Headroom started for the run."""
    import shlex

    from headroom.cachelab.launcher import headroom, shell_command

    shell = options["restart_command"]
    restart = shell_command(shell) if shell else None

    async def given(_upstream: str) -> "tuple[str, Restart | None]":
        return options["target"], restart

    async def started(upstream: str) -> "tuple[str, Restart | None]":
        proxy = stack.enter_context(
            headroom(upstream, shlex.split(options["proxy_args"]))
        )
        await proxy.ready()
        return proxy.url, proxy.restart if options["kill_restart"] else restart

    return given if options["target"] else started


class _Progress:
    """A progress bar on standard error, if someone is looking at it."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._bars: Any = None  # rich is imported only if it is used
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> "Progress | None":
        if self._is_quiet:
            return None
        from rich.console import Console
        from rich.progress import Progress as Bars

        self._bars = Bars(console=Console(stderr=True), transient=True)
        self._bars.start()
        return self._step

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def _step(self, name: str, turn: int, turns: int) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=turns)
        self._bars.update(self._tasks[name], completed=turn, visible=turn < turns)
