"""One model trained by several processes gives the result of one process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import tiny

from symspectra.models.processes import across, agree, joined, mean_and_std, number, rank, total
from symspectra.models.randomness import Request
from symspectra.training.runs import find_run, run


def launch(processes: int, *arguments: object) -> None:
    """Run ``python`` in several processes, as `torchrun` does."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    started = [
        subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env={**os.environ, **shared, "OMP_NUM_THREADS": "1", "RANK": str(i), "LOCAL_RANK": str(i)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(processes)
    ]
    said = [process.communicate(timeout=240)[1] for process in started]
    assert [process.returncode for process in started] == [0] * processes, said


CASES = {
    "symspectra": tiny(penalty=0.1, withhold=0.3, dropout=0.3, decoder_dropout=0.1),
    "symspectra, small batches": tiny(batch=20, weighting="label_ema", decoder="gru"),
    "symspectra, a batch that two cannot share": tiny(batch=25, prior="laplace"),
    "symspectra without its bottleneck": tiny(bottleneck=False, decoder="none", prediction="main"),
    "1D-CNN": tiny(model="jung_cnn", dense=(40, 30, 20), filters=(5, 6)),
    "Alberts et al.": tiny(
        model="patch_embedding", width=32, layers=2, feedforward=64, attention_heads=2, patch=25, clip=1.0
    ),
}


def losses(epoch: dict[str, float]) -> dict[str, float]:
    """The numbers of an epoch without the scores, which jump when a probability passes one half."""
    return {name: value for name, value in epoch.items() if not name.startswith("validation")}


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_the_result_of_one(name, tmp_path):
    config = CASES[name].replace(molecules=150, epochs=3)
    settings = tmp_path / "config.json"
    alone = run(config, tmp_path / "alone", "cpu")
    settings.write_text((alone.path / "config.json").read_text())
    launch(2, "-m", "symspectra", "train", settings, "--store", tmp_path / "both", "--device", "cpu")
    both = find_run(config, tmp_path / "both")
    assert both.metrics["processes"] == 2 and alone.metrics["processes"] == 1
    for one, two in zip(alone.history, both.history, strict=True):
        assert losses(one) == pytest.approx(losses(two), rel=2e-3, abs=2e-3)
    # The biases of the 1D-CNN's convolutions do nothing, as batch normalisation follows: their gradients are rounding
    # errors, from which Adam makes steps of full size, and the running means follow late.
    atol = 0.03 if config.model.name == "jung_cnn" else 2e-3
    torch.testing.assert_close(*(torch.from_numpy(r.predictions()[2]) for r in (alone, both)), rtol=0, atol=atol)
    if alone.training_weights() is not None:
        for one, two in zip(alone.training_weights(), both.training_weights(), strict=True):
            assert one == pytest.approx(two, rel=2e-3, abs=2e-3)


def test_interrupted_and_gone_on_with(tmp_path):
    """A checkpoint of one process is gone on with by two."""
    config = tiny(molecules=150, epochs=4)

    def stop(epoch):
        if epoch["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "both", "cpu", report=stop, checkpoint_seconds=0)
    settings = tmp_path / "config.json"
    alone = run(config, tmp_path / "alone", "cpu")
    settings.write_text((alone.path / "config.json").read_text())
    launch(2, "-m", "symspectra", "train", settings, "--store", tmp_path / "both", "--device", "cpu")
    both = find_run(config, tmp_path / "both")
    assert losses(alone.history[-1]) == pytest.approx(losses(both.history[-1]), rel=2e-3, abs=2e-3)


LEFT = """
import sys
from pathlib import Path
from symspectra.cli import main

status = main(sys.argv[1:])
threads = [(thread / "comm").read_text().strip() for thread in Path("/proc/self/task").iterdir()]
sys.exit(status or sum("gloo" in name for name in threads))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_no_thread_is_left_that_could_abort_the_interpreter(tmp_path):
    settings = tmp_path / "config.json"
    alone = run(tiny(molecules=150, epochs=1), tmp_path / "alone", "cpu")
    settings.write_text((alone.path / "config.json").read_text())
    launch(2, "-c", LEFT, "train", settings, "--store", tmp_path / "both", "--device", "cpu")


def test_alone_everything_is_the_plain_operation():
    x = torch.rand(3, 4)
    with joined("cpu") as device:
        assert device == "cpu" and number() == 1 and rank() == 0 and agree([1]) == [1]
    assert across(x) is x and total(x) is x
    mean, std = mean_and_std(x)
    assert mean == x.mean() and std == x.std(unbiased=False)


def test_numbers_for_a_larger_batch_keep_the_layout():
    like = torch.empty(5, 3, 2).transpose(0, 1)  # (3, 5, 2), the second axis slowest
    request = Request("kept", tuple(like.shape), tuple(like.stride()), 0.5).enlarged((6, 5, 2))
    assert request.stride == torch.empty(5, 6, 2).transpose(0, 1).stride()
    assert set(request.draw(torch.device("cpu")).unique().tolist()) == {0.0, 1.0}
