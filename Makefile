# Builds, installs and tests the plugin; "make help" lists the targets.
#
# $(BUILD)/config.mk, which ./configure writes, says what host to build for. Only the plugin
# needs that: the library, the tool, the tests and the demo are the same for all hosts.

BUILD ?= build

# Recipes remove what is below these directories. make splits names at blanks, and none may be the root.
one_directory = $(if $(and $(filter 1,$(words $($(1)))),$(subst /,,$($(1)))),,$(error $(1)="$($(1))": give one \
	directory, whose path has no blanks, such as $(1)=build))
PORTABLE ?= build-portable/NCSA_ZeroMQWriter
$(call one_directory,BUILD)$(call one_directory,PORTABLE)

-include $(BUILD)/config.mk

export CARGO ?= cargo
CARGOFLAGS ?= --locked
BZW_HOST_KIND ?= none

# "dev", for the test hosts, is compiled faster, and together with the tests.
CARGO_PROFILE ?= release
compile := $(if $(filter dev,$(CARGO_PROFILE)),$(CARGO),packaging/cargo)

target_dir := $(or $(CARGO_TARGET_DIR),target)
built := $(target_dir)/$(addsuffix /,$(CARGO_BUILD_TARGET))$(if $(filter dev,$(CARGO_PROFILE)),debug,$(CARGO_PROFILE))
arch := $(shell uname -s | tr '[:upper:]' '[:lower:]')-$(or $(firstword $(subst -, ,$(CARGO_BUILD_TARGET))),$(shell uname -m))
plugin := $(BUILD)/NCSA_ZeroMQWriter
scripts := $(patsubst scripts/%.zeek,%,$(wildcard scripts/*.zeek scripts/NCSA/ZeroMQWriter/*.zeek))

# zmq-sys needs BZW_ZMQ_PREFIX in every target. Only the plugin's build.rs gets the host, so that cargo does
# not build everything again when another target is made.
ifneq ($(BZW_ZMQ_PREFIX),)
export BZW_ZMQ_PREFIX
else
# To cargo an empty variable is not the same as none, and libzmq would be compiled again.
unexport BZW_ZMQ_PREFIX
endif
for_host := BZW_HOST_VERSION='$(BZW_HOST_VERSION)' BZW_HOST_INCLUDES='$(BZW_HOST_INCLUDES)' \
	BZW_HOST_DEBUG='$(BZW_HOST_DEBUG)'

# A plugin directory, from what cargo has built and the scripts.
define assemble
	@mkdir -p '$(1)/lib' '$(1)/scripts/NCSA/ZeroMQWriter'
	@install -m 755 '$(built)/libbro_zeromq_writer.so' \
		'$(1)/lib/NCSA-ZeroMQWriter.$(arch).so'
	@# Hosts look for one suffix or the other; those that know both prefer .zeek.
	@set -e; for script in $(scripts); do \
		for suffix in zeek bro; do \
			install -m 644 "scripts/$$script.zeek" "$(1)/scripts/$$script.$$suffix"; \
		done; \
	done
	@install -m 644 $(wildcard LICENSE README.md) '$(1)'
	@for marker in __bro_plugin__ __zeek_plugin__; do \
		echo NCSA::ZeroMQWriter >'$(1)'/$$marker || exit; \
	done
endef

.PHONY: all configured library tool plugin portable static install package package-host package-source package-deb test \
	test-libzmq test-packages test-docs test-faults test-soak test-consumers test-host fuzz demo bench bench-host clean distclean help

all: configured
ifeq ($(wildcard $(BUILD)/config.mk),)
	@$(MAKE) --no-print-directory all
else ifeq ($(BZW_HOST_KIND),none)
	@$(MAKE) --no-print-directory tool portable PORTABLE='$(plugin)'
else
	@$(MAKE) --no-print-directory tool plugin
endif

configured:
	@test -f '$(BUILD)/config.mk' || ./configure --build-dir='$(BUILD)'

library:
	packaging/cargo rustc $(CARGOFLAGS) -p bro-zeromq-writer --release --lib --crate-type cdylib,staticlib --target-dir '$(target_dir)'

tool:
	$(compile) build $(CARGOFLAGS) -p bro-zmq --profile $(CARGO_PROFILE) --target-dir '$(target_dir)'
	@mkdir -p '$(BUILD)/bin'
	@install -m 755 '$(built)/bro-zmq' '$(BUILD)/bin/bro-zmq'
	@ln -sf bro-zmq '$(BUILD)/bin/zeek-zmq'
	@$(EMULATOR) '$(BUILD)/bin/bro-zmq' man --output-dir '$(BUILD)/share/man/man1'
	@mkdir -p '$(BUILD)/share/bash-completion/completions' '$(BUILD)/share/zsh/site-functions' \
		'$(BUILD)/share/fish/vendor_completions.d'
	@$(EMULATOR) '$(BUILD)/bin/bro-zmq' completions bash >'$(BUILD)/share/bash-completion/completions/bro-zmq'
	@$(EMULATOR) '$(BUILD)/bin/bro-zmq' completions zsh >'$(BUILD)/share/zsh/site-functions/_bro-zmq'
	@$(EMULATOR) '$(BUILD)/bin/bro-zmq' completions fish >'$(BUILD)/share/fish/vendor_completions.d/bro-zmq.fish'

# Only a shared object: together with other crate types there is no link-time optimization.
plugin:
	$(for_host) $(compile) rustc $(CARGOFLAGS) -p bro-zeromq-writer --profile $(CARGO_PROFILE) --lib --features host \
		--crate-type cdylib --target-dir '$(target_dir)'
	$(call assemble,$(plugin))
	@echo "The plugin for $(BZW_HOST_KIND) $(BZW_HOST_VERSION) is in $(plugin)"

# For every host; see docs/portable.md.
portable:
	$(compile) rustc $(CARGOFLAGS) -p bro-zeromq-writer --profile $(CARGO_PROFILE) --lib --features portable \
		--crate-type cdylib --target-dir '$(target_dir)'
	$(call assemble,$(PORTABLE))
	@echo "The plugin for every host is in $(PORTABLE)"

# What a Zeek that contains the plugin links: for CMakeLists.txt.
static:
	$(for_host) BZW_OBJECTS='$(BUILD)/static' packaging/cargo rustc $(CARGOFLAGS) -p bro-zeromq-writer --release --lib \
		--features host --crate-type staticlib --target-dir '$(target_dir)'
	install -m 644 '$(target_dir)/release/libbro_zeromq_writer.a' '$(BUILD)/static'

install:
	@test -f '$(plugin)/__zeek_plugin__' || \
		{ echo "make install: there is no plugin to install; run ./configure and make first" >&2; exit 1; }
	@test -n '$(PLUGIN_DIR)' || \
		{ echo "make install: where to? give ./configure --install-root=DIR" >&2; exit 1; }
	@# The host's user has to read the plugin, whatever the umask is.
	umask 022 && mkdir -p '$(DESTDIR)$(PLUGIN_DIR)' && \
		rm -rf '$(DESTDIR)$(PLUGIN_DIR)/NCSA_ZeroMQWriter' && \
		cp -R '$(plugin)' '$(DESTDIR)$(PLUGIN_DIR)/NCSA_ZeroMQWriter' && \
		{ ! test -d '$(BUILD)/bin' || cp -R '$(BUILD)/bin' '$(DESTDIR)$(PLUGIN_DIR)/NCSA_ZeroMQWriter'; } && \
		chmod -R u+rwX,go+rX,go-w '$(DESTDIR)$(PLUGIN_DIR)/NCSA_ZeroMQWriter'

test:
	ci/test

test-host:
	@tests/host/run '$(BUILD)'

package:
	packaging/plugin

# For the one host that ./configure found.
package-host:
	packaging/plugin '$(BUILD)'

package-source:
	packaging/source

# PLUGIN_DIR=DIR is the plugin directory of the host that the package is for.
package-deb:
	packaging/deb '$(PLUGIN_DIR)'

# libzmq's own tests, against the patched libzmq; those of what a record passes through with ThreadSanitizer, too.
test-libzmq:
	$(CARGO) build $(CARGOFLAGS) -p zmq-sys --target-dir '$(target_dir)'
	ci/libzmq-tests
	SANITIZE=thread ci/libzmq-tests

# ZEEK_CONFIG or BRO_CONFIG adds the tests that need a host.
test-packages:
	tests/packages/run

# After make test-packages, whose packages some commands unpack.
test-docs:
	tests/docs/run

# FAULTS='late link' runs the faults whose names begin with one of these words.
test-faults:
	ci/setup
	$(CARGO) build $(CARGOFLAGS) --bin bro-zmq --example faults-sender --target-dir '$(target_dir)'
	FAULTS_SENDER='$(target_dir)/debug/examples/faults-sender' \
		target/venv/bin/python tests/faults/run.py $(FAULTS)
	COLLECTOR='$(target_dir)/debug/bro-zmq' target/venv/bin/python tests/faults/sensors.py

# Subscribers that others wrote, which take long to download or to compile: those of docs/consumers.md that
# make test leaves out.
test-consumers:
	ci/setup
	test -x target/tenzir/bin/tenzir || { python3 -m venv target/tenzir && target/tenzir/bin/pip install -q tenzir; }
	tests/examples/run rust tenzir

# DURATION in seconds.
test-soak: DURATION ?= 600
test-soak:
	ci/setup
	packaging/cargo build $(CARGOFLAGS) --release --example faults-sender --target-dir '$(target_dir)'
	FAULTS_SENDER='$(target_dir)/release/examples/faults-sender' \
		target/venv/bin/python tests/faults/run.py --soak '$(DURATION)'

# MINUTES for each target, TARGETS="spool abi" for some of them.
fuzz: MINUTES ?= 1
fuzz:
	fuzz/run '$(MINUTES)' $(TARGETS)

# The demo encrypts nothing and is in no hurry: compiling libsodium, and optimizing, would take most of the time.
demo:
	CARGO_PROFILE_DEV_OPT_LEVEL=0 CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) run $(CARGOFLAGS) -p bro-zmq --no-default-features --target-dir '$(target_dir)' -- demo

# Needs the plugin that make has built, and ZEEK_CONFIG or BRO_CONFIG.
bench-host:
	@benches/host/latency --results '$(target_dir)/bench' '$(plugin)'
	@benches/host/bench '$(plugin)'
	@benches/plot.py '$(target_dir)/bench' '$(target_dir)/bench'

bench:
	packaging/cargo bench $(CARGOFLAGS) --target-dir '$(target_dir)'
	benches/plot.py '$(target_dir)/bench' '$(target_dir)/bench'

clean:
	rm -rf '$(plugin)' '$(PORTABLE)' '$(BUILD)/static' '$(BUILD)/bin' '$(BUILD)/share'
	$(CARGO) clean --target-dir '$(target_dir)'

distclean: clean
	rm -f '$(BUILD)/config.mk'

help:
	@echo 'make             build the plugin for the host that ./configure found, or else for every'
	@echo '                 host, and the tool bro-zmq'
	@echo 'make portable    build the plugin for every host into build-portable; no host is needed'
	@echo 'make install     copy the plugin into the host, or into the --install-root of ./configure'
	@echo 'make package     pack the plugin for every host, and the tool: dist/NCSA_ZeroMQWriter-*.tar.gz'
	@echo 'make package-host  pack the plugin for the host that ./configure found, and for no other'
	@echo 'make package-source  pack the source with all dependencies, to build without a network'
	@echo 'make package-deb pack the plugin and the collector for Debian'
	@echo 'make test        run all tests, with no host needed'
	@echo 'make test-host   run the tests that need a real Bro or Zeek (BRO_CONFIG, ZEEK_CONFIG)'
	@echo 'make test-faults run the tests of what goes wrong: subscribers, links, disks and hosts that fail'
	@echo 'make test-soak   run at full rate for ten minutes, or DURATION=SECONDS'
	@echo "make test-libzmq run libzmq's own tests against the libzmq that is linked"
	@echo 'make fuzz        fuzz what reads the bytes of others, for MINUTES=1 each (needs cargo-fuzz)'
	@echo 'make test-packages  make all packages, and use each as those who get it do'
	@echo 'make test-consumers  run subscribers that others wrote and that take long to get'
	@echo 'make test-docs   run the commands of the documentation'
	@echo 'make demo        publish records and print them, with no host needed'
	@echo 'make bench       run the benchmarks'
	@echo 'make bench-host  measure the plugin inside a real Bro or Zeek (BRO_CONFIG, ZEEK_CONFIG)'
	@echo 'make clean       remove what was built; distclean removes the configuration too'
	@echo
	@echo 'BUILD=DIR builds in DIR instead of build (see ./configure --build-dir), DESTDIR=DIR'
	@echo 'stages the installation below DIR.'
