"""Runs a command that ends when we do.

`tether.py COMMAND [ARGUMENT…]` starts the command in a process group of its
own and waits for it. The group is ended when our standard input closes, which
the kernel does for whoever started us, also when that process was killed; and
when we are told to end. The command itself reads nothing.
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
            # Nobody is left in the group (macOS says "not permitted").
            pass

    def end(*_: object) -> None:
        signal_group(signal.SIGTERM)
        impatient = threading.Timer(GRACE_SECONDS, signal_group, [signal.SIGKILL])
        impatient.daemon = True
        impatient.start()

    def watch_input() -> None:
        while os.read(0, 4096):
            pass
        end()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    threading.Thread(target=watch_input, daemon=True).start()

    status = child.wait()
    # What the command itself started and left behind goes with it.
    signal_group(signal.SIGKILL)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
