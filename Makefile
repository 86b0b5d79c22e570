# Thin on purpose: each target is a script, and CI calls the same ones.
#   make demo [SEED=7] [ONCE=1] [ZONE=Africa/Bamako] [DHIS2=legacy] [OPENMRS=o3]
.PHONY: help demo test lint bench mutants road kill sim sim-teeth sim-outage crashes fuzz properties overlap pack-mutants truth truth-fhir

help:
	@echo "make demo      everything against simulators (ONCE=1: run, print the summary, stop)"
	@echo "make test      all tests that need no browser, with coverage of mappings and engine"
	@echo "make lint      ruff, mypy, import-linter"
	@echo "make bench     speed and memory, as one table"
	@echo "make truth     do the simulators answer as recorded of running servers? (SERVER=dhis2-2.42: one of them)"
	@echo "make truth DHIS2_URL=... OPENMRS_URL=... FHIR_URL=...  does a running server answer so? (docs/before-going-live.md)"
	@echo "make truth-fhir  the same of a HAPI FHIR server made of published packages (Java, Maven, network)"
	@echo "make road      the acceptance of the whole road: corrections, faults on every target, each demo (15 minutes)"
	@echo "make kill N=20 kill -9 at N moments of every stage, then the same figures (DATABASE=postgres)"
	@echo "make overlap   two runs and an operator on one database: nothing is sent twice (DATABASE=postgres, SECONDS=60)"
	@echo "make sim SEEDS=2000         simulated worlds with faults, crashes and other actors (SEED=4711: one of them)"
	@echo "make sim-teeth              planted bugs: does the simulation find them?"
	@echo "make sim-outage N=100000    a target down for ten simulated days with N deliveries waiting"
	@echo "make crashes                a crash before and after every commit and exchange of every scenario (SCENARIO=x POINT=n: one)"
	@echo "make fuzz N=20000 SEED=7  every wrong answer by name and N by chance, at every target and source read over HTTP"
	@echo "make properties [EXAMPLES=500]  stateful properties, any record, any request, a thousand records replayed, drift"
	@echo "make mutants   30 seeded faults in mappings and counting: do the tests notice?"
	@echo "make pack-mutants [N=1000] [SEED=7]  slips in a copy of the pack: do check and its examples notice?"

demo:
	@SEED="$(SEED)" ONCE="$(ONCE)" ZONE="$(ZONE)" DHIS2="$(DHIS2)" OPENMRS="$(OPENMRS)" scripts/demo.sh

test:
	@scripts/test.sh

lint:
	@scripts/lint.sh

truth:
	@scripts/truth.sh $(if $(SERVER),--server $(SERVER)) $(if $(DHIS2_URL),--dhis2-url "$(DHIS2_URL)") \
		$(if $(OPENMRS_URL),--openmrs-url "$(OPENMRS_URL)") $(if $(FHIR_URL),--fhir-url "$(FHIR_URL)")

truth-fhir:
	@scripts/truth_fhir.sh

bench:
	@scripts/bench.sh

mutants:
	@scripts/mutants.sh

pack-mutants:
	@scripts/pack_mutants.sh --count $(or $(N),1000) --seed $(or $(SEED),7)

road:
	@scripts/test.sh -s tests/road/test_road.py tests/road/test_demo.py

# With DATABASE=postgres a PostgreSQL of our own is installed and started for it.
POSTGRES = $(if $(filter postgres,$(DATABASE)),found=$$(scripts/postgres.sh) && export "$$found" &&)

kill:
	@$(POSTGRES) scripts/test.sh -s tests/road/test_kill.py --kills $(or $(N),20) --database $(or $(DATABASE),sqlite)

sim:
	@scripts/sim.sh $(if $(SEED),--seed $(SEED) $(if $(TRACE),--trace),--seeds $(or $(SEEDS),200))

sim-teeth:
	@scripts/sim.sh --teeth

sim-outage:
	@scripts/sim.sh --outage $(or $(N),2000)

crashes:
	@scripts/crashes.sh $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(POINT),--point $(POINT)) --every $(or $(EVERY),1)

fuzz:
	@scripts/test.sh -s tests/fuzz --cases $(or $(N),20000) --seed $(or $(SEED),7) $(if $(ONLY),-k $(ONLY))

properties:
	@PROPERTIES=full EXAMPLES="$(EXAMPLES)" SHRINK="$(SHRINK)" scripts/test.sh -n $(or $(WORKERS),2) --dist worksteal tests/properties

overlap:
	@$(POSTGRES) scripts/test.sh -s tests/road/test_overlap.py --seconds $(or $(SECONDS),60) --database $(or $(DATABASE),sqlite)
