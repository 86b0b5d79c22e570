# Thin on purpose: each target is a script, and CI calls the same ones.
#   make demo [SEED=7] [ONCE=1] [ZONE=Africa/Bamako] [DHIS2=legacy] [OPENMRS=o3]
.PHONY: help demo test lint bench mutants road kill fuzz

help:
	@echo "make demo      everything against simulators (ONCE=1: run, print the summary, stop)"
	@echo "make test      all tests that need no browser, with coverage of mappings and engine"
	@echo "make lint      ruff, mypy, import-linter"
	@echo "make bench     speed and memory, as one table"
	@echo "make road      the acceptance of the whole road: corrections, faults on every target (10 minutes)"
	@echo "make kill N=20 kill -9 at N seeded moments, then the same figures"
	@echo "make fuzz N=20000 SEED=7  every wrong answer by name and N by chance, at every target and source read over HTTP"
	@echo "make mutants   30 seeded faults in mappings and counting: do the tests notice?"

demo:
	@SEED="$(SEED)" ONCE="$(ONCE)" ZONE="$(ZONE)" DHIS2="$(DHIS2)" OPENMRS="$(OPENMRS)" scripts/demo.sh

test:
	@scripts/test.sh

lint:
	@scripts/lint.sh

bench:
	@scripts/bench.sh

mutants:
	@scripts/mutants.sh

road:
	@scripts/test.sh -s tests/road -k "not killed"

kill:
	@scripts/test.sh -s tests/road -k killed --kills $(or $(N),20)

fuzz:
	@scripts/test.sh -s tests/fuzz --cases $(or $(N),20000) --seed $(or $(SEED),7) $(if $(ONLY),-k $(ONLY))
