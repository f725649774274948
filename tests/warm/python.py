"""What stands in for Python: asks the server for a process and waits for its end; the standard library alone, to be quick.

WARM_SERVER names the server's socket, WARM_ENVIRONMENT what of its environment packages have read.
"""

import json
import os
import signal
import socket
import sys

LENGTH = 16  # digits of a request's length, which go before it
READ_AT_IMPORT = ("CUDA", "DATASETS", "HF_", "HUGGINGFACE", "MPL", "NUMBA", "PEFT", "TORCH_", "TRANSFORMERS", "XDG_")


def read_at_import(environment):
    """Those variables of an environment that packages read while they are imported."""
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_IMPORT) or name == "HOME"}


def main(python, arguments):
    address = os.environ.get("WARM_SERVER")
    plain = not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-m", "-c"))
    if plain or not address or json.loads(os.environ["WARM_ENVIRONMENT"]) != read_at_import(os.environ):
        os.execv(python, [python, *arguments])
    asking = socket.socket(socket.AF_UNIX)
    asking.connect(address)
    folder = os.getcwd()  # noqa: PTH109 - pathlib takes longer to import than all of this
    request = json.dumps({"arguments": arguments, "environment": dict(os.environ), "folder": folder}).encode()
    socket.send_fds(asking, [str(len(request)).zfill(LENGTH).encode()], [0, 1, 2])
    asking.sendall(request)
    said = asking.recv(16)
    code = int(said) if said else 1
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
