"""Stands in for ``--python`` in dry runs: records each ``-m`` call, fakes its outputs.

The outputs are made from the inputs alone, as those of the real programs are, so that
the done-markers see the same changes. What is not ``-m`` runs in the real python.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

Options = dict[str, list[str]]


def parse(words: list[str]) -> Options:
    """Return name -> values of ``--name value``; a name without a value has none."""
    options: Options = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name = word[2:]
            options.setdefault(name, [])
        elif name:
            options[name].append(word)
    return options


def digest(*paths: str) -> str:
    """Return a digest of the files' contents."""
    contents = b"".join(Path(p).read_bytes() for p in paths)
    return hashlib.sha256(contents).hexdigest()


def write(path: str, text: str) -> None:
    """Write a text file and the folder it needs."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def keys(path: str) -> list[str]:
    """Return the ids of a table."""
    return [line.split()[0] for line in Path(path).read_text().splitlines()]


def copy_data(o: Options) -> None:
    """Speed perturbation, format and filter: the same utterances in another folder."""
    for name in ("wav.scp", "text"):
        source = Path(o["data_dir"][0], name).read_text()
        write(f"{o['output_dir'][0]}/{name}", source)


def train_tokenizer(o: Options) -> None:
    """A bundle that depends on the options and the audio."""
    content = f"{o['upstream']} {o['nclusters']} {digest(o['wav_scp'][0])}"
    for name in ("config.yaml", "quantizer.safetensors"):
        write(f"{o['output_dir'][0]}/{name}", content)


def tokenize(o: Options) -> None:
    """Units in an ark; the scp is the same whatever the units are."""
    target = o["output_dir"][0]
    ids = keys(o["wav_scp"][0])
    write(f"{target}/units.1.ark", digest(f"{o['tokenizer'][0]}/config.yaml"))
    write(f"{target}/units.yaml", "")
    lines = [f"{k} {target}/units.1.ark:{n}\n" for n, k in enumerate(ids)]
    write(f"{target}/units.scp", "".join(lines))


def train_unit_bpe(o: Options) -> None:
    """A bundle with pieces."""
    for name in ("config.yaml", "quantizer.safetensors", "bpe.model"):
        write(f"{o['output_dir'][0]}/{name}", digest(o["units_scp"][0]) + o["nbpe"][0])


def make_token_list(o: Options) -> None:
    """Tokens and, for bpe, their model."""
    write(f"{o['output_dir'][0]}/tokens.txt", "<blank>\n<unk>\none\n<sos/eos>\n")
    if o["token_type"] == ["bpe"]:
        write(f"{o['output_dir'][0]}/bpe.model", digest(o["text"][0]))


def train(o: Options) -> None:
    """Statistics of one job, or a trained model."""
    target = o["output_dir"][0]
    if "collect_stats" not in o:
        write(f"{target}/config.yaml", json.dumps(o))
        for name in ("valid.acc.ave_2best.pth", "valid.acc.ave.pth", "checkpoint.pth"):
            write(f"{target}/{name}", json.dumps(o))
        write(f"{target}/valid.loss.ave.pth", "")
        print("1epoch results: [train] loss=1.0")
        return
    for mode in ("train", "valid"):
        for key in ("speech", "text"):
            lines = [f"{k} 5\n" for k in keys(o[f"{mode}_shape_file"][0])]
            write(f"{target}/{mode}/{key}_shape", "".join(lines))


def aggregate_stats_dirs(o: Options) -> None:
    """The jobs' shapes, joined."""
    for mode in ("train", "valid"):
        for key in ("speech", "text"):
            parts = [Path(d, mode, f"{key}_shape").read_text() for d in o["input_dir"]]
            write(f"{o['output_dir'][0]}/{mode}/{key}_shape", "".join(parts))
        write(f"{o['output_dir'][0]}/{mode}/feats_stats.npz", "")


def decode(o: Options) -> None:
    """As many hypotheses for each key as asked for."""
    for rank in range(1, int(o.get("nbest", ["1"])[0]) + 1):
        for name in ("token", "token_int", "score", "text"):
            lines = [f"{k} one {rank}\n" for k in keys(o["key_file"][0])]
            write(f"{o['output_dir'][0]}/{rank}best_recog/{name}", "".join(lines))


def rescore(o: Options) -> None:
    """The second best of all, and weights."""
    for name in ("token", "token_int", "score", "text"):
        chosen = Path(o["nbest_dir"][0], "2best_recog", name).read_text()
        write(f"{o['output_dir'][0]}/{name}", chosen)
    write(f"{o['output_dir'][0]}/weights.json", "{}")


def score(o: Options) -> None:
    """An entry for the set, and the details beside the hypotheses."""
    write(f"{o['output_dir'][0]}/score_wer/result.txt", "")
    path = Path(o["metrics_json"][0])
    metrics = json.loads(path.read_text()) if path.exists() else {}
    metrics[o["set_name"][0]] = {"wer": 0.0}
    write(str(path), json.dumps(metrics))
    write(str(path.with_name("RESULTS.md")), str(metrics))


def download_model(o: Options) -> None:
    """A model of units with pieces and no language model."""
    for name in ("config.yaml", "model.pth"):
        write(f"{o['asr_exp'][0]}/{name}", "")
    for name in ("config.yaml", "bpe.model"):
        write(f"{o['tokenizer_dir'][0]}/{name}", "")


OUTPUTS = {
    "perturb_speed": copy_data,
    "format_data": copy_data,
    "filter_data": copy_data,
    "train_tokenizer": train_tokenizer,
    "tokenize": tokenize,
    "train_unit_bpe": train_unit_bpe,
    "make_token_list": make_token_list,
    "asr_train": train,
    "lm_train": train,
    "aggregate_stats_dirs": aggregate_stats_dirs,
    "tokenize_text": lambda o: write(o["output"][0], "o n e\n"),
    "lm_calc_perplexity": lambda o: write(f"{o['output_dir'][0]}/ppl", "10"),
    "asr_inference": decode,
    "rescore": rescore,
    "score": score,
    "pack": lambda o: write(o["outpath"][0], "zip"),
    "upload": lambda o: None,
    "download_model": download_model,
}


def main() -> None:
    """Do what the command line asks for."""
    if sys.argv[1] != "-m":
        os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
    module, words = sys.argv[2].rsplit(".", 1)[1], sys.argv[3:]
    options = parse(words)
    if module == "watch":  # shows progress, changes nothing
        return
    with open(os.environ["FAKE_CALLS"], "a") as calls:
        record = {"module": sys.argv[2], "words": words, "options": options}
        record["threads"] = os.environ.get("OMP_NUM_THREADS", "")
        record["gpu"] = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        calls.write(json.dumps(record) + "\n")
    if "print_tag" in options:
        print(f"{options['upstream'][0]}_km{options['nclusters'][0]}")
        return
    if module == os.environ.get("FAKE_FAILURE"):
        print(f"{module} fell over")
        sys.exit(3)
    OUTPUTS[module](options)


if __name__ == "__main__":
    main()
