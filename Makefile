# SPDX-License-Identifier: MIT
# GNU make. `make` alone is enough on a machine with the packages of build-aux/deps.sh: it runs autoconf and
# configure when config.mk is missing or old. `make help` lists the targets.

MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL = all
.DELETE_ON_ERROR:
.SECONDARY:

# Everything made lives in $(B). Another $(B) has its own config.mk in it, so that variants (sanitizers,
# coverage, fuzzers, another compiler) stand beside each other: make B=build-clang CONFIGURE_ARGS=CC=clang
B ?= build
CONFIGURE_ARGS ?=
CONFIG = $(if $(filter build,$(B)),config.mk,$(B)/config.mk)
JOBS ?= $(shell nproc)
TEST_JOBS ?= 2
FUZZ_SECONDS ?= 300

# ---- what is built from what ------------------------------------------------------------------------

COMMON_SRC	= $(wildcard common/*.c common/compat/*.c)
GATEWAYD_SRC	= $(wildcard gatewayd/*.c)
AUTHD_SRC	= $(wildcard authd/*.c)
PLACERD_SRC	= $(wildcard placerd/*.c)
FETCHER_SRC	= $(wildcard fetcher/*.c) authd/httpsurl.c
# It decides by the very functions of placerd.
FOGCTL_SRC	= $(wildcard fogctl/*.c) $(addprefix placerd/,policy.c yaml.c place.c nodes.c nodekeys.c decision.c asked_record.c)
# ptyd/ holds all that ever runs as root, which is fogd and the spawner, and the holder and the init of a session, which never do.
FOGD_SRC	= $(addprefix ptyd/,supervisor.c child.c reload.c gifts.c bindaddr.c logpipe.c notify.c)
PTYD_SRC	= $(wildcard $(addprefix ptyd/,main.c broker.c sessions.c join.c adopt.c record.c plan.c slots.c usage.c span.c))
SPAWNER_SRC	= $(wildcard $(addprefix ptyd/,spawner.c spawner_proc.c launch.c initplan.c pty.c slots.c connector_stub.c \
		  connector_sandbox.c sandbox.c fdtools.c idmap.c storage.c egress.c egress_link.c cgroup.c cgroupfile.c span.c))
HOLDER_SRC	= $(wildcard $(addprefix ptyd/,holder.c holder_term.c holder_attach.c holder_client.c holder_broker.c holder_identity.c \
		  holder_input.c holder_tokens.c holder_window.c holder_time.c holder_idle.c))
INIT_SRC	= $(wildcard $(addprefix ptyd/,init.c inside.c initplan.c fdtools.c shellfilter_load.c)) \
		  $(addprefix common/,privdrop.c codec.c buf.c id.c secret.c)

# What runs as root is offered neither a JSON, a YAML nor an HTTP library: see check-linkage. (libnftables brings one
# for its own output, which is not asked for.)
BASE_LIBS	= $(EVENT_LIBS) $(SECCOMP_LIBS)
GATEWAYD_LIBS	= $(WSLAY_LIBS) $(JANSSON_LIBS) $(EVENT_OPENSSL_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) $(BASE_LIBS)
AUTHD_LIBS	= $(JANSSON_LIBS) $(CRYPTO_LIBS) $(BASE_LIBS)
PLACERD_LIBS	= $(YAML_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS) $(BASE_LIBS)
FETCHER_LIBS	= $(CURL_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) $(EVENT_EXTRA_LIBS) $(BASE_LIBS)
FOGCTL_LIBS	= $(YAML_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS) $(EVENT_LIBS)
FOGD_LIBS	= $(BASE_LIBS)
PTYD_LIBS	= $(BASE_LIBS)
SPAWNER_LIBS	= $(NFTABLES_LIBS) $(MNL_LIBS) $(BASE_LIBS)
HOLDER_EVENT	= $(shell $(CC) -print-file-name=libevent_core.a)
ALL_LIBS	= $(CMOCKA_LIBS) $(CURL_LIBS) $(WSLAY_LIBS) $(YAML_LIBS) $(JANSSON_LIBS) $(EVENT_OPENSSL_LIBS) \
		  $(EVENT_EXTRA_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) $(NFTABLES_LIBS) $(MNL_LIBS) $(BASE_LIBS)

# A sanitized role cannot be given ASAN_OPTIONS: fogd clears the environment.
PROGRAM_EXTRA	= $(if $(filter yes,$(SANITIZERS)),$(call objs,build-aux/asan_defaults.c))

LIBEXEC		= $(B)/libexec/cloudshell-fog
WEB		= $(B)/share/cloudshell-fog/web
PROGRAMS	= $(if $(wildcard ptyd/supervisor.c),$(B)/sbin/fogd) \
		  $(if $(wildcard gatewayd/main.c),$(LIBEXEC)/gatewayd) \
		  $(if $(wildcard authd/main.c),$(LIBEXEC)/authd) \
		  $(if $(wildcard placerd/main.c),$(LIBEXEC)/placerd) \
		  $(if $(wildcard fetcher/main.c),$(LIBEXEC)/fetcher $(LIBEXEC)/prober) \
		  $(if $(FOGCTL_SRC),$(B)/bin/fogctl) \
		  $(if $(wildcard ptyd/main.c),$(LIBEXEC)/ptyd) \
		  $(if $(wildcard ptyd/spawner.c),$(LIBEXEC)/spawner) \
		  $(if $(wildcard ptyd/holder.c),$(LIBEXEC)/holder) \
		  $(if $(wildcard ptyd/init.c),$(LIBEXEC)/session-init)

UNIT		= $(patsubst regress/unit/%.c,%,$(wildcard regress/unit/test_*.c))
FUZZ		= $(patsubst regress/fuzz/%.c,%,$(wildcard regress/fuzz/fuzz_*.c))
INTEGRATION	= $(sort $(wildcard regress/integration/*.test.mjs))
# What is tried in the browser, and the files alone: of our C they run nothing that the others do not.
PAGES		= $(addprefix regress/integration/,browser.test.mjs fleet-page.test.mjs identity-page.test.mjs \
		  nodes-page.test.mjs sandbox-page.test.mjs sessions-page.test.mjs documents.test.mjs package.test.mjs)
UNIT_BIN	= $(UNIT:%=$(B)/regress/unit/%)
FUZZ_BIN	= $(FUZZ:%=$(B)/regress/fuzz/%)
# Programs that the integration tests start.
HELPER_SRC	= $(wildcard regress/unit/http1_probe.c regress/hostile_peer.c regress/try_syscall.c \
		  regress/fetch_probe.c regress/sandbox_probe.c regress/egress_probe.c regress/fault_tracer.c)
HELPER_BIN	= $(patsubst %.c,$(B)/regress/%,$(notdir $(HELPER_SRC)))
# Programs of make bench.
BENCH_SRC	= $(wildcard regress/bench_verify.c regress/http_load.c)
SIM_BIN		= $(B)/regress/sim
BENCH_BIN	= $(B)/regress/bench $(patsubst %.c,$(B)/regress/%,$(notdir $(BENCH_SRC)))

# A test names the modules it is about in its first lines: /* links: gatewayd/http1.c placerd/yaml.c */
# One that does not is about the module of its own name.
LINKS := $(shell awk 'FNR <= 10 && sub(/.*[ *]links:/, "") { sub(/\*\/.*/, ""); n = split($$0, s, " "); \
	f = FILENAME; sub(/.*\//, "", f); sub(/\.c$$/, "", f); for (i = 1; i <= n; i++) print f ":" s[i] }' \
	/dev/null $(wildcard regress/unit/*.c regress/fuzz/*.c regress/*.c))

# ---- configure --------------------------------------------------------------------------------------

# These goals work before a compiler or autoconf is there: they install, then call make again.
NO_CONFIG = help deps deps-test deps-lint run-dev test sanitize coverage fuzz fuzz-smoke integration bench vmtest \
	    sim clean distclean dist
ifneq ($(filter-out $(NO_CONFIG),$(or $(MAKECMDGOALS),all)),)
include $(CONFIG)
endif

configure: configure.ac
	@echo '  AUTOCONF'
	@autoconf -o configure.tmp$$$$ && chmod +x configure.tmp$$$$ && mv configure.tmp$$$$ $@

$(CONFIG): configure config.mk.in
	@mkdir -p $(@D)
	@cd $(@D) && if [ -x config.status ] && [ -z '$(CONFIGURE_ARGS)' ]; then \
		./config.status -q --recheck && ./config.status -q; \
	else \
		$(CURDIR)/configure -q $(CONFIGURE_ARGS); \
	fi
	@touch $@

# ---- rules ------------------------------------------------------------------------------------------

objs = $(patsubst %.c,$(B)/obj/%.o,$(1))
by_name = $(wildcard $(addsuffix /$(patsubst fuzz_%,%,$(1:test_%=%)).c,gatewayd authd placerd ptyd fetcher))
links_of = $(or $(patsubst $(1):%,%,$(filter $(1):%,$(LINKS))),$(call by_name,$(1)))

FOG_CPPFLAGS	= -I. -D_GNU_SOURCE -DFOG_VERSION='"$(VERSION)"' $(DEP_CFLAGS) $(HARDEN_CPPFLAGS) $(SAN_CPPFLAGS) $(CPPFLAGS)
FOG_CFLAGS	= -std=gnu17 $(WARN_CFLAGS) -ffile-prefix-map=$(CURDIR)=. $(HARDEN_CFLAGS) $(PIE_CFLAGS) $(SAN_CFLAGS) $(CFLAGS)
FOG_LDFLAGS	= $(HARDEN_LDFLAGS) $(PIE_LDFLAGS) $(SAN_CFLAGS) -Wl,--as-needed $(LDFLAGS)
link = @echo '  LD      $@'; mkdir -p $(@D); $(CC) $(FOG_CFLAGS) $(FOG_LDFLAGS) -o $@ $(filter %.o %.a,$^)

.PHONY: all programs web regress help
all: programs web
	@:
programs: $(PROGRAMS)
	@:

$(B)/obj/%.o: %.c $(CONFIG)
	@echo '  CC      $<'
	@mkdir -p $(@D)
	@$(CC) $(FOG_CPPFLAGS) $(FOG_CFLAGS) -MMD -MP -c -o $@ $<

# The entry point of a fuzzer is declared nowhere.
$(B)/obj/regress/fuzz/%.o: WARN_CFLAGS += -Wno-missing-prototypes

$(B)/libcommon.a: $(call objs,$(COMMON_SRC))
	@echo '  AR      $@'
	@rm -f $@
	@$(AR) rcD $@ $^

$(B)/sbin/fogd: $(call objs,$(FOGD_SRC)) $(PROGRAM_EXTRA) $(B)/libcommon.a
	$(link) $(FOGD_LIBS)
$(LIBEXEC)/gatewayd: $(call objs,$(GATEWAYD_SRC)) $(PROGRAM_EXTRA) $(B)/libcommon.a
	$(link) $(GATEWAYD_LIBS)
$(LIBEXEC)/authd: $(call objs,$(AUTHD_SRC)) $(PROGRAM_EXTRA) $(B)/libcommon.a
	$(link) $(AUTHD_LIBS)
$(LIBEXEC)/placerd: $(call objs,$(PLACERD_SRC)) $(PROGRAM_EXTRA) $(B)/libcommon.a
	$(link) $(PLACERD_LIBS)
# placerd's fetcher is the same program: it knows by its name which one it is.
$(LIBEXEC)/fetcher $(LIBEXEC)/prober: $(call objs,$(FETCHER_SRC)) $(PROGRAM_EXTRA) $(B)/libcommon.a
	$(link) $(FETCHER_LIBS)
$(B)/bin/fogctl: $(call objs,$(FOGCTL_SRC)) $(PROGRAM_EXTRA) $(B)/libcommon.a
	$(link) $(FOGCTL_LIBS)
$(LIBEXEC)/ptyd: $(call objs,$(PTYD_SRC)) $(PROGRAM_EXTRA) $(B)/libcommon.a
	$(link) $(PTYD_LIBS)
$(LIBEXEC)/spawner: $(call objs,$(SPAWNER_SRC)) $(PROGRAM_EXTRA) $(B)/libcommon.a
	$(link) $(SPAWNER_LIBS)
# There is one for each session: as a static program it starts without a loader. Sanitizers and coverage need theirs.
ifeq ($(SAN_CFLAGS),)
$(LIBEXEC)/holder: $(call objs,$(HOLDER_SRC) ptyd/holder_noname.c) $(B)/libcommon.a $(HOLDER_EVENT)
	@echo '  LD      $@ (static)'
	@mkdir -p $(@D)
	@$(CC) $(FOG_CFLAGS) $(HARDEN_LDFLAGS) $(STATIC_LDFLAGS) $(LDFLAGS) -o $@ $^
else
$(LIBEXEC)/holder: $(call objs,$(HOLDER_SRC)) $(PROGRAM_EXTRA) $(B)/libcommon.a
	$(link) $(EVENT_LIBS)
endif
# The init of a session is one static program without any runtime beside libc: its objects are its own.
init_objs = $(patsubst %.c,$(B)/init/%.o,$(1))
# What they are made from does not inherit that.
$(B)/init/%.o: private SAN_CFLAGS =
$(B)/init/%.o: %.c $(CONFIG)
	@echo '  CC      $< (static)'
	@mkdir -p $(@D)
	@$(CC) $(FOG_CPPFLAGS) $(FOG_CFLAGS) -MMD -MP -c -o $@ $<
# What it loads for the shell, of and for the machine that builds.
$(B)/gen/shellfilter: $(call objs,ptyd/shellfilter.c) $(PROGRAM_EXTRA)
	$(link) $(SECCOMP_LIBS)
$(B)/gen/ptyd/shellprogram.c: $(B)/gen/shellfilter
	@echo '  GEN     $@'
	@mkdir -p $(@D)
	@$< >$@
$(B)/init/ptyd/shellprogram.o: private SAN_CFLAGS =
$(B)/init/ptyd/shellprogram.o $(B)/obj/ptyd/shellprogram.o: $(B)/gen/ptyd/shellprogram.c
	@mkdir -p $(@D)
	@$(CC) $(FOG_CPPFLAGS) $(FOG_CFLAGS) -MMD -MP -c -o $@ $<
$(LIBEXEC)/session-init: private SAN_CFLAGS =
$(LIBEXEC)/session-init: $(call init_objs,$(INIT_SRC) ptyd/shellprogram.c)
	@echo '  LD      $@'
	@mkdir -p $(@D)
	@$(CC) $(FOG_CFLAGS) $(HARDEN_LDFLAGS) $(STATIC_LDFLAGS) -o $@ $^

define unit_rule
$(B)/regress/unit/$(1): $(call objs,regress/unit/$(1).c $(call links_of,$(1))) $(B)/libcommon.a
	$$(link) $$(ALL_LIBS)
endef
define fuzz_rule
$(B)/regress/fuzz/$(1): $(call objs,regress/fuzz/$(1).c $(call links_of,$(1))) $(B)/libcommon.a
	$$(link) -fsanitize=fuzzer $$(ALL_LIBS)
endef
define helper_rule
$(B)/regress/$(basename $(notdir $(1))): $(call objs,$(1) $(call links_of,$(basename $(notdir $(1))))) $(B)/libcommon.a
	$$(link) $$(ALL_LIBS)
endef
$(foreach t,$(UNIT),$(eval $(call unit_rule,$(t))))
$(foreach t,$(FUZZ),$(eval $(call fuzz_rule,$(t))))
$(foreach t,$(HELPER_SRC) $(BENCH_SRC),$(eval $(call helper_rule,$(t))))
ifeq ($(filter http1_probe:%,$(LINKS)),)
$(B)/regress/http1_probe: $(B)/obj/gatewayd/http1.o
endif

-include $(patsubst %.o,%.d,$(shell find $(B)/obj $(B)/init -name '*.o' 2>/dev/null))

# ---- the page ---------------------------------------------------------------------------------------

WEB_SRC = $(wildcard web/*.ts web/*.html web/*.css web/*.mjs web/*.svg web/*.json)

web: $(if $(wildcard web/build.mjs),$(WEB)/index.html)

# npm itself writes this file last of all.
%/node_modules/.package-lock.json: %/package-lock.json
	@echo '  NPM     $*'
	@cd $* && npm ci --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

$(WEB)/index.html: $(WEB_SRC) docs/openapi.json web/node_modules/.package-lock.json
	@echo '  WEB     $(WEB)'
	@mkdir -p $(WEB)
	@node web/build.mjs $(WEB)
	@cp docs/openapi.json $(WEB)/
	@touch $@

# ---- running ----------------------------------------------------------------------------------------

SUBMAKE = +@$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS) --output-sync=target)
STAGE = @printf '\n== %s\n'

.PHONY: deps deps-test deps-lint run-dev
deps:
	@build-aux/deps.sh run
# configure may have run before there was a cmocka.
deps-test:
	@build-aux/deps.sh run test
	@if grep -qs '^HAVE_CMOCKA = no' $(CONFIG); then rm -f $(CONFIG); fi
deps-lint:
	@build-aux/deps.sh run test lint

run-dev: deps
	$(SUBMAKE) B=$(B) all
	@exec build-aux/run-dev.sh $(abspath $(B))

# ---- tests ------------------------------------------------------------------------------------------

RUN_TESTS = TEST_JOBS=$(TEST_JOBS) build-aux/run-tests.sh
FUZZ_ARGS = CONFIGURE_ARGS='CC=clang --enable-fuzzers'
ASAN_ARGS = CONFIGURE_ARGS='--enable-sanitizers'
COV_ARGS = CONFIGURE_ARGS='--enable-coverage'

.PHONY: test unit fuzz-smoke fuzz integration sanitize coverage bench sim sim-short check-linkage
.PHONY: regress-npm unit-bin fuzz-bin helper-bin
test: deps-test
	$(STAGE) build
	$(SUBMAKE) B=$(B) all unit-bin helper-bin $(SIM_BIN) regress-npm
	$(SUBMAKE) B=build-fuzz $(FUZZ_ARGS) fuzz-bin
	+@build-aux/run-stages.sh 'make test' \
		'unit tests' '$(MAKE) --no-print-directory B=$(B) unit' \
		'tests of the page' 'cd web && npm test --silent' \
		'fuzzers over their seeds' '$(MAKE) --no-print-directory fuzz-smoke' \
		'placement on made-up fleets' '$(MAKE) --no-print-directory B=$(B) sim-short' \
		'integration tests' '$(MAKE) --no-print-directory B=$(B) integration'

unit-bin: $(UNIT_BIN)
	@:
fuzz-bin: $(FUZZ_BIN)
	@:
helper-bin: $(HELPER_BIN)
	@:
regress-npm: regress/node_modules/.package-lock.json
	@:

unit: $(UNIT_BIN) check-linkage
	@$(RUN_TESTS) unit $(B)/regress $(UNIT)

fuzz-smoke:
	$(SUBMAKE) B=build-fuzz $(FUZZ_ARGS) fuzz-bin
	@FUZZ_SECONDS=5 $(RUN_TESTS) fuzz build-fuzz/regress $(FUZZ)

fuzz:
	$(SUBMAKE) B=build-fuzz $(FUZZ_ARGS) fuzz-bin
	@FUZZ_SECONDS=$(FUZZ_SECONDS) $(RUN_TESTS) fuzz build-fuzz/regress $(FUZZ)

# As root each role has a user of its own, as make run-dev makes them.
integration:
	@[ "$$(id -u)" != 0 ] || build-aux/make-users.sh etc/sysusers.d/cloudshell-fog.conf
	$(SUBMAKE) B=$(B) all helper-bin regress-npm
	@FOG_BUILD=$(abspath $(B)) $(RUN_TESTS) integration $(B)/regress $(INTEGRATION)

# What runs as root links libevent's core and libseccomp, the spawner libnftables and libmnl too, and the init of a
# session nothing at all.
check-linkage: $(PROGRAMS)
	@$(if $(SAN_CFLAGS),:,build-aux/check-linkage.sh $(B))

sanitize:
	$(SUBMAKE) B=build-asan $(ASAN_ARGS) all unit-bin helper-bin regress-npm
	+@FOG_SANITIZED=1 build-aux/run-stages.sh 'sanitizers' \
		'unit tests' '$(MAKE) --no-print-directory B=build-asan unit' \
		'integration tests' '$(MAKE) --no-print-directory B=build-asan INTEGRATION="$(filter-out $(PAGES),$(INTEGRATION))" integration'

# Only tests that link one of these can run a line of it. Without those that start programs: those, under their filters,
# cannot write their counters.
COVERED = gatewayd/http1.c placerd/policy.c
COVERING = $(foreach t,$(filter-out test_holder test_holder_clients test_holder_identity test_ptyd,$(UNIT)),$(if \
	$(filter $(COVERED),$(call links_of,$(t))),$(t)))
coverage:
	$(SUBMAKE) B=build-cov $(COV_ARGS) $(COVERING:%=build-cov/regress/unit/%)
	@find build-cov -name '*.gcda' -delete
	@$(RUN_TESTS) unit build-cov/regress $(COVERING)
	@build-aux/coverage.sh build-cov 90 $(COVERED)

$(B)/regress/bench: $(call objs,$(wildcard regress/bench/*.c)) $(B)/libcommon.a
	$(link) $(SSL_LIBS) $(CRYPTO_LIBS)

# ROUNDS=5; TTYD=/path/to/ttyd; BENCH_ARGS='--quick --only sandbox --strict --json FILE'
# As root the sandboxes are measured too, beside those of other programs; without these they are left out.
bench: regress-npm
	@[ "$$(id -u)" != 0 ] || build-aux/deps.sh bench || :
	@[ "$$(id -u)" != 0 ] || build-aux/make-users.sh etc/sysusers.d/cloudshell-fog.conf
	$(SUBMAKE) B=$(B) all $(BENCH_BIN)
	@FOG_BUILD=$(abspath $(B)) TTYD='$(TTYD)' $(B)/regress/bench $(BENCH_ARGS)
	@$(B)/regress/bench_verify --openssl
	@FOG_BUILD=$(abspath $(B)) node regress/bench/identity.mjs

# The functions of placerd itself: what they need beside them is none of its processes.
$(SIM_BIN): $(call objs,$(wildcard regress/sim/*.c) $(addprefix placerd/,place.c hold.c distance.c policy.c fleet.c yaml.c)) $(B)/libcommon.a
	$(link) $(PLACERD_LIBS)

# SIM_ARGS='--seed 7 --only days': see regress/sim/main.c.
sim:
	$(SUBMAKE) B=$(B) $(SIM_BIN)
	@$(SIM_BIN) $(SIM_ARGS)

sim-short: $(SIM_BIN)
	@$(SIM_BIN) --short --jobs $(TEST_JOBS)

# ---- a machine with systemd ----------------------------------------------------------------------------

VM = $(B)/vm
VM_PAYLOAD = $(B)/vm-payload
ECHO_CLIENT = $(B)/regress/echo_client
CGROUP_TEST = $(B)/regress/unit/test_cgroup

$(VM)/root.img: regress/vm/build.sh
	@echo '  VM      $(VM)'
	@regress/vm/build.sh $(VM)

$(ECHO_CLIENT): $(call objs,regress/echo_client.c)
	$(link)

# The Debian packages, installed in an emulated Debian 12. Making the image takes root; most of it is waiting, while the
# packages are built. How fast this machine is goes along, so that the emulated one can tell how much slower it is.
.PHONY: vmtest vm-payload
vmtest:
	@build-aux/deps.sh run test vm package
	$(SUBMAKE) B=$(B) $(VM)/root.img vm-payload regress-npm
	@for i in 1 2 3 4 5; do $(ECHO_CLIENT) speed; done | sort -n | head -n 1 >$(VM_PAYLOAD)/builder_speed
	@VMTEST_BESIDE=regress/vm/browse.mjs regress/vm/run.sh $(VM) $(VM_PAYLOAD) $(B)/vm-out

vm-payload: $(ECHO_CLIENT) $(CGROUP_TEST) $(WEB)/index.html
	@rm -rf $(VM_PAYLOAD) && cp -R regress/vm/payload $(VM_PAYLOAD)
	@cp $(ECHO_CLIENT) $(CGROUP_TEST) $$(ldd $(CGROUP_TEST) | sed -n 's/^.*libcmocka.* => \(.*\) (.*/\1/p') $(VM_PAYLOAD)/
	@regress/vm/package.sh $(WEB) $(VM_PAYLOAD)

# ---- lint -------------------------------------------------------------------------------------------

C_DIRS = common common/compat gatewayd authd placerd ptyd fetcher fogctl regress regress/unit regress/fuzz regress/bench regress/sim
C_SRC = $(wildcard $(C_DIRS:%=%/*.c))
C_HDR = $(wildcard $(C_DIRS:%=%/*.h))
MAN = $(wildcard man/*.[158])
SHELL_SRC = $(wildcard build-aux/*.sh regress/*.sh regress/*/*.sh regress/vm/payload/*.sh .ci/run)

.PHONY: lint lint-format lint-cppcheck lint-tidy lint-man lint-shell format
lint: lint-format lint-shell lint-man lint-cppcheck lint-tidy

lint-format:
	@echo '  FORMAT'
	@clang-format --dry-run -Werror $(C_SRC) $(C_HDR)

format:
	@clang-format -i $(C_SRC) $(C_HDR)

# uninitvar takes a struct filled by a function for empty; gcc, clang and its analyzer look for the same.
lint-cppcheck:
	@echo '  CPPCHECK'
	@cppcheck -q -j$(JOBS) --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--std=c11 --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=uninitvar \
		--include=$(firstword $(wildcard /usr/include/*/sys/queue.h /usr/include/sys/queue.h)) \
		-I. -D__linux__ -D__x86_64__ -D_GNU_SOURCE -DFOG_VERSION='""' $(C_SRC)

lint-tidy: $(C_SRC:%=$(B)/tidy/%.ok)
$(B)/tidy/%.ok: % .clang-tidy $(CONFIG) $(C_HDR) $(wildcard common/*.def)
	@echo '  TIDY    $<'
	@mkdir -p $(@D)
	@clang-tidy --quiet --warnings-as-errors='*' $< -- -std=gnu17 $(FOG_CPPFLAGS) 2>$@.log >$@.out || \
		{ cat $@.out; grep -v 'warnings generated\|Suppressed\|Use -header-filter' $@.log; exit 1; }
	@touch $@

lint-man:
	@echo '  MANDOC'
	@$(if $(MAN),mandoc -Tlint -W warning $(MAN))

lint-shell:
	@echo '  BASH -N'
	@for f in $(SHELL_SRC); do bash -n $$f || exit 1; done

# ---- install ----------------------------------------------------------------------------------------

INSTALL ?= install
sysusersdir ?= $(prefix)/lib/sysusers.d
tmpfilesdir ?= $(prefix)/lib/tmpfiles.d
unitdir ?= $(prefix)/lib/systemd/system
bashcompdir ?= $(datadir)/bash-completion/completions
zshcompdir ?= $(datadir)/zsh/vendor-completions
fishcompdir ?= $(datadir)/fish/vendor_completions.d
pkglibexecdir = $(libexecdir)/cloudshell-fog
pkgdatadir = $(datadir)/cloudshell-fog
confdir = $(sysconfdir)/cloudshell-fog
UNITS = $(wildcard etc/systemd/*.service etc/systemd/*.socket etc/systemd/*.slice etc/systemd/*.target)
CONFFILES = $(wildcard etc/gateway.env etc/policy.yaml)
DOCS = $(wildcard README.md README.privsep PROTOCOL CHANGELOG.md SECURITY.md LICENSE docs/openapi.json docs/identity.md docs/sandbox.md docs/fleet.md \
		  docs/placement-figures.md)
# Complete, and nobody's: as configuration it would be taken for this machine's.
EXAMPLES = $(wildcard etc/nodes.yaml)
D = $(DESTDIR)

.PHONY: install uninstall
install: all
	$(INSTALL) -d $(D)$(bindir) $(D)$(sbindir) $(D)$(pkglibexecdir) $(D)$(pkgdatadir)/web $(D)$(confdir) \
		$(D)$(docdir)/examples $(D)$(sysusersdir) $(D)$(tmpfilesdir) $(D)$(unitdir)
	$(INSTALL) -m 755 $(B)/sbin/fogd $(D)$(sbindir)/
	$(if $(FOGCTL_SRC),$(INSTALL) -m 755 $(B)/bin/fogctl $(D)$(bindir)/)
	for s in bash:$(bashcompdir)/fogctl zsh:$(zshcompdir)/_fogctl fish:$(fishcompdir)/fogctl.fish; do \
		$(INSTALL) -d $(D)$$(dirname $${s#*:}) && $(B)/bin/fogctl completion $${s%%:*} >$(D)$${s#*:} && \
		chmod 644 $(D)$${s#*:} || exit 1; done
	$(INSTALL) -m 755 $(filter $(LIBEXEC)/%,$(PROGRAMS)) $(D)$(pkglibexecdir)/
	cd $(WEB) && find . -type f -exec $(INSTALL) -D -m 644 {} $(abspath $(D)$(pkgdatadir)/web)/{} \;
	for m in $(MAN); do $(INSTALL) -D -m 644 $$m $(D)$(mandir)/man$${m##*.}/$${m##*/} || exit 1; done
	for f in $(CONFFILES); do to=$(D)$(confdir)/$${f##*/}; \
		if [ -e $$to ]; then echo "kept $$to"; else $(INSTALL) -m 644 $$f $$to || exit 1; fi; done
	$(INSTALL) -m 644 etc/sysusers.d/cloudshell-fog.conf $(D)$(sysusersdir)/
	$(INSTALL) -m 644 etc/tmpfiles.d/cloudshell-fog.conf $(D)$(tmpfilesdir)/
	$(if $(UNITS),$(INSTALL) -m 644 $(UNITS) $(D)$(unitdir)/)
	$(if $(DOCS),$(INSTALL) -m 644 $(DOCS) $(D)$(docdir)/)
	$(if $(EXAMPLES),$(INSTALL) -m 644 $(EXAMPLES) $(D)$(docdir)/examples/)

# Configuration files stay: they are the administrator's.
uninstall: $(CONFIG)
	rm -f $(D)$(sbindir)/fogd $(D)$(bindir)/fogctl $(MAN:man/%=$(D)$(mandir)/man?/%) $(UNITS:etc/systemd/%=$(D)$(unitdir)/%) \
		$(D)$(sysusersdir)/cloudshell-fog.conf $(D)$(tmpfilesdir)/cloudshell-fog.conf \
		$(D)$(bashcompdir)/fogctl $(D)$(zshcompdir)/_fogctl $(D)$(fishcompdir)/fogctl.fish
	rm -rf $(D)$(pkglibexecdir) $(D)$(pkgdatadir) $(D)$(docdir)

# ---- the rest ---------------------------------------------------------------------------------------

.PHONY: clean distclean dist
clean:
	rm -rf build build-asan build-cov build-fuzz build-clang build-install $(filter-out build,$(B))

distclean: clean
	rm -rf configure config.mk config.log config.status autom4te.cache web/node_modules regress/node_modules

dist:
	@v=$$(sed -n 's/^AC_INIT(\[cloudshell-fog\], \[\(.*\)\])/\1/p' configure.ac) && \
	git archive --format=tar.gz --prefix=cloudshell-fog-$$v/ -o cloudshell-fog-$$v.tar.gz HEAD && \
	echo cloudshell-fog-$$v.tar.gz

help:
	@echo 'all          programs and page into $(B)/'
	@echo 'run-dev      install what is missing, build, run on 127.0.0.1:8080 in the foreground'
	@echo 'test         install what is missing, build, run unit, fuzz-smoke and integration'
	@echo 'unit         cmocka tests, and which libraries the programs link'
	@echo 'fuzz-smoke   each fuzzer over its seeds and for 5 s'
	@echo 'fuzz         each fuzzer for FUZZ_SECONDS=$(FUZZ_SECONDS)'
	@echo 'integration  node:test against private instances, TEST_JOBS=$(TEST_JOBS) files at once and as many that wait'
	@echo 'sanitize     unit and integration tests under ASAN and UBSAN'
	@echo 'coverage     line coverage of the parsers by unit tests'
	@echo 'lint         clang-format, bash -n, mandoc, cppcheck, clang-tidy'
	@echo 'vmtest       the installed service under systemd, in an emulated Debian 12'
	@echo 'sim          placement on made-up fleets of up to 100,000 nodes, held against bounds; about half an hour on two cores'
	@echo 'bench        throughput, latency and memory figures'
	@echo 'install      DESTDIR= prefix=     uninstall     dist     clean     distclean'
