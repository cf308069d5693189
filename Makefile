# Everything a newcomer, an operator or a build machine types. `make help` lists it.
#
# A bare Debian 12 with a Rust toolchain is enough; what is missing is installed by `make packages`
# (system packages, as root or through sudo), `make tools` (into target/tools) and `make models`.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# To build: a C/C++ compiler and cmake for the speech engine, the Opus decoder and the crypto library,
# lld to link, pip to fetch the pinned model archives.
BUILD_PACKAGES := build-essential cmake lld git ca-certificates python3 python3-pip
# To test: real clients, a browser among them, a real service manager that tests boot in namespaces of its own, and a
# hardware security module in software, each test with a profile or a token of its own in a temporary folder.
TEST_PACKAGES := chromium chromium-driver curl openssl softhsm2 systemd

TOOLS := target/tools
CARGO_DENY_VERSION := 0.20.2
NEXTEST_VERSION := 0.9.143
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: run
run: packages models ## Install what is missing, build, start on https://127.0.0.1:7000, place a sample call
	cargo build --release
	config/first-run.sh target/release/hotline

.PHONY: test
test: packages test-packages models tools ## All tests, on the real executables
	cargo build --workspace
	cargo nextest run --workspace --no-fail-fast

.PHONY: lint
lint: packages tools ## Format, clippy, licences and dependency rules, shipped configs
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@# A build fetches only what this system needs; the check below reads every crate of the lock file.
	cargo fetch --locked --quiet
	cargo deny --offline --workspace check bans licenses sources

.PHONY: advisories
advisories: tools ## Known vulnerabilities; needs the advisory database from the internet
	cargo deny --workspace check advisories

.PHONY: build
build: packages ## Release executables in target/release
	cargo build --release

# Options of `make chaos`; `CHAOS=--help` lists them.
CHAOS :=

# What `make install` installs, and below what: the package's root, nothing for this machine.
BUILD := target/release
MODELS := $${HOTLINE_MODELS_DIR:-models}
DESTDIR :=
INSTALL_PROGRAM := install -m 0755
INSTALL_DATA := install -m 0644

.PHONY: install
install: install-service ## Install what `make build` built, models and systemd units; README has the steps after it
	install -d $(DESTDIR)/usr/share/hotline/models
	cp -r $(MODELS)/. $(DESTDIR)/usr/share/hotline/models/

# Settings that are there already are an operator's, and stay.
.PHONY: install-service
install-service:
	install -d $(addprefix $(DESTDIR)/,usr/bin usr/lib/hotline usr/lib/systemd/system usr/lib/sysusers.d usr/lib/tmpfiles.d \
		usr/share/hotline/knowledge usr/share/hotline/models etc/hotline/policy usr/share/doc/hotline/drop-ins etc/hotline)
	$(INSTALL_PROGRAM) $(addprefix $(BUILD)/hotline,-api -background -scribe) $(BUILD)/hotline $(DESTDIR)/usr/lib/hotline/
	ln -sf ../lib/hotline/hotline $(DESTDIR)/usr/bin/hotline
	$(INSTALL_DATA) systemd/hotline.service systemd/hotline-alerts.service systemd/hotline@.socket $(DESTDIR)/usr/lib/systemd/system/
	$(INSTALL_DATA) systemd/hotline.sysusers.conf $(DESTDIR)/usr/lib/sysusers.d/hotline.conf
	$(INSTALL_DATA) systemd/hotline.tmpfiles.conf $(DESTDIR)/usr/lib/tmpfiles.d/hotline.conf
	$(INSTALL_DATA) systemd/drop-ins/*.conf $(DESTDIR)/usr/share/doc/hotline/drop-ins/
	$(INSTALL_DATA) README.md $(DESTDIR)/usr/share/doc/hotline/
	$(INSTALL_DATA) config/knowledge/* $(DESTDIR)/usr/share/hotline/knowledge/
	for file in config/policy/*; do \
		test -e $(DESTDIR)/etc/hotline/policy/$${file##*/} || $(INSTALL_DATA) $$file $(DESTDIR)/etc/hotline/policy/; \
	done
	test -e $(DESTDIR)/etc/hotline/hotline.toml || sed \
		-e 's|^# state_dir = "state"       |state_dir = "/var/lib/hotline" |' \
		-e 's|^# run_dir = "state/run"|run_dir = "/run/hotline"|' \
		-e 's|^# models_dir = "models"|models_dir = "/usr/share/hotline/models"|' \
		-e 's|^# knowledge_dir = "config/knowledge"|knowledge_dir = "/usr/share/hotline/knowledge"|' \
		-e 's|^# policy_dir = "config/policy"|policy_dir = "/etc/hotline/policy"|' \
		config/hotline.toml > $(DESTDIR)/etc/hotline/hotline.toml

.PHONY: fmt
fmt: ## Format all code
	cargo fmt --all

.PHONY: bench
bench: ## What each piece of the hot path costs; the whole service is in benches/README.md
	cargo bench -p hotline --bench hot_path

.PHONY: chaos
chaos: packages models ## Kill and replace everything under load for minutes; CHAOS="--seed 2 --kills 20" for another storm
	cargo build --release
	cargo bench -p hotline --bench chaos -- $(CHAOS)

.PHONY: fuzz
fuzz: ## A minute for each parser of outside bytes (needs cargo-fuzz)
	for target in $$(cd fuzz && cargo fuzz list); do RUSTC_BOOTSTRAP=1 cargo fuzz run $$target -- -max_total_time=60 || exit 1; done

.PHONY: models
models: ## Fetch the speech and embedding models (300 MiB, pinned by SHA-256) into models/
	python3 workers/background/models/fetch-models.py $${HOTLINE_MODELS_DIR:-models}

.PHONY: packages
packages: ## Install the system packages a build needs, if any is missing
	@$(call install-missing,$(BUILD_PACKAGES))

.PHONY: test-packages
test-packages:
	@$(call install-missing,$(TEST_PACKAGES))

.PHONY: tools
tools: $(TOOLS)/promtool $(TOOLS)/.nextest $(TOOLS)/.deny ## Install promtool, cargo-nextest and cargo-deny if missing

# Unpacked, not installed: the package would start a server.
$(TOOLS)/promtool:
	@mkdir -p $(TOOLS)/download
	@$(call as-root,apt-get update -qq)
	cd $(TOOLS)/download && apt-get download -qq prometheus && dpkg -x prometheus_*.deb .
	cp $(TOOLS)/download/usr/bin/promtool $@ && rm -rf $(TOOLS)/download

$(TOOLS)/.nextest:
	@mkdir -p $(TOOLS)
	cargo nextest --version >/dev/null 2>&1 || cargo install --locked --root $(TOOLS) cargo-nextest@$(NEXTEST_VERSION)
	@touch $@

$(TOOLS)/.deny:
	@mkdir -p $(TOOLS)
	cargo deny --version >/dev/null 2>&1 || cargo install --locked --root $(TOOLS) cargo-deny@$(CARGO_DENY_VERSION)
	@touch $@

define as-root
if [ "$$(id -u)" = 0 ]; then $(1); else sudo $(1); fi
endef

define install-missing
missing=$$(for package in $(1); do dpkg -s $$package >/dev/null 2>&1 || echo $$package; done); \
if [ -n "$$missing" ]; then \
	echo "installing:" $$missing; \
	$(call as-root,apt-get update -qq); \
	$(call as-root,env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing) >/dev/null; \
fi
endef
