"""Training holds the frames once, and little beside them."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A first small fit, so that what libraries load does not count.
SCRIPT = """
import sys, numpy as np, torch
from espnet_dsu.quantizer import KMeans
def peak(name):
    with open("/proc/self/status") as f:
        return next(int(l.split()[1]) for l in f if l.startswith(name)) * 1024
torch.set_num_threads(1)
n, dim, algorithm = int(sys.argv[1]), 256, sys.argv[2]
rng = np.random.default_rng(0)
KMeans(8, dim, algorithm=algorithm).fit(rng.random((2000, dim), np.float32))
data = rng.random((n, dim), np.float32)
before = peak("VmRSS")
KMeans(16, dim, algorithm=algorithm, max_iter=2).fit(data)
print(data.nbytes, max(0, peak("VmHWM") - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("algorithm", ["lloyd", "minibatch"])
def test_fit_extra_memory_is_a_small_part_of_the_frames(algorithm):
    command = [sys.executable, "-c", SCRIPT, "150000", algorithm]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    frames, extra = map(int, done.stdout.split())
    assert frames > 2**27
    assert extra < 0.2 * frames
