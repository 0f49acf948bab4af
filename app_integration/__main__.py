"""`python -m app_integration COMMAND`: each command is a sub-package's, which is imported only when it is asked for."""

import sys
from importlib import import_module

COMMANDS = {
    "audit": ("app_integration.workers.audit.command", "workers"),
    "contracts": ("app_integration.contracts.command", "contracts"),
    "example": ("app_integration.example.command", "example"),
    "realtime": ("app_integration.realtime.command", "realtime"),
    "webhook": ("app_integration.workers.integrations.command", "workers"),
    "worker": ("app_integration.workers.command", "workers"),
}
"""By name: the module whose `main(arguments)` returns the exit code, and the extra that it needs."""


def main() -> int:
    """Find the command and run it; return its exit code."""
    name, arguments = (sys.argv[1] if len(sys.argv) > 1 else ""), sys.argv[2:]
    if name not in COMMANDS:
        print(f"usage: python -m app_integration {{{','.join(COMMANDS)}}} …", file=sys.stderr)  # noqa: T201
        return 0 if name in {"-h", "--help"} else 2
    module, extra = COMMANDS[name]
    try:
        run = import_module(module).main
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] == "app_integration":
            raise
        print(f"{name} needs {missing.name}: pip install 'outbox-relay[{extra}]'", file=sys.stderr)  # noqa: T201
        return 2
    return int(run(arguments))


if __name__ == "__main__":
    sys.exit(main())
