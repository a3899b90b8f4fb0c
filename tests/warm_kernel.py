"""Kernels for papermill that begin with everything imported: forks of one process, instead of six seconds of imports.

`warm_kernels` starts that process; the kernel that papermill starts is this file, which asks it for a fork and ends
with it. A fork is a kernel of its own, with names, files and working directory of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

IMPORTED = ["ipykernel.kernelapp", "symspectra.predict.batch"]
IMPORTED += [f"symspectra.exhibits.{name}" for name in ("charts", "chemical_space", "drawing", "explorer", "report")]


@contextlib.contextmanager
def warm_kernels() -> Iterator[str]:
    """A folder for the environment variable JUPYTER_PATH, in which the kernel ``python3`` is a fork."""
    with tempfile.TemporaryDirectory() as folder:  # of a short name, as that of a socket has to be
        address, spec = Path(folder) / "socket", Path(folder) / "kernels" / "python3" / "kernel.json"
        argv = [sys.executable, "-S", __file__, str(address), "-f", "{connection_file}"]
        spec.parent.mkdir(parents=True)
        spec.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(address))
            listening.listen()
            command = [sys.executable, __file__, str(listening.fileno())]
            with subprocess.Popen(command, pass_fds=[listening.fileno()]) as process:
                try:
                    yield folder
                finally:
                    process.terminate()


def serve(listening: socket.socket) -> None:
    """Import everything, then fork a kernel for each request: its arguments and directory, and its open files."""
    from matplotlib.figure import Figure

    from symspectra.exhibits import save_exhibit

    for name in IMPORTED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:  # fonts are read and more is imported when a picture is first written
        figure = Figure()
        figure.text(0.5, 0.5, "words and $x^2$")
        save_exhibit(figure, {}, folder, "first", "smoke")
    while True:
        connection, _ = listening.accept()
        message, files, *_ = socket.recv_fds(connection, 100_000, 3)
        if os.fork() == 0:
            become_kernel(connection, message, files)
        for file in files:
            os.close(file)
        connection.close()  # the fork holds it until it ends


def become_kernel(connection: socket.socket, message: bytes, files: list[int]) -> None:
    """Be a kernel until it is asked to end, or until the process that papermill started is killed."""
    os.setsid()
    threading.Thread(target=lambda: (connection.recv(1), os._exit(1)), daemon=True).start()
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.argv, directory = json.loads(message)
    os.chdir(directory)
    sys.exit(sys.modules["ipykernel.kernelapp"].launch_new_instance())


if __name__ == "__main__":
    if sys.argv[1].isdigit():
        serve(socket.socket(fileno=int(sys.argv[1])))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # papermill's, before it asks the kernel to end
    with socket.socket(socket.AF_UNIX) as kernel:
        kernel.connect(sys.argv[1])
        socket.send_fds(kernel, [json.dumps([["kernel", *sys.argv[2:]], os.getcwd()]).encode()], [0, 1, 2])
        kernel.recv(1)  # nothing comes: the fork has ended
