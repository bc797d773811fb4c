#!/usr/bin/env bash
# Unit vocoder: waveforms -> units -> waveforms. Options are named as in ESPnet's tts.sh; README.md explains the stages.
set -euo pipefail

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../lib/voc.sh"

# General configuration
stage=1               # Processing starts from this stage.
stop_stage=10000      # Processing stops after this stage.
skip_stages=          # Stages to skip, e.g. "11 13".
skip_data_prep=false  # Skip stages 1 to 7.
skip_train=false      # Skip stages 5, 8 and 9.
skip_eval=false       # Skip stages 10 to 13.
skip_packing=true     # Skip packing the model.
skip_upload_hf=true   # Skip uploading the packed model.
ngpu=$(count_gpus)    # Number of GPUs to train and tokenize with; 0 is the CPU. The default is what is found.
nj=$(count_cores)     # Number of parallel jobs. The default is the number of cores.
inference_nj=$(count_cores) # Number of parallel jobs in synthesis and recognition. The default is the number of cores.
launcher=local        # Where stages 5 and 6 run: local (this machine) or dask (many machines, nj workers).
launcher_conf=        # Options of the launcher, e.g. "cluster=slurm queue=cpu mem=8G num_threads=4" for dask.
gpu_inference=false   # Whether to synthesize and recognise on GPUs; the inference_nj jobs share those that there are.
dumpdir=dump          # Directory of formatted audio, units and what the vocoder reads beside them.
expdir=exp            # Directory of tokenizers and models.
python=python3        # The python that has espnet_dsu; path.sh looks for it where this is left alone.
strict=false          # Stop at the first bad utterance instead of leaving it out by name.
seed=0                # Seed of tokenizer training and of what is drawn in synthesis (that of the vocoder: its config).

# Data
train_set=            # Name of the training set (required).
valid_set=            # Name of the validation set (required).
test_sets=            # Names of the test sets (required).
local_data_opts=      # Options for local/data.sh.
audio_format=flac     # Format of the audio in dumpdir: flac or wav.
fs=16k                # Sample rate of the audio in dumpdir, which is that of the synthesized speech.
ref_channels=         # Channel to take of recordings that have several, from 0 (default: they are left out by name).
min_wav_duration=0.1  # Shortest training and validation utterance in seconds.
max_wav_duration=20.0 # Longest training and validation utterance in seconds.
lang=noinfo           # Language of the text, for the model card.

# Speakers and styles
use_sid=false         # Let the vocoder speak as one of the training speakers (utt2spk).
use_spembs=false      # Let it speak as any speaker of whom there is an embedding.
spk_embed_model=mfcc_statistics # What makes embeddings: espnet:<dir or tag>, hf:<dir or name>, or mfcc_statistics.
spembs_dir=           # Embeddings made elsewhere: <set>/spembs.scp and, of the training set's speakers, spk_spembs.scp.
use_styles=false      # Let it speak in the styles of data/<set>/utt2style.

# Units
tokenizer_dir=        # A bundle made elsewhere, e.g. that of the recogniser, ../asr2/exp/tokenizer/<tag>; stage 5 is skipped.
upstream=torchaudio:WAVLM_LARGE@21 # Where frames come from: family:checkpoint@layer; @6+12 gives a stream of units of each.
upstream_conf=        # Options of the upstream, e.g. "sample_rate=8000".
nclusters=2000        # Number of units; of each stream: 500+2000 (of two layers, or of the same frames).
portion=0.1           # Part of the training utterances that the tokenizer learns from.
max_frames=1000000    # Most frames that it learns from; this bounds the memory.
max_memory=2GiB       # Most memory for these frames and k-means; it bounds the frames, too.
embed_upstream=false  # Copy the upstream's weights into the bundle instead of naming them.
tokenizer_tag=        # Name of the tokenizer's directory (default: made from the options above).

# Pitch
use_f0=false          # Extract the pitch and give it to the vocoder, whose config says how it takes it.
f0_method=pyworld     # How to extract it: pyworld or librosa.
f0_min=60             # Lowest pitch in Hz.
f0_max=500            # Highest pitch in Hz.

# Vocoder
vocoder_config=       # Config of training (default: conf/train_vocoder.yaml).
vocoder_args=         # Further arguments of training, e.g. "--max_epoch 10"; they win over the config.
vocoder_tag=          # Suffix of the model's directory.
voc_exp=              # The model's directory; vocoder_tag is ignored then.
voc_stats_dir=        # Directory of the training statistics.
units_fold_length=500 # fold_length of units, in frames.

# Synthesis
durations="given predicted" # Durations to speak with: given by the units (resynth), predicted (resynth_predicted).
convert=              # What to take from another speaker: some of "speaker prosody both".
inference_vocoder=valid.mel_loss.ave.pth # Checkpoint of the vocoder.
inference_args=       # Further arguments of synthesis, e.g. "--streams 0" or "--length_scale 1.1".
inference_tag=        # Suffix of the directories of what was spoken (default: made from inference_args and the checkpoint).

# Scores and publishing
score_asr_config=     # config.yaml of the recogniser that gives the WER: <recipe>/exp/<model>/config.yaml.
score_asr_file=       # Its checkpoint.
score_asr_tag=        # A packed or published recogniser instead: a zip, or user/name.
score_asr_fs=16k      # Sample rate that it takes.
score_asr_args=       # Further arguments of its decoding, e.g. "--beam_size 5".
score_text_args=      # Further arguments of error rates, e.g. "--cleaner whisper_en --hyp_cleaner whisper_en".
score_args=           # Further arguments of bin.score_speech, e.g. "--max_spk_utts 100".
speaker_model=mfcc_statistics # What tells speakers apart: espnet:<dir or tag>, hf:<dir or name>, or mfcc_statistics.
report_utts=6         # Utterances on the report's page.
license=cc-by-4.0     # Licence of the packed model, as the Hugging Face hub names it.
corpus=               # Name of the training data in the model card (default: the recipe's).
hf_repo=              # Where stage 15 uploads to: user/name on the Hugging Face hub.

stages=(
    "1 prepare_data Data preparation: local/data.sh -> data/"
    "2 format_audio One audio format: data/ -> dump/raw"
    "3 prepare_speakers Speakers and styles as numbers, speaker embeddings"
    "4 filter_by_length Leave out too short and too long utterances"
    "5 train_tokenizer Train the tokenizer: waveforms -> exp/tokenizer/<tag>"
    "6 tokenize Tokenize all sets: waveforms -> dump/units/<tag>"
    "7 extract_f0 Pitch for each frame of units: waveforms -> dump/f0/<tag>"
    "8 collect_stats Vocoder collect stats"
    "9 train_vocoder Vocoder training"
    "10 synthesize Resynthesis of the test sets"
    "11 convert Conversion to another speaker, prosody or both"
    "12 score Scoring -> metrics.json, RESULTS.md"
    "13 report A page to listen -> report.html"
    "14 pack_model Pack the model"
    "15 upload_model Upload the model to the Hugging Face hub"
)

parse_options "$@"
check_given train_set valid_set test_sets
check_choice launcher local dask
check_choice f0_method pyworld librosa
for mode in ${convert}; do
    [[ ${mode} == @(speaker|prosody|both) ]] || die "--convert '${convert}': expected some of: speaker prosody both"
done
for mode in ${durations}; do
    [[ ${mode} == @(given|predicted) ]] || die "--durations '${durations}': expected some of: given predicted"
done
[ -z "${convert}" ] || "${use_sid}" || "${use_spembs}" || die "--convert needs speakers: --use_sid true or --use_spembs true"
. ./path.sh

# Names. All are made from options alone, so that each stage can be started by itself.
train_dset=${train_set}
test_sets=$(unique_words "${test_sets}")
all_sets=$(unique_words "${train_set} ${valid_set} ${test_sets}")
[[ " ${valid_set} ${test_sets} " != *" ${train_set} "* ]] || die "--train_set ${train_set} is a test set, too"
corpus=${corpus:-$(basename "$(dirname "${PWD}")")}

if [ -n "${tokenizer_dir}" ]; then
    [ -e "${tokenizer_dir}/config.yaml" ] || die "--tokenizer_dir ${tokenizer_dir}: no bundle there; run the recipe that makes it"
    tokenizer_tag=${tokenizer_tag:-$(basename "${tokenizer_dir}")}
    skip_stages+=" 5"
else
    tokenizer_tag=${tokenizer_tag:-$(print_tokenizer_tag)}
    tokenizer_dir=${expdir}/tokenizer/${tokenizer_tag}
fi
units_dir=${dumpdir}/units/${tokenizer_tag} f0_dir=${dumpdir}/f0/${tokenizer_tag} speakers_dir=${dumpdir}/speakers
default_spembs_dir=${dumpdir}/spembs/${spk_embed_model//[^A-Za-z0-9._-]/_}
spembs_dir=${spembs_dir:-${default_spembs_dir}}

[ -n "${vocoder_config}" ] || [ ! -e conf/train_vocoder.yaml ] || vocoder_config=conf/train_vocoder.yaml
if [ -z "${vocoder_tag}" ]; then
    vocoder_tag=$(basename "${vocoder_config:-train_vocoder}" .yaml)_${tokenizer_tag}
    ! "${use_sid}" || vocoder_tag+=_sid
    ! "${use_spembs}" || vocoder_tag+=_${spembs_dir##*/}
    ! "${use_styles}" || vocoder_tag+=_styles
    ! "${use_f0}" || vocoder_tag+=_f0
    vocoder_tag+=$(directory_name "${vocoder_args}")
fi
voc_exp=${voc_exp:-${expdir}/voc_${vocoder_tag}}
voc_stats_dir=${voc_stats_dir:-${expdir}/voc_stats_${vocoder_tag}}
if [ -z "${inference_tag}" ]; then
    inference_tag=$(directory_name "${inference_args}")
    [ "${inference_vocoder}" = valid.mel_loss.ave.pth ] || inference_tag+=_${inference_vocoder%.*}
    inference_tag=${inference_tag#_}
fi
packed_model=${voc_exp}/${voc_exp##*/}_${inference_vocoder%.*}.zip

decodings='' score_texts=false
if [ -n "${score_asr_config}${score_asr_tag}" ]; then
    score_texts=true decodings="original "
    [ -z "${score_asr_config}" ] || check_given score_asr_file
fi
[[ " ${durations} " != *" given "* ]] || decodings+="resynth "
[[ " ${durations} " != *" predicted "* ]] || decodings+="resynth_predicted "
for mode in ${convert}; do
    decodings+="convert_${mode} "
done
inference_ngpu=0 multi_gpu=() job_gpu=()
! "${gpu_inference}" || inference_ngpu=1 job_gpu=(CUDA_VISIBLE_DEVICES=@GPU@)
[ "${ngpu}" -le 1 ] || multi_gpu=(--multiprocessing_distributed true)

! "${skip_data_prep}" || skip_stages+=" 1 2 3 4 5 6 7"
! "${skip_train}" || skip_stages+=" 5 8 9"
! "${skip_eval}" || skip_stages+=" 10 11 12 13"
! "${skip_packing}" || skip_stages+=" 14"
! "${skip_upload_hf}" || skip_stages+=" 15"
[ "${use_sid}${use_spembs}${use_styles}" != falsefalsefalse ] || skip_stages+=" 3"
"${use_f0}" || skip_stages+=" 7"
[ -n "${convert}" ] || skip_stages+=" 11"

# A recogniser that is missing should be missed now, not after the training.
if "${score_texts}" && [ "${stop_stage}" -ge 12 ] && [[ " ${skip_stages} " != *" 12 "* ]]; then
    for mode in "${score_asr_config}" "${score_asr_file}"; do
        [ -z "${mode}" ] || [ -e "${mode}" ] ||
            die "${mode}: no such file; train that recogniser (README.md), or give --score_asr_config '' for no WER"
    done
fi

log "$0 ${*@Q}"
run_stages
