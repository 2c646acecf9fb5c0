# shellcheck shell=bash
# What the recipes have in common: functions for bash, sourced in the root of the clone.

# until_succeeds SECONDS SENTENCE COMMAND...: tries COMMAND every two seconds; after SECONDS it says SENTENCE and fails.
until_succeeds() {
	local end=$((SECONDS + $1)) sentence=$2
	shift 2
	until "$@" > /dev/null 2>&1; do
		if ((SECONDS >= end)); then
			echo "$(hostname): $sentence" >&2
			return 1
		fi
		sleep 2
	done
}

# no_experiment_left: fails where DVC left an experiment of a job that was ended: HEAD then belongs to no branch, and another one would
# build on what that one left half done. As 'make undo' finds it.
no_experiment_left() {
	if ! git symbolic-ref --quiet HEAD > /dev/null && git rev-parse --quiet --verify refs/exps/exec/EXEC_BASELINE > /dev/null; then
		echo "An earlier job was ended while its experiment ran, and the clone is still on no branch: 'make undo' takes it back to its" \
			"last commit (rows and checkpoints are kept), then send the job again" >&2
		return 1
	fi
}

# driver_is_new: fails where the NVIDIA driver of this node is older than the CUDA of the locked torch and vLLM asks for.
driver_is_new() {
	local driver wanted=580
	driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader) || driver=""
	driver=${driver%%$'\n'*} # a line a GPU; 'head' would end nvidia-smi with SIGPIPE, which pipefail takes for a failure
	if ! ((${driver%%.*} >= wanted)) 2> /dev/null; then
		echo "$(hostname): the NVIDIA driver is ${driver:-missing}, CUDA 13 wants $wanted or newer; update it, or take another node" >&2
		return 1
	fi
}

# has_nodes NUMBER: whether the Ray cluster that RAY_ADDRESS names has so many nodes.
has_nodes() {
	.venv/bin/python -c "import ray; ray.init(address='auto'); assert sum(node['Alive'] for node in ray.nodes()) >= $1"
}

# experiment NAME [STAGE...]: the pipeline with the profile $PROFILE, as an experiment of DVC, up to the stages that are named. DVC
# invents a name for an empty one. Where the job is told to end (Slurm's time limit), the stage that runs ends as by Ctrl-C and keeps
# its rows and checkpoints.
experiment() {
	local dvc code=0 told_to_end=""
	set -m # a process group of its own: DVC itself hears no SIGINT while a stage runs, but the stage does
	.venv/bin/dvc exp run ${1:+--name "$1"} -S "profile=$PROFILE" "${@:2}" &
	dvc=$!
	set +m
	trap 'told_to_end=yes; kill -INT -- "-$dvc"' INT TERM
	wait "$dvc" || code=$?
	while kill -0 "$dvc" 2> /dev/null; do # a signal ends the wait, and not DVC
		code=0
		wait "$dvc" || code=$?
	done
	trap - INT TERM
	if [ -n "$told_to_end" ]; then
		echo "The job was told to end before the pipeline did. Its rows and checkpoints are kept. 'make undo' takes the clone back to its" \
			"last commit; sent again, the job goes on." >&2
	fi
	return "$code"
}
