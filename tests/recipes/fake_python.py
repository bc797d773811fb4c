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
            name, equals, value = word[2:].partition("=")
            options.setdefault(name, []).extend([value] if equals else [])
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


def write_table(o: Options, name: str, table: dict[str, str]) -> None:
    """Write ``id value`` lines into the output directory."""
    lines = [f"{key} {value}\n" for key, value in table.items()]
    write(f"{o['output_dir'][0]}/{name}", "".join(lines))


def keys(path: str) -> list[str]:
    """Return the ids of a table."""
    return [line.split()[0] for line in Path(path).read_text().splitlines()]


def copy_data(o: Options) -> None:
    """Speed perturbation, format and filter: the same utterances in another folder."""
    for name in ("wav.scp", "text", "utt2spk"):
        source = Path(o["data_dir"][0], name)
        if source.exists():
            write(f"{o['output_dir'][0]}/{name}", source.read_text())


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
        for name in sorted(os.listdir(Path(o["input_dir"][0], mode))):
            parts = [Path(d, mode, name).read_text() for d in o["input_dir"]]
            write(f"{o['output_dir'][0]}/{mode}/{name}", "".join(parts))
        write(f"{o['output_dir'][0]}/{mode}/feats_stats.npz", "")


def train_vocoder(o: Options) -> None:
    """Statistics of one job, or a trained vocoder."""
    target = o["output_dir"][0]
    if "collect_stats" not in o:
        write(f"{target}/config.yaml", json.dumps(o))
        for name in ("valid.mel_loss.ave.pth", "train.loss.ave.pth", "checkpoint.pth"):
            write(f"{target}/{name}", json.dumps(o))
        return
    for mode in ("train", "valid"):
        lines = [f"{k} 5\n" for k in keys(o[f"{mode}_shape_file"][0])]
        write(f"{target}/{mode}/units_shape", "".join(lines))


def extract_f0(o: Options) -> None:
    """A pitch for each utterance."""
    ids = keys(o["units_scp"][0])
    write_table(o, "f0.scp", {k: f"f0.ark:{n}" for n, k in enumerate(ids)})


def extract_spembs(o: Options) -> None:
    """An embedding of each utterance and each speaker."""
    utts, speakers = zip(*map(str.split, Path(o["utt2spk"][0]).open()))
    for name, ids in (("spembs", utts), ("spk_spembs", sorted(set(speakers)))):
        write_table(o, f"{name}.scp", {k: f"{name}.ark:{n}" for n, k in enumerate(ids)})


def make_conversion_pairs(o: Options) -> None:
    """The other speaker for all but the first utterance."""
    ids = dict(line.split() for line in Path(o["spk2sid"][0]).open())
    utts = [line.split() for line in Path(o["utt2spk"][0]).open()][1:]
    other = {utt: "spk0" if spk == "spk1" else "spk1" for utt, spk in utts}
    tables = {"utt2spk": other, "utt2sid": {u: ids[s] for u, s in other.items()}}
    if o["mode"] != ["speaker"]:
        tables["utt2ref"] = {u: utts[0][0] for u in other}
    for name, table in tables.items():
        write_table(o, name, table)


def vocoder_inference(o: Options) -> None:
    """Audio of each utterance, which depends on the model and the options."""
    target, ids = o["output_dir"][0], keys(o["key_file"][0])
    content = digest(o["model_file"][0]) + str(o.get("predict_durations"))
    for utt in ids:
        write(f"{target}/wav/{utt}.wav", content)
    write_table(o, "wav.scp", {k: f"{target}/wav/{k}.wav" for k in ids})
    for name, value in (("durations", "1 2"), ("utt2spk", "spk0"), ("speed", "1 0.1")):
        write_table(o, name, dict.fromkeys(ids, value))


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
    merge(o, {"wer": 0.0})


def merge(o: Options, scores: dict[str, float]) -> None:
    """Put scores of a set into metrics.json and RESULTS.md."""
    path = Path(o["metrics_json"][0])
    metrics = json.loads(path.read_text()) if path.exists() else {}
    metrics.setdefault(o["set_name"][0], {}).update(scores)
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
    "vocoder_train": train_vocoder,
    "extract_f0": extract_f0,
    "extract_spembs": extract_spembs,
    "make_conversion_pairs": make_conversion_pairs,
    "vocoder_inference": vocoder_inference,
    "score_speech": lambda o: merge(o, {"mcd": 1.0}),
    "make_report": lambda o: write(f"{o['exp_dir'][0]}/report.html", ""),
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
        record["folder"] = os.getcwd()
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
