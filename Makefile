# Volley.  `make demo` shows it at work, `make test` tests it, `make help` lists the rest.

VERSION   := 0.1.0
BUILD     ?= build
ifeq ($(origin CC),default)
CC        := gcc
endif
OPT       ?= -O2 -g
# Another BoringSSL than Debian's: a directory with include/openssl and lib/lib{ssl,crypto}.*
BORINGSSL ?=
# Sanitizers, as in `make SAN=address,undefined`; set by `make asan` and `make tsan`.
SAN       ?=
# How many compilers the targets that build by themselves (demo, test, ...) run at once.
JOBS      ?= $(shell nproc)
# V=1 shows whole commands.
V         ?=
PREFIX    ?= /usr/local
DESTDIR   ?=

# ---- modules -----------------------------------------------------------------------------
# A module is a directory of C files.  DEPS says which others it may include: the link order
# of everything below, and what `make tidy` holds each #include against.

MODULES := engine/base throttle conf engine/io engine/smtp engine/message engine/tls \
           engine/dns queue engine/deliver engine/worker engine/cli bench

DEPS_base    :=
DEPS_throttle := base
DEPS_conf    := smtp throttle base
DEPS_io      := base
DEPS_smtp    := base
DEPS_message := base
DEPS_tls     := base
DEPS_dns     := io base
DEPS_queue   := tls io base
DEPS_deliver := queue dns tls message conf smtp io throttle base
DEPS_worker  := deliver $(DEPS_deliver)
DEPS_cli     := worker $(DEPS_worker)
DEPS_bench   := tls io base

# Third-party libraries, each known to one module only.
LIBS_io      := -luring
LIBS_conf    := -lyaml
LIBS_dns     := -lcares -lidn2
LIBS_queue   := -lhiredis

# As Debian names it; clang 19 answers -print-multiarch with another name.
MACHINE   := $(shell uname -m)
MULTIARCH := $(if $(filter armv7l armv8l,$(MACHINE)),arm-linux-gnueabihf,$\
               $(patsubst i%86,i386,$(MACHINE))-linux-gnu)
ifeq ($(BORINGSSL),)
TLS_CPPFLAGS := -isystem /usr/include/android
TLS_LIBDIR   := /usr/lib/$(MULTIARCH)/android
else
TLS_CPPFLAGS := -isystem $(BORINGSSL)/include
TLS_LIBDIR   := $(abspath $(BORINGSSL)/lib)
endif
# A static BoringSSL brings C++ of its own.
LIBS_tls     := -L$(TLS_LIBDIR) -Wl,-rpath,$(TLS_LIBDIR) -lssl -lcrypto \
                $(if $(wildcard $(TLS_LIBDIR)/libssl.a),-lstdc++)
LIBS_message := $(LIBS_tls)

# ---- flags -------------------------------------------------------------------------------

WARN     := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wvla -Wswitch-enum -Wno-missing-field-initializers -Werror
CPPFLAGS := -I. -D_GNU_SOURCE -DVOLLEY_VERSION='"$(VERSION)"' $(if $(SAN),,-D_FORTIFY_SOURCE=2)
CFLAGS   := -std=gnu11 $(OPT) $(WARN) -fno-strict-aliasing -fstack-protector-strong -pthread \
            $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
# An empty slice is NULL and 0; NULL + 0 is what clang alone objects to, and C2y allows it.
CFLAGS   += $(if $(SAN),$(if $(findstring clang,$(CC)),-fno-sanitize=pointer-overflow))
LDFLAGS  := -pthread -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN))

Q         := $(if $(V),,@)
say        = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: FORCE

# A file that holds a text and is new whenever the text is: what is built from flags or from
# a list of files depends on one of these.
define remember # file, text
ifneq ($$(strip $$(file <$(1))),$$(strip $(2)))
$(1): FORCE
endif
$(1):
	@: $$(shell mkdir -p $$(@D))$$(file >$$@,$$(strip $(2)))
endef
FLAGS := $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(TLS_CPPFLAGS) $(LIBS_tls)
$(eval $(call remember,$(BUILD)/flags,$$(FLAGS)))

# ---- objects, one archive a module ---------------------------------------------------------

MAINS    := engine/main.c bench/sink_main.c bench/bench_main.c
srcs      = $(filter-out $(MAINS),$(wildcard $(1)/*.c))
objs      = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
archive   = $(BUILD)/lib/$(1).a
# What a program needs that uses module names $(1), in link order, each once.
archives  = $(foreach m,$(1),$(call archive,$(m)))
libs      = $(foreach m,$(1),$(LIBS_$(m)))
with_deps = $(1) $(filter-out $(1),$(DEPS_$(1)))

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(if $(findstring engine/tls/,$<)$(findstring engine/message/,$<),$(TLS_CPPFLAGS)) $(CFLAGS) -MMD -MP -c $< -o $@

define module_rule
$(call archive,$(notdir $(1))): $(call objs,$(call srcs,$(1))) $(BUILD)/lib/$(notdir $(1)).list
	@mkdir -p $$(@D)
	@rm -f $$@
	$(Q)ar rcsD $$@ $$(filter %.o,$$^)
$(call remember,$(BUILD)/lib/$(notdir $(1)).list,$(call objs,$(call srcs,$(1))))
endef
$(foreach m,$(MODULES),$(eval $(call module_rule,$(m))))

# The shipped table of words is text inside the program.
$(BUILD)/obj/conf/replies.o: conf/replies.table

# The Redis library is Lua text inside the program.
$(BUILD)/obj/queue/library.o: $(wildcard queue/*.lua)

# ---- programs ------------------------------------------------------------------------------

# A second libcrypto in one process would answer for the first: symbols of the same names with
# other structures behind them.
define one_libcrypto
@tests/check_libcrypto.sh $@ $(TLS_LIBDIR) || { rm -f $@; exit 1; }
endef

define program_rule # program, main file, module
$(BUILD)/$(1): $(call objs,$(2)) $(call archives,$(call with_deps,$(3)))
	$$(call say,LD,$$@)
	$(Q)$$(CC) $$(LDFLAGS) $$^ $(call libs,$(call with_deps,$(3))) -o $$@
	$$(one_libcrypto)
endef
$(eval $(call program_rule,volley,engine/main.c,cli))
$(eval $(call program_rule,volley-sink,bench/sink_main.c,bench))
$(eval $(call program_rule,volley-bench,bench/bench_main.c,bench))

PROGRAMS := $(foreach p,volley:engine/main.c volley-sink:bench/sink_main.c \
              volley-bench:bench/bench_main.c,\
              $(if $(wildcard $(word 2,$(subst :, ,$(p)))),$(BUILD)/$(word 1,$(subst :, ,$(p)))))

.PHONY: all
all: $(PROGRAMS)

# ---- unit tests: tests/unit/<module>/test_*.c ------------------------------------------------

UNIT_SRCS := $(wildcard tests/unit/*/test_*.c)
UNIT_BINS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRCS))

define unit_rule # test source
$(BUILD)/unit/$(patsubst tests/unit/%.c,%,$(1)): $(call objs,$(1)) \
    $(call archives,$(call with_deps,$(notdir $(patsubst %/,%,$(dir $(1))))))
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$(Q)$$(CC) $$(LDFLAGS) $$^ $(call libs,$(call with_deps,$(notdir $(patsubst %/,%,$(dir $(1)))))) -lcmocka -o $$@
endef
$(foreach t,$(UNIT_SRCS),$(eval $(call unit_rule,$(t))))

# ---- dialogue tests: one program that plays tests/dialogue/*.smtp ----------------------------

DIALOGUE_SRCS := $(wildcard tests/dialogue/*.c)
DIALOGUE_BINS := $(if $(DIALOGUE_SRCS),$(BUILD)/dialogue/run)

$(BUILD)/dialogue/run: $(call objs,$(DIALOGUE_SRCS)) $(call archives,$(call with_deps,smtp))
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $^ $(call libs,$(call with_deps,smtp)) -o $@

# ---- the simulator: tests/sim ---------------------------------------------------------------
# The engine's delivery in a world of our making: what stands here is replaced at the link.

SIM_SRCS := $(wildcard tests/sim/*.c)
SIM_WRAP := clock_gettime getrandom log_at close shutdown epoll_open \
            socket_open socket_error socket_was_reset socket_set_nodelay \
            mem_alloc mem_zalloc mem_array mem_realloc mem_dup mem_free
# Of the queue only what is pure: what the model lacks shall not be found, rather than be real.
# The DNS transport comes before the one in its archive.
SIM_QUEUE := queue/record.c queue/keys.c queue/suppress_match.c queue/orders.c queue/resp.c
SIM_LIBS  := $(filter-out queue,$(call with_deps,deliver))
$(BUILD)/sim/sim: $(call objs,$(SIM_SRCS) $(SIM_QUEUE)) $(call archives,$(SIM_LIBS))
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $(SIM_WRAP:%=-Wl,--wrap=%) $^ $(call libs,$(SIM_LIBS) queue) -o $@

# ---- fuzz targets: tests/fuzz/fuzz_*.c, built with clang by `make fuzz` ----------------------
# The first line of each, "/* modules: smtp base */", says what it is linked with.

FUZZ_SRCS := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BINS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRCS))

ifdef FUZZING
fuzz_modules = $(shell sed -n '1s|.*modules: *\(.*[a-z]\) *\*/.*|\1|p' $(1))
define fuzz_rule # fuzz source, its modules
$(BUILD)/fuzz/$(patsubst tests/fuzz/%.c,%,$(1)): $(call objs,$(1)) $(call archives,$(2))
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$(Q)$$(CC) $$(LDFLAGS) -fsanitize=fuzzer $$^ $(call libs,$(2)) -o $$@
endef
$(foreach t,$(FUZZ_SRCS),$(eval $(call fuzz_rule,$(t),$(call fuzz_modules,$(t)))))
endif

# ---- running tests: tests/run.py builds what a part needs and runs it -------------------------

PYTHON  ?= /usr/bin/python3
RUN_PY   = VOLLEY_BUILD=$(BUILD) VOLLEY_JOBS=$(JOBS) MAKE=$(MAKE) $(PYTHON) tests/run.py

.PHONY: fairness orders rtt queue-cost test unit dialogue e2e asan tsan tidy fuzz test-bins dialogue-bins fuzz-bins print-deps
test: deps-build deps-run deps-test
	@$(RUN_PY) tidy unit dialogue sim asan fuzz e2e

unit dialogue asan tsan e2e tidy:
	@$(RUN_PY) $@

# SEEDS=100000 for a long run, from SEED=1; see tests/sim/README.md.
sim:
	@SEEDS=$(or $(SEEDS),1000) SEED=$(or $(SEED),1) SIM_LIMIT_S=$(or $(SIM_LIMIT_S),36000) $(RUN_PY) $@

# Go's compiler is larger than all else that tests need, so nothing but this installs it.
.PHONY: test-go
test-go:
	@.ci/deps.sh test go
	@$(PYTHON) -m pytest -q tests/e2e/test_queue_readme.py -k go

# Ends engines and Redis at random, and counts what that lost or doubled.
.PHONY: killer
killer: all
	@VOLLEY_BUILD=$(BUILD) $(PYTHON) tests/e2e/killer.py --kills $(or $(KILLS),200) \
	    $(if $(SEED),--seed $(SEED)) --fsync $(or $(FSYNC),always) $(if $(CLUSTER),--cluster)

# FUZZ_SECONDS is for each target; ONLY=reply takes one of them.
fuzz:
	@FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) $(RUN_PY) $@

# Who has a million jobs does not stand before who has a hundred; with times, on a calm machine.
fairness: all
	@FAIR_JOBS=$(or $(FAIR_JOBS),1000000) $(PYTHON) -m pytest -q -s tests/e2e/test_fairness.py

# Letters for each round trip on one connection, by mode, beside Postfix.
rtt: all
	@RTT=1 $(PYTHON) -m pytest -q -s tests/e2e/test_rtt.py

# A million jobs cancelled, and what others feel of it; with figures, on a calm machine.
orders: all
	@ORDERS_JOBS=$(or $(ORDERS_JOBS),1000000) $(PYTHON) -m pytest -q -s tests/e2e/test_orders_load.py

# What a million jobs cost Redis, in time and memory.
queue-cost:
	@COST_JOBS=$(or $(COST_JOBS),1000000) $(PYTHON) -m pytest -q -s tests/e2e/test_queue_cost.py

test-bins: $(UNIT_BINS) $(DIALOGUE_BINS)
dialogue-bins: $(DIALOGUE_BINS)
fuzz-bins: $(FUZZ_BINS)

# "engine/smtp: engine/base", a line for each module: what `make tidy` reads.
module_dir = $(filter $(1) %/$(1),$(MODULES))
print-deps:
	@$(foreach m,$(MODULES),echo '$(m): $(foreach d,$(DEPS_$(notdir $(m))),$(call module_dir,$(d)))';)

# ---- dependencies and the demo -----------------------------------------------------------------

.PHONY: deps-build deps-run deps-test demo
deps-build:
	@.ci/deps.sh build
deps-run:
	@.ci/deps.sh run
deps-test:
	@.ci/deps.sh test lint

# A make of its own: what this one learnt about the compiler may be from before there was one.
demo: deps-build deps-run
	@$(MAKE) -j$(JOBS) --no-print-directory all
	@$(BUILD)/volley demo

# ---- manual pages, install, dist ---------------------------------------------------------------
# Manual pages are printed by the programs from the tables that parse their command lines.

MAN_COMMANDS := run send check demo queue \
                $(addprefix queue-,stats list show pause resume cancel retry library suppress \
                  $(addprefix suppress-,add remove list import export))
MAN_PAGES    := $(BUILD)/man/volley.1 $(MAN_COMMANDS:%=$(BUILD)/man/volley-%.1) \
                $(patsubst $(BUILD)/%,$(BUILD)/man/%.1,$(filter-out $(BUILD)/volley,$(PROGRAMS)))

.PHONY: man docs install uninstall dist clean help
man: $(MAN_PAGES)

# The date of the commit, so that a build can be repeated.
dated = | sed '1s/""/"$(shell git log -1 --format=%cs 2>/dev/null || date -u +%F)"/' > $@

$(BUILD)/man/volley.1: $(BUILD)/volley
	@mkdir -p $(@D)
	$(Q)$< help --man $(dated)
$(MAN_COMMANDS:%=$(BUILD)/man/volley-%.1): $(BUILD)/man/volley-%.1: $(BUILD)/volley
	@mkdir -p $(@D)
	$(Q)$< help --man $(subst -, ,$*) $(dated)
$(BUILD)/man/volley-sink.1 $(BUILD)/man/volley-bench.1: $(BUILD)/man/%.1: $(BUILD)/%
	@mkdir -p $(@D)
	$(Q)$< --man $(dated)

# What README.md and ARCHITECTURE.md quote from the program.
docs: $(BUILD)/volley
	@VOLLEY_BUILD=$(BUILD) $(PYTHON) tests/docs.py

bindir  := $(PREFIX)/bin
mandir  := $(PREFIX)/share/man/man1
datadir := $(PREFIX)/share/volley
unitdir := $(PREFIX)/lib/systemd/system
DATA    := $(wildcard conf/*.yaml)

install: all man
	install -d $(addprefix $(DESTDIR),$(bindir) $(mandir) $(datadir) $(unitdir))
	install -m 755 $(PROGRAMS) $(DESTDIR)$(bindir)
	install -m 644 $(MAN_PAGES) $(DESTDIR)$(mandir)
	install -m 644 $(DATA) $(DESTDIR)$(datadir)
	sed 's|@bindir@|$(bindir)|' conf/volley.service > $(DESTDIR)$(unitdir)/volley.service
	chmod 644 $(DESTDIR)$(unitdir)/volley.service

# Configurations and queues are not ours to remove.
uninstall:
	rm -f $(addprefix $(DESTDIR)$(bindir)/,$(notdir $(PROGRAMS)))
	rm -f $(addprefix $(DESTDIR)$(mandir)/,$(notdir $(MAN_PAGES)))
	rm -f $(addprefix $(DESTDIR)$(datadir)/,$(notdir $(DATA)))
	rm -f $(DESTDIR)$(unitdir)/volley.service
	-rmdir $(DESTDIR)$(datadir)

dist:
	@mkdir -p $(BUILD)
	git archive --prefix=volley-$(VERSION)/ -o $(BUILD)/volley-$(VERSION).tar.gz HEAD
	@echo $(BUILD)/volley-$(VERSION).tar.gz

clean:
	rm -rf $(BUILD)

help:
	@sed -n 's/^#? \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

#? make demo        installs what is missing, builds, and sends 20,000 letters to a local sink
#? make test        installs what is missing, runs all tests (about 10 minutes on 2 cores)
#?
#? make             builds volley, volley-sink and volley-bench in build/
#? make install     into PREFIX (/usr/local), below DESTDIR; uninstall takes it away
#? make man         manual pages in build/man
#? make docs        renews what README.md and ARCHITECTURE.md quote from the program
#? make dist        a tarball of the commit
#? make clean       removes build/
#?
#? make unit        unit tests                     ONLY=part-of-a-name takes some of them
#? make dialogue    SMTP dialogues, with every split of the server's bytes
#? make sim         the delivery in a simulated world     SEEDS=100000 SEED=1
#? make e2e         end-to-end tests with private servers, on io_uring and epoll
#? make asan        unit and dialogue tests under the address and undefined sanitizers
#? make tsan        the same under the thread sanitizer
#? make rtt         letters for each round trip on one connection, beside Postfix
#? make fairness    a million jobs of one sender, and what others feel of it
#? make orders      a million jobs cancelled, and what other mail feels of it
#? make queue-cost  what a million jobs cost Redis, in time and memory
#? make fuzz        fuzz targets, FUZZ_SECONDS=60 each
#? make test-go     the sample for Go in queue/README.md; installs Go, which is 465 MB
#? make killer      kills engines and Redis at random; KILLS=200 SEED=7 FSYNC=always CLUSTER=
#? make tidy        the rules of the house that a machine can judge
#?
#? Variables: BUILD=build  CC=gcc  OPT='-O2 -g'  SAN=address,undefined  V=1  JOBS=2
#?            BORINGSSL=DIR (another BoringSSL, with DIR/include and DIR/lib)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
