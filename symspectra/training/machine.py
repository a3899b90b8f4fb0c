"""What a run runs on: its device, its memory, the versions of what it uses."""

from __future__ import annotations

import contextlib
import platform
import re
import time
from pathlib import Path
from typing import Any

import torch

from symspectra.datasets.base import kept_bytes
from symspectra.errors import ConfigError, suggest


def choose_device(name: str = "auto") -> torch.device:
    """``auto`` is the GPU where there is one, ``gpu`` another word for ``cuda``, and ``cuda:1`` the second one.

    Raises
    ------
    ConfigError : ``cuda`` is asked for and not there, or it is another name; Apple's ``mps`` is not supported.
    """
    name = name.replace("gpu", "cuda")
    if name.split(":")[0] == "mps":
        raise ConfigError(f"device {name!r}: this package is tested on CPUs and NVIDIA GPUs, not on Apple's; use cpu")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ConfigError(f"there is no device {name!r}; {suggest(name, ('auto', 'cpu', 'cuda', 'gpu'))}")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r}: torch {torch.__version__} finds no GPU here; use cpu or auto")
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def reset_peak_memory() -> None:
    """Let the next `peak_memory_mb` speak of what comes from here on (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process without the spectra kept for other runs, in MB; None where unknown."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024 - kept_bytes() / 2**20, 1)
    return None


def surroundings(device: torch.device) -> dict[str, Any]:
    """Versions, platform, device and the time."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": gpu or f"CPU, {torch.get_num_threads()} threads",
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
