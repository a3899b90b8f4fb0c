"""``symspectra serve``: the predictor behind HTTP, for programs such as electronic laboratory notebooks.

Requests and answers are JSON (docs/serve.md). Nothing that is sent is ever taken for a path. The server is that of the
standard library: each connection has a thread and carries one request, and one thread predicts for all of them.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from typing import Any

from symspectra import __version__
from symspectra.errors import ConfigError, ReadError, suggest

LIMIT_BYTES = 10_000_000  # of a request
LIMIT_SECONDS = 30.0  # for a request to arrive, and again for its answer
#: What a spectrum can be given by.
KEYS = {"text": str, "block": int, "x": list, "y": list, "x_unit": str, "y_unit": str, "peaks": bool}
_SAID = {str: "a text", int: "a whole number", list: "a list of numbers", bool: "true or false"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    text = "address to listen at; any but the default lets other machines ask (127.0.0.1)"
    parser.add_argument("--host", default="127.0.0.1", help=text)
    parser.add_argument("--port", type=int, default=8750, help="port to listen at; 0 takes one that is free (8750)")


def run(options: argparse.Namespace) -> None:
    """Answer until Ctrl-C or SIGTERM; requests that have begun are answered first."""
    try:
        service = Service((options.host, options.port), options.model)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"--host {options.host} --port {options.port}: cannot listen there ({reason})") from error
    with service:
        print(f"http://{options.host}:{service.server_port}/predict", flush=True)
        with suppress(KeyboardInterrupt):
            service.serve_forever()
    print("symspectra: stopped", file=sys.stderr)


def spectrum(kind: str, given: Any) -> Any:
    """The `Spectrum` of a text (what a file holds, or a typed list of peaks), or of points, as docs/serve.md says."""
    from symspectra.predict.tables import spectrum_of_row
    from symspectra.spectra.readers import read_one
    from symspectra.spectra.readers.peak_lists import looks_like_peaks, parse_peaks

    if kind == "formula" or (isinstance(given, str) and looks_like_peaks(given)):
        return parse_peaks(str(given), kind)
    given = {"text": given} if isinstance(given, str) else given
    if not isinstance(given, dict) or ("text" in given) == bool({"x", "y"} & given.keys()):
        raise ReadError("expected a text, or an object with text, or with x and y")
    for key, value in given.items():
        if key not in KEYS:
            raise ReadError(f"there is no {key!r}; {suggest(key, KEYS)}")
        if not isinstance(value, KEYS[key]):
            raise ReadError(f"{key} is {str(value)[:40]!r}; expected {_SAID[KEYS[key]]}")
    if "text" not in given:
        return spectrum_of_row({"modality": kind, "x": None, "y": None, **given})
    with TemporaryDirectory() as folder:  # the readers read files
        file = Path(folder) / kind
        file.write_bytes(given["text"].encode(errors="replace"))
        try:
            return read_one(file, kind, **{key: given[key] for key in ("block", "x_unit", "y_unit") if key in given})
        except ReadError as error:
            raise ReadError(str(error).replace(f"{file}: ", "")) from error


class Service(ThreadingHTTPServer):
    """The server, with the predictor of a folder (None: the shipped one); errors are those of `Predictor`."""

    daemon_threads = False  # closing waits for requests that have begun
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], folder: Path | None = None):
        from symspectra.files import MANIFEST, digest
        from symspectra.predict.predictor import Predictor

        self.predictor, self.worker = Predictor(folder), ThreadPoolExecutor(1)
        folder = self.predictor.folder
        self.model = {"name": folder.name, "digest": digest(folder / MANIFEST)[:12], "symspectra": __version__}
        super().__init__(address, _Handler)

    def answer(self, body: bytes) -> dict[str, Any]:
        """The answer to a request; `ReadError` where it is no JSON or a spectrum is not there or cannot be read."""
        try:
            given = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ReadError(f"the request cannot be read as JSON ({error})") from error
        if not isinstance(given, dict):
            raise ReadError('the request is no JSON object; expected one such as {"c13": "170.9, 60.4, 21.0"}')
        self.predictor.check_kinds(given)
        spectra = {}
        for kind, value in given.items():
            try:
                spectra[kind] = spectrum(kind, value)
            except ReadError as error:
                raise ReadError(f"{kind}: {error}") from error
        return {**self.predictor.predict(spectra).to_dict(), "model": self.model}


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def handle(self) -> None:
        late = Timer(LIMIT_SECONDS, self._stop_reading)
        late.start()
        try:
            super().handle()
        finally:
            late.cancel()

    def _stop_reading(self) -> None:
        with suppress(OSError):  # the other side is gone already
            self.connection.shutdown(socket.SHUT_RD)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isdecimal() and len(length) < 16):
            return self.send_error(411, "expected the number of bytes of the request in Content-Length")
        pieces, left, large = [], int(length), int(length) > LIMIT_BYTES
        while left and (piece := self.rfile.read(min(left, 2**20))):  # what is too large too: then the answer is heard
            left -= len(piece)
            pieces += [] if large else [piece]
        if large:
            self.send_error(413, f"the request has {int(length):,} bytes; expected at most {LIMIT_BYTES:,}")
        elif left:
            self.send_error(408, f"{left:,} of {length} bytes are missing; expected all within {LIMIT_SECONDS:g} s")
        elif self.path != "/predict":
            self.send_error(404, f"there is no {self.path}; expected POST /predict")
        else:
            self._predict(b"".join(pieces))

    def _predict(self, body: bytes) -> None:
        answered = self.server.worker.submit(self.server.answer, body)
        try:
            self._send(200, answered.result(LIMIT_SECONDS))
        except ReadError as error:
            self.send_error(400, str(error))
        except TimeoutError:
            answered.cancel()
            self.send_error(503, f"no answer within {LIMIT_SECONDS:g} s; ask again, or with less")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self._send(code, {"error": message or self.responses[code][0]})

    def _send(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
