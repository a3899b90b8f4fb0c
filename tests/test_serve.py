"""The service: its page's client, requests that cannot be answered, strings that are no paths, limits, its end."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest

from symspectra.cli import serve
from symspectra.cli.main import main
from symspectra.errors import ReadError
from symspectra.predict.predictor import shipped
from symspectra.predict.samples import samples
from symspectra.predict.tables import spectrum_of

PAGE = Path(__file__).parents[1] / "docs" / "serve.md"
ASK = {"c13": "171.36, 60.49, 21.04, 14.19"}


@pytest.fixture(scope="module")
def port():
    with serve.Service(("127.0.0.1", 0)) as service:
        thread = Thread(target=service.serve_forever)
        thread.start()
        yield service.server_port
        service.shutdown()
        thread.join()


def ask(port, body, path="/predict", method="POST", **headers):
    """Status and JSON of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body), headers)
    reply = connection.getresponse()
    assert reply.headers["Content-Type"] == "application/json"
    return reply.status, json.loads(reply.read())


def test_the_client_of_the_page_and_the_answer_of_the_command_line(port, capsys):
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(script.splitlines()) <= 11
    exec(compile(script.replace("8750", str(port)), PAGE.name, "exec"), {})
    assert "Ester" in capsys.readouterr().out
    status, answer = ask(port, ASK)
    model = answer.pop("model")
    assert status == 200 and model["name"] == "predictor" and len(model["digest"]) == 12 and model["symspectra"]
    assert answer["groups"] == json.loads(json.dumps(shipped().predict(ASK).to_dict()))["groups"]


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_what_files_hold_is_read_as_the_files_are(port, sample):
    status, answer = ask(port, {kind: {"text": path.read_text()} for kind, path in sample.files.items()})
    assert status == 200
    expected = json.loads(json.dumps(shipped().predict(sample.files).to_dict()))
    assert answer["groups"] == expected["groups"] and answer["warnings"] == expected["warnings"]


BAD = [
    (b'{"c13": ', ["cannot be read as JSON"]),
    (b"\xff\xfe\xff", ["cannot be read as JSON"]),
    (b"[" * 100_000, ["cannot be read as JSON"]),
    (["170.9"], ["no JSON object"]),
    ({}, ["no spectrum was given"]),
    ({"c31": "170.9"}, ["'c31'", "did you mean 'c13'"]),
    ({"c13": None}, ["c13: expected a text"]),
    ({"c13": {"text": "170.9", "x": [1]}}, ["c13: expected a text"]),
    ({"c13": {"text": 170.9}}, ["c13: text is '170.9'; expected a text"]),
    ({"c13": {"text": "170.9", "blok": 1}}, ["did you mean 'block'"]),
    ({"c13": ""}, ["c13: is empty"]),
    ({"c13": "\ud800"}, ["c13: no line holds two numbers"]),
    ({"c13": {"x": [20.0], "y": []}}, ["c13: 1 positions and 0 values"]),
    ({"c13": {"x": [[20.0]], "y": [1]}}, ["c13: x has 2 dimensions"]),
    ({"c13": {"x": [10**400], "y": [1]}}, ["c13: x holds something that is not a number"]),
    (b'{"h1": {"x": [NaN], "y": [1]}}', ["h1: x is nan at point 1"]),
    ({"ir": {"x": [1700], "y": [1]}}, ["ir: no y_unit is given"]),
    ({"c13": {"x": [20], "y": [1], "x_unit": "parsec"}}, ["c13: units 'parsec'"]),
    ({"ir": {"x": [1, 2], "y": [1, 1], "y_unit": "absorbance"}}, ["nothing lies in the model's range"]),
]


@pytest.mark.parametrize(("body", "words"), BAD)
def test_a_bad_request_is_one_sentence_and_the_service_goes_on(port, body, words):
    status, answer = ask(port, body)
    assert status == 400 and list(answer) == ["error"] and all(word in answer["error"] for word in words), answer
    assert ask(port, ASK)[0] == 200


@pytest.mark.parametrize("text", ["7.26 (m, 5H, 3.70", "170,9", "3.7 (q, J = 7,0 Hz, 2H)", "12 14 16 x"])
def test_the_sentence_is_that_of_the_command_line(port, text):
    with pytest.raises(ReadError) as error:
        spectrum_of(text, "h1")
    assert ask(port, {"h1": text}) == (400, {"error": f"h1: {error.value}"})


def test_a_text_is_never_opened_as_a_path(port, tmp_path, monkeypatch):
    sample = samples()[0].files["ir"]
    monkeypatch.chdir(sample.parent)
    for text in (str(sample), sample.name, "/dev/zero", "..", f"file://{sample}"):
        for given in (text, {"text": text}, {"x": text, "y": text}, {"path": text}):
            status, answer = ask(port, {"ir": given})
            assert status == 400 and "y_unit" not in answer["error"].partition("Expected")[0]


def test_another_address_method_and_size(port, monkeypatch):
    monkeypatch.setattr(serve, "LIMIT_BYTES", 1_000_000)
    assert ask(port, ASK, "/nowhere")[0] == 404
    assert ask(port, b"", method="PUT")[0] == 501
    assert ask(port, b"1" * 3_000_000) == (
        413,
        {"error": "the request has 3,000,000 bytes; expected at most 1,000,000"},
    )
    assert ask(port, b"", **{"Content-Length": "-1"})[0] == 411
    assert ask(port, ASK)[0] == 200


def test_slow_requests_and_slow_answers_end(port, monkeypatch):
    monkeypatch.setattr(serve, "LIMIT_SECONDS", 0.3)
    status, answer = ask(port, b"{", **{"Content-Length": "10"})
    assert status == 408 and "9 of 10 bytes are missing" in answer["error"]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as idle:
        assert idle.recv(1) == b""
    with monkeypatch.context() as slow:
        slow.setattr(serve.Service, "answer", lambda self, body: __import__("time").sleep(1))
        assert ask(port, ASK)[0] == 503
    monkeypatch.undo()
    assert ask(port, ASK)[0] == 200


def test_many_ask_at_once(port):
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: ask(port, ASK if i % 2 else {"c13": "?"})[0], range(40)))
    assert answers == [400, 200] * 20


def test_a_port_that_is_taken_or_is_none_is_refused(port, capsys):
    for taken in (port, 70_000):
        assert main(["serve", "--port", str(taken)]) == 2
        assert f"--port {taken}: cannot listen there" in capsys.readouterr().err


def test_sigterm_ends_it():
    command = [sys.executable, "-m", "symspectra", "serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r":(\d+)/predict", process.stdout.readline())[1])
        assert ask(port, ASK)[0] == 200
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0 and error.endswith("symspectra: stopped\n") and "Traceback" not in error
