# What a contributor runs. .ci/run checks everything the way the project does.
.DEFAULT_GOAL := help

# Time for each fuzz target: make fuzz T=30s
T ?= 10s

.PHONY: help
help: ## Show this help.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: ## Run the tests.
	go test ./...

.PHONY: short
short: ## Run the tests that are quick.
	go test -short ./...

.PHONY: race
race: ## Run the tests under the race detector, in random order.
	go test -race -shuffle=on ./...

.PHONY: lint
lint: ## Check formatting, vet, go.mod files and lint rules.
	.ci/run format vet tidy lint

.PHONY: fmt
fmt: ## Format the code and sort its imports.
	.ci/run tools
	.cache/bin/golangci-lint fmt

.PHONY: tidy
tidy: ## Tidy the go.mod of every module.
	find . -name go.mod -not -path '*/testdata/*' -not -path './.cache/*' -execdir go mod tidy \;

.PHONY: fuzz
fuzz: ## Fuzz every target for T each (make fuzz T=30s).
	FUZZTIME=$(T) FUZZTOTAL=86400 .ci/run fuzz

.PHONY: bench
bench: ## Run the benchmarks of the root module.
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: golden
golden: ## Rewrite the golden files; read the diff before you commit it.
	@for dir in $$(grep -rlE --include='*_test.go' 'flag\.Bool(Var)?\(.*"update"' . | xargs -r -n 1 dirname | sort -u); do \
		go test "$$dir" -update || exit 1; \
	done

.PHONY: modules
modules: ## Test the nested modules.
	.ci/run modules

.PHONY: ci
ci: ## Run every check (minutes).
	.ci/run

.PHONY: clean
clean: ## Remove what the checks built.
	rm -rf .cache
	go clean -testcache
