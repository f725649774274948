"""What stands in for Python: asks the server for a process and waits for its end; the standard library alone, to be quick.

WARM_SERVER names the server's sockets, WARM_ENVIRONMENT what of its environment packages have read.
"""

import json
import os
import signal
import socket
import sys

LENGTH = 16  # digits of a request's length, which go before it
# Beginnings of the variables that packages read while they are imported: any of them, and those that talk to a hub.
READ_AT_IMPORT = ("CUDA", "MPL", "NUMBA", "PYTHONH", "TORCH_")
READ_BY_HUBS = ("DATASETS", "HF_", "HOME", "HUGGINGFACE", "PEFT", "TRANSFORMERS", "XDG_")


def read(environment, beginnings):
    """Those variables of an environment that begin so."""
    return {name: value for name, value in environment.items() if name.startswith(beginnings)}


def main(python, arguments):
    address = os.environ.get("WARM_SERVER")
    always, by_hubs = json.loads(os.environ.get("WARM_ENVIRONMENT", "[{}, {}]"))
    option = arguments[0] if arguments and arguments[0].startswith("-") else "-c"
    if not (address and arguments) or option not in ("-m", "-c") or read(os.environ, READ_AT_IMPORT) != always:
        os.execv(python, [python, *arguments])
    asking = socket.socket(socket.AF_UNIX)
    asking.connect(f"{address}-whole" if read(os.environ, READ_BY_HUBS) == by_hubs else f"{address}-without")
    folder = os.getcwd()  # noqa: PTH109 - pathlib takes longer to import than all of this
    request = json.dumps({"arguments": arguments, "environment": dict(os.environ), "folder": folder}).encode()
    socket.send_fds(asking, [str(len(request)).zfill(LENGTH).encode()], [0, 1, 2])
    asking.sendall(request)
    said = asking.recv(16)
    code = int(said) if said else 1
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
