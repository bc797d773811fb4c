#!/usr/bin/env bash
# Unit ASR: waveforms -> units -> text. Stage numbers and options are those of ESPnet's asr2.sh; README.md explains them.
set -euo pipefail

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../lib/asr.sh"

# General configuration
stage=1               # Processing starts from this stage.
stop_stage=10000      # Processing stops after this stage.
skip_stages=          # Stages to skip, e.g. "2 15".
skip_data_prep=false  # Skip stages 1 to 6.
skip_train=false      # Skip stages 2, 5 and 7 to 13; prepare test sets only.
skip_eval=false       # Skip decoding and scoring.
eval_valid_set=false  # Decode and score the validation set, too.
skip_packing=true     # Skip packing the model.
skip_upload_hf=true   # Skip uploading the packed model.
ngpu=$(count_gpus)    # Number of GPUs to train and tokenize with; 0 is the CPU. The default is what is found.
nj=$(count_cores)     # Number of parallel jobs. The default is the number of cores.
inference_nj=$(count_cores) # Number of parallel jobs in decoding. The default is the number of cores.
launcher=local        # Where stages 5 and 6 run: local (this machine) or dask (many machines, nj workers).
launcher_conf=        # Options of the launcher, e.g. "cluster=slurm queue=cpu mem=8G num_threads=4" for dask.
gpu_inference=false   # Whether to decode on GPUs; the inference_nj jobs share those that there are.
dumpdir=dump          # Directory of formatted audio and of units.
expdir=exp            # Directory of tokenizers and models.
python=python3        # The python that has espnet_dsu; path.sh looks for it where this is left alone.
strict=false          # Stop at the first bad utterance instead of leaving it out by name.

# Data
train_set=            # Name of the training set (required).
valid_set=            # Name of the validation set (required).
test_sets=            # Names of the test sets (required).
local_data_opts=      # Options for local/data.sh.
speed_perturb_factors= # Speeds of the training set, e.g. "0.9 1.0 1.1".
audio_format=flac     # Format of the audio in dumpdir: flac or wav.
fs=16k                # Sample rate of the audio in dumpdir.
ref_channels=         # Channel to take of recordings that have several, from 0 (default: they are left out by name).
min_wav_duration=0.1  # Shortest training and validation utterance in seconds.
max_wav_duration=20.0 # Longest training and validation utterance in seconds.
lang=noinfo           # Language of the text, part of directory names.

# Units
input=units           # What the recogniser reads: units, or fbank (the baseline: ESPnet's default frontend).
upstream=torchaudio:WAVLM_LARGE@21 # Where frames come from: family:checkpoint@layer; @6+12 gives a stream of units of each.
upstream_conf=        # Options of the upstream, e.g. "sample_rate=8000".
nclusters=2000        # Number of units; of each stream: 500+2000 (of two layers, or of the same frames).
portion=0.1           # Part of the training utterances that the tokenizer learns from.
max_frames=1000000    # Most frames that it learns from; this bounds the memory.
max_memory=2GiB       # Most memory for these frames and k-means; it bounds the frames, too.
embed_upstream=false  # Copy the upstream's weights into the bundle instead of naming them.
seed=0                # Seed of tokenizer training (that of the recogniser stands in its config).
tokenizer_tag=        # Name of the tokenizer's directory (default: made from the options above).
online=false          # Train from waveforms, tokenized on the fly, instead of cached units.
decode_input=         # Decode from units or wav (default: what was trained on).

# Tokens
src_token_type=bpe    # What the recogniser embeds: bpe (unit pieces) or unit.
src_nbpe=3000         # Number of unit pieces; more than nclusters.
src_bpemode=unigram   # Kind of unit pieces: unigram or bpe.
src_case="rm"         # rm: repeated units are removed; ts: one unit for each frame.
tgt_token_type=bpe    # Tokens of the text: bpe, char or word.
tgt_nbpe=30           # Number of subwords of the text.
tgt_bpemode=unigram   # Kind of subwords: unigram or bpe.
nlsyms_txt=none       # File of non-linguistic symbols, one a line.
cleaner=none          # Text cleaner.
g2p=none              # Grapheme-to-phoneme method of ESPnet's preprocessor.

# Language models
use_lm=true           # Train a language model and decode with it.
lm_train_text=        # Its training text files (default: the training transcripts).
lm_dev_text=          # Its validation text (default: that of the validation set).
lm_test_text=         # Text for the perplexity (default: that of the first test set).
lm_config=            # Config of its training.
lm_args=              # Further arguments of its training, e.g. "--max_epoch 10".
lm_tag=               # Suffix of its directory.
lm_exp=               # Its directory; lm_tag is ignored then.
lm_stats_dir=         # Directory of its statistics.
lm_fold_length=150    # Its fold_length.
num_splits_lm=1       # Parts of its training text, used one after another: less memory for a large one.
use_ngram=false       # Train an n-gram model (needs KenLM) and decode with it.
ngram_num=3           # Its order.
ngram_exp=            # Its directory.

# Recogniser
asr_config=           # Config of training (default: conf/train_asr.yaml, or conf/train_asr_fbank.yaml).
asr_args=             # Further arguments of training, e.g. "--max_epoch 10"; they win over the config.
asr_tag=              # Suffix of the model's directory.
asr_exp=              # The model's directory; asr_tag is ignored then.
asr_stats_dir=        # Directory of the training statistics.
feats_normalize=global_mvn # Normalisation for input=fbank: global_mvn, or what the config says (none).
asr_speech_fold_length=800 # fold_length of units or of samples/100.
asr_text_fold_length=150   # fold_length of text.
num_splits_asr=1      # Parts of the training set, used one after another: less memory for a large one.

# Decoding and publishing
inference_config=     # Config of decoding.
inference_args=       # Further arguments of decoding, e.g. "--beam_size 5".
inference_tag=        # Name of the decoding directory.
inference_asr_model=valid.acc.ave.pth # Checkpoint of the recogniser.
inference_lm=valid.loss.ave.pth       # Checkpoint of the language model.
batch_size=1          # Batch size of decoding.
use_rescoring=false   # Train a language model and choose by it, too, among the n best; tuned on the validation set.
rescore_nbest=10      # How many; no more than the beam has.
rescore_args=         # Further arguments of rescoring, e.g. "--lm_weights 0 0.3 0.6 --length_bonuses 0".
local_score_opts=     # Options for local/score.sh, if there is one.
download_model=       # Decode and score with this published model (user/name[@revision], or a zip) instead of training.
license=cc-by-4.0     # Licence of the packed model, as the Hugging Face hub names it.
corpus=               # Name of the training data in the model card (default: the recipe's).
hf_repo=              # Where stage 17 uploads to: user/name on the Hugging Face hub.

stages=(
    "1 prepare_data Data preparation: local/data.sh -> data/"
    "2 perturb_speed Speed perturbation of the training set"
    "3 format_audio One audio format: data/ -> dump/raw"
    "4 filter_by_length Leave out too short and too long utterances"
    "5 train_tokenizer Train the tokenizer: waveforms -> exp/tokenizer/<tag>"
    "6 tokenize Tokenize all sets: waveforms -> dump/units/<tag>"
    "7 make_token_lists Unit pieces and token lists"
    "8 collect_lm_stats LM collect stats"
    "9 train_lm LM training"
    "10 calc_perplexity LM perplexity"
    "11 train_ngram N-gram training"
    "12 collect_stats ASR collect stats"
    "13 train_asr ASR training"
    "14 decode Decoding"
    "15 score Scoring -> metrics.json, RESULTS.md"
    "16 pack_model Pack the model"
    "17 upload_model Upload the model to the Hugging Face hub"
)

parse_options "$@"
check_given test_sets
[ -z "${download_model}" ] || skip_train=true
"${skip_train}" || check_given train_set valid_set
check_choice input units fbank
check_choice launcher local dask
check_choice src_token_type bpe unit
check_choice src_case rm ts
check_choice tgt_token_type bpe char word
. ./path.sh

# Names. All are made from options alone, so that each stage can be started by itself.
train_dset=${train_set}${speed_perturb_factors:+_sp}
test_sets=$(unique_words "${test_sets}")
eval_sets=${test_sets}
! "${eval_valid_set}" && ! "${use_rescoring}" || eval_sets=$(check_given valid_set && unique_words "${valid_set} ${test_sets}")
all_sets=${eval_sets}
"${skip_train}" || all_sets=$(unique_words "${train_set} ${train_dset} ${valid_set} ${test_sets}")
[[ " ${valid_set} ${test_sets} " != *" ${train_set:-/} "* ]] || die "--train_set ${train_set} is a test set, too"

corpus=${corpus:-$(basename "$(dirname "${PWD}")")}

# A published model stands where a trained one would; what it does not have is not used.
if [ -n "${download_model}" ]; then
    tokenizer_tag=${download_model//[^A-Za-z0-9._-]/_} src_token_type=unit
    asr_exp=${expdir}/asr_${tokenizer_tag} inference_asr_model=model.pth
    lm_exp=${asr_exp}/lm inference_lm=model.pth ngram_exp=${asr_exp}/ngram
    install_published_model
    [ -e "${expdir}/tokenizer/${tokenizer_tag}" ] || input=fbank
    [ -e "${lm_exp}" ] || use_lm=false use_rescoring=false
    [ -e "${ngram_exp}/${ngram_num}gram.bin" ] || use_ngram=false
fi

train_input=wav
if [ "${input}" = units ]; then
    "${online}" || train_input=units
    check_streams
    tokenizer_tag=${tokenizer_tag:-$(print_tokenizer_tag)}
else
    tokenizer_tag=
fi
decode_input=${decode_input:-${train_input}}
check_choice decode_input wav ${tokenizer_tag:+units}
tokenizer_dir=${expdir}/tokenizer/${tokenizer_tag}
units_dir=${dumpdir}/units/${tokenizer_tag}

collapse=true bundle_dir=${tokenizer_dir} src_tag=${src_token_type} tgt_tag=${tgt_token_type} lang_tag='' bpemodel=none
[ "${src_case}" = rm ] || collapse=false
[ "${src_token_type}" != bpe ] || src_tag+=_${src_bpemode}${src_nbpe}
[ "${src_token_type}" != bpe ] || bundle_dir+=_${src_tag}${speed_perturb_factors:+_sp}
[ "${tgt_token_type}" != bpe ] || tgt_tag+=_${tgt_bpemode}${tgt_nbpe}
[ "${lang}" = noinfo ] || lang_tag=${lang}_
token_list=data/${lang_tag}token_list/${tgt_tag}/tokens.txt
[ "${tgt_token_type}" != bpe ] || bpemodel=${token_list%/*}/bpe.model
[ -z "${download_model}" ] || bpemodel=${asr_exp}/bpe.model

default_config=conf/train_asr.yaml
[ "${input}" = units ] || default_config=conf/train_asr_${input}.yaml
[ -n "${asr_config}" ] || [ ! -e "${default_config}" ] || asr_config=${default_config}
if [ -z "${asr_tag}" ]; then
    asr_tag=$(basename "${asr_config:-train}" .yaml)_
    asr_tag+=${tokenizer_tag:+${tokenizer_tag}_${src_tag}_${src_case}}
    [ "${train_input}" = units ] || asr_tag+=${tokenizer_tag:+_}raw
    asr_tag+=_${lang_tag}${tgt_tag}$(directory_name "${asr_args}")${speed_perturb_factors:+_sp}
fi
asr_exp=${asr_exp:-${expdir}/asr_${asr_tag}}
asr_stats_dir=${asr_stats_dir:-${expdir}/asr_stats_${asr_tag}} normalize_by=
[ "${input}${feats_normalize}" != fbankglobal_mvn ] || normalize_by=${asr_stats_dir}/train/feats_stats.npz
packed_model=${asr_exp}/${asr_exp##*/}_${inference_asr_model%.*}.zip

lm_dev_text=${lm_dev_text:-${dumpdir}/raw/${valid_set}/text}
lm_test_text=${lm_test_text:-${dumpdir}/raw/${test_sets%% *}/text}
lm_tag=${lm_tag:-$(basename "${lm_config:-train}" .yaml)_${lang_tag}${tgt_tag}$(directory_name "${lm_args}")}
lm_exp=${lm_exp:-${expdir}/lm_${lm_tag}}
lm_stats_dir=${lm_stats_dir:-${expdir}/lm_stats_${lm_tag}}
ngram_exp=${ngram_exp:-${expdir}/ngram}
if [ -z "${inference_tag}" ]; then
    inference_tag=$(basename "${inference_config:-inference}" .yaml)$(directory_name "${inference_args}")
    ! "${use_lm}" || inference_tag+=_lm_${lm_exp##*/}_${inference_lm%.*}
    ! "${use_ngram}" || inference_tag+=_ngram_${ngram_exp##*/}_${ngram_num}gram
    [ "${decode_input}" = "${train_input}" ] || inference_tag+=_${decode_input}
    inference_tag+=_asr_model_${inference_asr_model%.*}
fi
rescoring_tag=${inference_tag}_rescored_${lm_exp##*/}_${inference_lm%.*} nbest_args='' need_lm=${use_lm}
! "${use_rescoring}" || need_lm=true nbest_args="--nbest ${rescore_nbest}"
inference_ngpu=0 multi_gpu=() job_gpu=()
! "${gpu_inference}" || inference_ngpu=1 job_gpu=(CUDA_VISIBLE_DEVICES=@GPU@)
[ "${ngpu}" -le 1 ] || multi_gpu=(--multiprocessing_distributed true)

! "${skip_data_prep}" || skip_stages+=" 1 2 3 4 5 6"
! "${skip_train}" || skip_stages+=" 2 5 7 8 9 10 11 12 13"
! "${skip_eval}" || skip_stages+=" 14 15"
! "${skip_packing}" || skip_stages+=" 16"
! "${skip_upload_hf}" || skip_stages+=" 17"
[ -n "${speed_perturb_factors}" ] || skip_stages+=" 2"
[ "${input}" = units ] || skip_stages+=" 5"
"${need_lm}" || skip_stages+=" 8 9 10"
"${use_ngram}" || skip_stages+=" 11"

log "$0 ${*@Q}"
run_stages
