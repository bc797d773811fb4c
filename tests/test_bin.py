import importlib
import pkgutil
import subprocess
import sys

import pytest

from espnet_dsu import DSUError, UnitTokenizer, bin
from espnet_dsu.bin import cli, train_unit_bpe
from espnet_dsu.corpus.tokenizing import tokenize_corpus
from tests.speech import train_bundle, write_corpus

# ESPnet describes the options of these.
COMMANDS = {m.name for m in pkgutil.iter_modules(bin.__path__)} - {"cli"}
OWN = sorted(COMMANDS - {"asr_train", "asr_inference", "vocoder_train"})


@pytest.mark.parametrize("name", OWN)
def test_help_explains_every_option(name):
    parser = importlib.import_module(f"espnet_dsu.bin.{name}").get_parser()
    parsers = [parser]
    for action in parser._actions:
        if hasattr(action.choices, "values"):
            parsers += action.choices.values()
    for action in (a for p in parsers for a in p._actions):
        assert action.help, f"{name}: {action.option_strings}"


def fail(error):
    def main(cmd):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DSUError("what, why, remedy"), 1, "espnet_dsu: error: what, why, remedy\n"),
        (KeyboardInterrupt(), 130, "espnet_dsu: interrupted\n"),
    ],
)
def test_run_user_mistake_is_one_line_without_traceback(capsys, error, code, message):
    with pytest.raises(SystemExit) as exit_info:
        cli.run(fail(error))
    assert exit_info.value.code == code
    assert capsys.readouterr().err == message


def test_run_our_own_mistake_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.run(fail(ZeroDivisionError()))


def test_command_user_mistake_prints_one_line(tmp_path):
    command = [sys.executable, "-m", "espnet_dsu.bin.train_tokenizer"]
    options = ["--wav_scp", str(tmp_path / "none"), "--output_dir", str(tmp_path / "b")]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("espnet_dsu: error: ") and "none" in done.stderr
    assert "Traceback" not in done.stderr


def test_train_unit_bpe_writes_a_bundle_of_the_same_units(tmp_path):
    tokenizer = train_bundle(tmp_path / "bundle")
    scp = write_corpus(tmp_path / "wav", [1.0, 1.2])
    tokenize_corpus(scp, tmp_path / "bundle", tmp_path / "units")
    options = ["--units_scp", str(tmp_path / "units" / "units.scp")]
    options += ["--nbpe", "30", "--output_dir", str(tmp_path / "pieces")]
    train_unit_bpe.main([*options, "--tokenizer", str(tmp_path / "bundle")])
    made = UnitTokenizer.from_pretrained(tmp_path / "pieces")
    assert made.fingerprint == tokenizer.fingerprint and len(made.pieces) == 30
    train_bundle(tmp_path / "other", seed=7)
    with pytest.raises(DSUError, match="tokenize again"):
        train_unit_bpe.main([*options, "--tokenizer", str(tmp_path / "other")])


def test_typed_values_read_yaml_and_numbers_without_a_dot():
    found = cli.typed_values(["a=1e-4", "b=0.5", "c=true", "d=x=y", "e=3"])
    assert found == {"a": 1e-4, "b": 0.5, "c": True, "d": "x=y", "e": 3}
