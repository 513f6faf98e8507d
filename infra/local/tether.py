"""Runs a command that ends together with the process that started it.

`tether.py COMMAND [ARGUMENT…]` starts the command in a process group of its
own and waits for it. It ends the group when its standard input closes, which
the kernel does when the starting process ends or is killed, and on SIGTERM,
SIGINT and SIGHUP. The command has no input.
"""

import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 5


def main() -> int:
    child = subprocess.Popen(
        sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True
    )

    def signal_group(number: int) -> None:
        try:
            os.killpg(child.pid, number)
        except (ProcessLookupError, PermissionError):
            # The group is empty (macOS reports "not permitted").
            pass

    def end(*_: object) -> None:
        signal_group(signal.SIGTERM)
        kill = threading.Timer(GRACE_SECONDS, signal_group, [signal.SIGKILL])
        kill.daemon = True
        kill.start()

    def watch_input() -> None:
        while os.read(0, 4096):
            pass
        end()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    threading.Thread(target=watch_input, daemon=True).start()

    status = child.wait()
    # The command may have left processes of its own.
    signal_group(signal.SIGKILL)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
