"""The ``rtlab`` command. Each subcommand imports what it needs when it runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtlab.cli.audit_command import audit
from rtlab.cli.compare_command import compare
from rtlab.cli.fault_proxy_command import proxy
from rtlab.cli.print_and_save import print_table
from rtlab.cli.probe_command import probe
from rtlab.cli.reverse_proxy_matrix_command import proxies
from rtlab.errors import RtlabError

if TYPE_CHECKING:
    from rtlab.bench.results import Result

__all__ = ["app", "main", "run"]

app = typer.Typer(
    help="A laboratory for real-time web communication that fits in a notebook.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)

Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Listen on this port of 127.0.0.1.")]


@app.command()
def lab(
    *,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
    port: Port = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Your folder; ~/rtlab-notebooks if left out.")
    ] = None,
    number: Annotated[
        str | None,
        typer.Option("--reset", metavar="NN", help="Hand out this notebook afresh, keep yours."),
    ] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Open the published notebooks.")] = False,
) -> None:
    """Open JupyterLab at your copy of the notebooks, without outputs; what you changed is kept."""
    from rtlab.notebook.start_jupyterlab import environment, jupyterlab_command, workspace

    _need_free(port)
    root, notebook, said = workspace(folder, edit=edit, number=number)
    print("\n".join(said))
    command = jupyterlab_command(root, notebook, port=port, browser=browser)
    sys.stdout.flush()
    os.execve(command[0], command, environment())


@app.command()
def serve(*, port: Port = 8765) -> None:
    """Run the lab's server alone, until Ctrl-C."""
    _need_free(port)
    asyncio.run(_serve(port or 0))


@app.command()
def doctor() -> None:
    """Check this machine, and say what to do about each fault."""
    from rtlab.cli.doctor_command import broken, examine, table

    checks = asyncio.run(examine())
    print_table(table(checks))
    if broken(checks):
        raise typer.Exit(1)


@app.command()
def bench(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Which: see `rtlab bench list`.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
    messages: Annotated[int | None, typer.Option(min=1, help="How many (ledger, metrics, scale).")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Keep what is done in this file, and go on from it (ledger).")
    ] = None,
    only: Annotated[str | None, typer.Option(help="One of its rows (scale, security, throughput).")] = None,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="See that it runs, and measure nothing (throughput, security).")
    ] = False,
) -> None:
    """Measure rtlab on this machine, beside its peers."""
    from rtlab.bench.registry import BENCHES, check_options
    from rtlab.lab.lab import Lab

    if names == ["list"]:
        print("\n".join(BENCHES))
        return
    for name in names:
        if name not in BENCHES:
            raise RtlabError(f"unknown benchmark {name!r}: expected {', '.join(BENCHES)}")

    given = {
        "messages": messages,
        "resume": None if resume is None else str(resume),
        "only": only,
        "tiny": tiny or None,
    }
    options: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    check_options(names, options)
    models: dict[str, dict[str, object]] = {}
    if "throughput" in names:
        from rtlab.models.batching import batch_delay, batch_size

        # Benchmarks must not import `rtlab.models`, so the closed forms to compare with are passed in.
        models["throughput"] = {"closed_forms": (batch_size, batch_delay)}

    results: list[Result] = []

    async def run_all() -> None:
        for name in names:
            results.extend(await BENCHES[name](Lab.start, **options, **models.get(name, {})))

    try:
        asyncio.run(run_all())
    except BaseException:
        if results:  # of the benchmarks before the one that failed
            _print_results(results, as_json=as_json)
        raise
    _print_results(results, as_json=as_json)


def _print_results(results: list[Result], *, as_json: bool) -> None:
    import msgspec

    from rtlab.bench.results import table

    if as_json:
        print(msgspec.json.format(msgspec.json.encode(results)).decode())
    else:
        print_table(table(results))


app.command()(audit)
app.command()(compare)
app.command()(probe)
app.command()(proxies)
app.command()(proxy)


def _need_free(port: int | None) -> None:
    from rtlab.processes.ports import port_is_free

    if port is not None and not port_is_free(port):
        raise RtlabError(f"port {port} is taken: choose another with --port")


async def _serve(port: int) -> None:
    from rtlab.lab.lab import Lab

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with Lab(port=port) as running:
        print(f"{running.url}\n{running.ws_url}\nadmin token {running.token}\nCtrl-C stops it", flush=True)
        while not stopped.is_set():
            running.check()
            try:
                async with asyncio.timeout(0.5):
                    await stopped.wait()
            except TimeoutError:
                continue


def run(arguments: list[str]) -> int:
    """Run the command line, and turn expected errors into one line.

    Parameters
    ----------
    arguments : list of str
        The command line without the program's name.

    Returns
    -------
    int
        The exit code: 0 success, 1 failure, 2 wrong usage.
    """
    try:
        code = app(arguments, prog_name="rtlab", standalone_mode=False)
    except typer.TyperException as error:
        if said := error.format_message():  # empty for a bare `rtlab`, which has printed its help
            print(f"rtlab: {said}", file=sys.stderr)
        return error.exit_code
    except RtlabError as error:
        print(f"rtlab: {error}", file=sys.stderr)
        return 1
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the ``rtlab`` command."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
