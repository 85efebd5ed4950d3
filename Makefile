# Liaison. `make` lists the targets.
SHELL := /bin/bash
SCRATCH ?= $(or $(LIAISON_SCRATCH),/var/tmp/liaison-build)
SWIFT := swift
BUILD := $(SWIFT) build --scratch-path $(SCRATCH) --explicit-target-dependency-import-check error
SOURCES := Package.swift Sources adapters Tests Benchmarks

.PHONY: help run test test-threads check lint format build release bench crash-test test-api test-fax deps test-deps clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

run: deps release ## install what it needs, build, and serve a small bank with traffic; Ctrl-C stops it
	$(SCRATCH)/release/liaison serve --demo

test: test-deps ## install what it needs, build, run every test but the slow ones
	$(BUILD) --build-tests
	SCRATCH=$(SCRATCH) scripts/run-tests $(TESTS)

test-threads: test-deps ## every test under the thread sanitizer; a build of its own, minutes
	$(BUILD)-tsan --build-tests --sanitize=thread
	SCRATCH=$(SCRATCH)-tsan SANITIZE=thread scripts/run-tests $(TESTS)

check: lint test ## what CI runs: format, build with warnings as errors and the import check, tests

lint: ## the format, without changing anything
	$(SWIFT) format lint --strict -r $(SOURCES)

format: ## bring the sources into the format
	$(SWIFT) format -i -r $(SOURCES)

build: deps ## debug build
	$(BUILD)

release: deps ## release build of the daemon
	$(BUILD) -c release --product liaison

bench: deps ## figures of the README; takes minutes (PARTS="store lookup api import outbound campaign daemon beside" for some)
	$(BUILD) -c release --product liaison
	$(BUILD) -c release --product liaison-bench
	LIAISON=$(SCRATCH)/release/liaison LIAISON_BENCH_PROGRAM=$(SCRATCH)/release/liaison-bench Benchmarks/run $(PARTS)
	$(BUILD) -c release --product mail-bench
	LIAISON=$(SCRATCH)/release/liaison $(SCRATCH)/release/mail-bench
	$(BUILD) -c release --product SMSBench
	LIAISON=$(SCRATCH)/release/liaison $(SCRATCH)/release/SMSBench adapter daemon kannel messages=20000

crash-test: release ## kill -9 the daemon at least 200 times under load; nothing lost, nothing doubled
	$(BUILD) -c release --product crash-test
	LIAISON=$(SCRATCH)/release/liaison $(SCRATCH)/release/crash-test $(CRASH_ARGUMENTS)
	$(BUILD) -c release --product mail-crash-test
	LIAISON=$(SCRATCH)/release/liaison $(SCRATCH)/release/mail-crash-test $(MAIL_CRASH_ARGUMENTS)
	$(BUILD) -c release --product campaign-crash-test
	LIAISON=$(SCRATCH)/release/liaison $(SCRATCH)/release/campaign-crash-test $(CAMPAIGN_CRASH_ARGUMENTS)

test-fax: test-deps ## fax over a real T.30 line on this machine; root, minutes
	$(BUILD) --build-tests
	SWIFT_TEST="$(SWIFT) test --scratch-path $(SCRATCH) --skip-build" adapters/fax/test-line.sh --slow

test-api: deps ## every route against planted values; webhooks over kill -9, 10,000 connections, schemathesis (PyPI)
	$(BUILD) --product liaison
	LIAISON=$(SCRATCH)/debug/liaison LIAISON_SCRATCH=$(SCRATCH) scripts/test-api-peers $(PARTS)
	LIAISON=$(SCRATCH)/debug/liaison scripts/test-api-walk

deps: ## the Debian packages of packages.list that running needs
	@scripts/install-packages

test-deps: ## and those that tests need
	@scripts/install-packages --test

clean: ## forget what was built
	rm -rf $(SCRATCH)
