"""Transcribe one recording with a trained model, in the way that any script would."""

import sys
from contextlib import redirect_stdout
from pathlib import Path

import soundfile

from espnet_dsu.scp import read_scp

with redirect_stdout(sys.stderr):  # ESPnet prints while it is imported
    from espnet_dsu import Speech2Text

experiment, data = map(Path, sys.argv[1:])
speech2text = Speech2Text(asr_model_file=experiment / "valid.loss.ave.pth", beam_size=5)
name, path = next(iter(read_scp(data / "wav.scp").items()))
waveform, fs = soundfile.read(path)
text, *_ = speech2text(waveform)[0]
print(f"audio  {path} ({len(waveform) / fs:.2f} s)")
print(f"said   {read_scp(data / 'text')[name]}")
print(f"heard  {text}")
