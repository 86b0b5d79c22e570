# Thin on purpose: each target is a script, and CI calls the same ones.
#   make demo [SEED=7] [ONCE=1] [ZONE=Africa/Bamako] [DHIS2=legacy] [OPENMRS=o3]
.PHONY: help demo test lint bench mutants road kill properties

help:
	@echo "make demo      everything against simulators (ONCE=1: run, print the summary, stop)"
	@echo "make test      all tests that need no browser, with coverage of mappings and engine"
	@echo "make lint      ruff, mypy, import-linter"
	@echo "make bench     speed and memory, as one table"
	@echo "make road      the acceptance of the whole road: corrections, faults on every target (10 minutes)"
	@echo "make kill N=20 kill -9 at N seeded moments, then the same figures"
	@echo "make properties what holds whatever happens, by chance and at length (half an hour; EXAMPLES=n for less)"
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

properties:
	@PROPERTIES=full EXAMPLES="$(EXAMPLES)" SHRINK="$(SHRINK)" scripts/test.sh -n $(or $(WORKERS),2) --dist worksteal tests/properties
