"""The command `snf`: its entry point, and the one place where errors become a line and an exit code.

Exit codes: 0 done; 1 something is wrong that the line on standard error names; 2 wrong usage; 3 no orchestrator runs
for the deployment; 130 and 143 interrupted.
The commands themselves are in `cli_commands.py`. To import that takes as long as the engine needs to start, so an
instance, which is started as `snf run FILE [--json]`, goes round it.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from statelessnf.errors import SnfError

# Nothing here does linear algebra or uses plug-ins of pydantic: threads for the one, and a search through all packages
# for the other, would cost every command time and an instance memory.
QUICK_START = {"OPENBLAS_NUM_THREADS": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}


def run_instance(file: Path, as_json: bool, capture_drops: Path | None = None, order: Path | None = None) -> None:
    """`snf run`. Raises SnfError."""
    from statelessnf.engine_start import EngineStart

    engine_start = EngineStart()  # before the other imports: they take as long
    from statelessnf.commands.run import run

    run(file, engine_start, as_json=as_json, capture_drops=capture_drops, order=order)


def _command() -> object:
    """Does what the words of the command line say. An exit code, or nothing."""
    match sys.argv[1:]:
        case ["run", file, *rest] if not file.startswith("-") and rest in ([], ["--json"]):
            run_instance(Path(file), as_json=bool(rest))
            return 0
        case ["run", file, "--order", order, *rest] if not file.startswith("-") and rest in ([], ["--json"]):
            run_instance(Path(file), as_json=bool(rest), order=Path(order))
            return 0
    from statelessnf.cli_commands import app

    return app(prog_name="snf", standalone_mode=False)


def _fail(line: str, code: int) -> NoReturn:
    print(f"snf: {line}", file=sys.stderr)
    sys.exit(code)


def _terminated(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)  # so that whatever is open gets closed and half-written files removed


def main() -> NoReturn:
    """Entry point of the command."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.unraisablehook = _show_unraisable
    for name, value in QUICK_START.items():
        os.environ.setdefault(name, value)
    try:
        code = _command()
    except SnfError as error:
        _raise_if_debugging(error)
        _fail(error.line(), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads: nothing to say at exit either
        sys.exit(1)
    except Exception as error:
        if getattr(error, "exit_code", None) == 2:  # a usage error of typer's; its class is private
            _wrong_usage(error)
        _raise_if_debugging(error)
        what = " ".join(str(error).split()) or "no details"
        _fail(f"internal error ({type(error).__name__}): {what}; run it again as 'snf --debug …' and report it", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _show_unraisable(what: sys.UnraisableHookArgs) -> None:
    """Ctrl-C in the middle of a library's constructor leaves it a broken object, which is not the user's concern."""
    if os.environ.get("SNF_DEBUG"):
        sys.__unraisablehook__(what)


def _wrong_usage(error: Exception) -> NoReturn:
    message = " ".join(getattr(error, "format_message", error.__str__)().split()).rstrip(".")
    if not message:  # without arguments the help was shown
        sys.exit(2)
    command = getattr(getattr(error, "ctx", None), "command_path", "snf")
    _fail(f"{message.replace('Value error, ', '')}; see '{command} --help'", 2)


def _raise_if_debugging(error: Exception) -> None:
    if os.environ.get("SNF_DEBUG"):
        raise error


if __name__ == "__main__":
    main()
