"""The explorer in a browser: JupyterLab runs it, a file is uploaded, a paragraph pasted."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

from symspectra.predict.samples import samples

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ABSENT = [name for name in ("playwright", "jupyterlab") if find_spec(name) is None] + ["Chromium"] * (BROWSER is None)
CELL = """from symspectra.exhibits.explorer import Explorer
from symspectra.predict.predictor import Predictor
from symspectra.predict.samples import samples
Explorer(Predictor(), {s.name: s.files for s in samples()}, {s.name: s.smiles for s in samples()})"""
PARAGRAPH = "13C NMR (101 MHz, CDCl3) 171.36, 60.49, 21.04, 14.19; mp -84 °C"


@pytest.mark.slow
@pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}")
def test_a_file_and_a_paragraph_are_read_in_a_browser(tmp_path):
    from playwright.sync_api import sync_playwright

    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None, "source": CELL}
    notebook = {"cells": [cell], "metadata": {"kernelspec": {"name": "python3", "display_name": "Python"}}}
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook | {"nbformat": 4, "nbformat_minor": 5}))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--notebook-dir={tmp_path}"]
    command += [f"--port={port}", "--ServerApp.port_retries=0"]
    with subprocess.Popen(command, env=os.environ | {"JUPYTER_TOKEN": "a"}) as server, sync_playwright() as playwright:
        try:
            while server.poll() is None and socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.5)
            page = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"]).new_page()
            page.set_default_timeout(300_000)
            page.goto(f"http://127.0.0.1:{port}/doc/tree/a.ipynb?token=a")
            page.get_by_text("(ipykernel) | Idle").wait_for()  # before, a cell that is run waits for ever
            page.locator(".jp-CodeCell .cm-content").click()
            page.keyboard.press("Shift+Enter")
            answer = page.locator(".widget-html").last
            page.locator(".widget-dropdown select").select_option("only what is typed below")
            with page.expect_file_chooser() as chooser:
                page.locator(".widget-upload").click()
            chooser.value.set_files(samples()[0].files["ir"])
            answer.get_by_text("Read from IR (propyl_gallate_ir.jdx):").wait_for()
            page.locator(".widget-textarea textarea").fill(PARAGRAPH)
            page.keyboard.press("Tab")
            answer.get_by_text("Read from IR (propyl_gallate_ir.jdx), 13C NMR:").wait_for()
            answer.get_by_text("mp -84").wait_for()
            assert answer.locator("img").evaluate("image => image.naturalWidth") > 300
        finally:
            server.terminate()
