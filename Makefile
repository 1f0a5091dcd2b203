# Volley.  `make demo` shows it at work, `make test` tests it, `make help` lists the rest.

VERSION   := 0.1.0
BUILD     ?= build
CC        ?= gcc
OPT       ?= -O2 -g
# Another BoringSSL than Debian's: a directory with include/openssl and lib/lib{ssl,crypto}.*
BORINGSSL ?=
# Sanitizers, as in `make SAN=address,undefined`; set by `make asan` and `make tsan`.
SAN       ?=

# ---- modules -----------------------------------------------------------------------------
# A module is a directory of C files.  DEPS says which others it may include: the link order
# of everything below, and what `make tidy` holds each #include against.

MODULES := engine/base throttle conf engine/io engine/smtp engine/message engine/tls \
           engine/dns queue engine/deliver engine/worker engine/cli bench

DEPS_base    :=
DEPS_throttle := base
DEPS_conf    := base
DEPS_io      := base
DEPS_smtp    := base
DEPS_message := base
DEPS_tls     := base
DEPS_dns     := io base
DEPS_queue   := io base
DEPS_deliver := queue dns tls message smtp io conf throttle base
DEPS_worker  := deliver $(DEPS_deliver)
DEPS_cli     := worker $(DEPS_worker)
DEPS_bench   := tls smtp io base

# Third-party libraries, each known to one module only.
LIBS_io      := -luring
LIBS_conf    := -lyaml
LIBS_dns     := -lcares -lidn2
LIBS_queue   := -lhiredis

MULTIARCH := $(shell $(CC) -print-multiarch)
ifeq ($(BORINGSSL),)
TLS_CPPFLAGS := -isystem /usr/include/android
TLS_LIBDIR   := /usr/lib/$(MULTIARCH)/android
else
TLS_CPPFLAGS := -isystem $(BORINGSSL)/include
TLS_LIBDIR   := $(abspath $(BORINGSSL)/lib)
endif
# Its static libraries are C++ inside.
LIBS_tls     := -L$(TLS_LIBDIR) -Wl,-rpath,$(TLS_LIBDIR) -lssl -lcrypto \
                $(if $(wildcard $(TLS_LIBDIR)/libssl.so*),,-lstdc++)
LIBS_message := $(LIBS_tls)

# ---- flags -------------------------------------------------------------------------------

WARN     := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wvla -Wswitch-enum -Werror
CPPFLAGS := -I. -D_GNU_SOURCE -DVOLLEY_VERSION='"$(VERSION)"' $(if $(SAN),,-D_FORTIFY_SOURCE=2)
CFLAGS   := -std=gnu11 $(OPT) $(WARN) -fno-strict-aliasing -fstack-protector-strong -pthread \
            $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
LDFLAGS  := -pthread -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN))

# ---- objects, one archive a module ---------------------------------------------------------

MAINS    := engine/main.c bench/sink_main.c bench/bench_main.c
srcs      = $(filter-out $(MAINS),$(wildcard $(1)/*.c))
objs      = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
archive   = $(BUILD)/lib/$(1).a
name_of   = $(notdir $(1))
# What a program needs that uses module names $(1), in link order, each once.
archives  = $(foreach m,$(1),$(call archive,$(m)))
libs      = $(foreach m,$(1),$(LIBS_$(m)))
with_deps = $(1) $(filter-out $(1),$(DEPS_$(1)))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(if $(findstring engine/tls/,$<)$(findstring engine/message/,$<),$(TLS_CPPFLAGS)) $(CFLAGS) -MMD -MP -c $< -o $@

define module_rule
$(call archive,$(notdir $(1))): $(call objs,$(call srcs,$(1)))
	@mkdir -p $$(@D)
	@rm -f $$@
	ar rcsD $$@ $$^
endef
$(foreach m,$(MODULES),$(eval $(call module_rule,$(m))))

# The Redis library is Lua text inside the program.
$(BUILD)/obj/queue/library.o: $(wildcard queue/*.lua)

# ---- programs ------------------------------------------------------------------------------

define program_rule # program, main file, module
$(BUILD)/$(1): $(call objs,$(2)) $(call archives,$(call with_deps,$(3)))
	$$(CC) $$(LDFLAGS) $$^ $(call libs,$(call with_deps,$(3))) -o $$@
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
	$$(CC) $$(LDFLAGS) $$^ $(call libs,$(call with_deps,$(notdir $(patsubst %/,%,$(dir $(1)))))) -lcmocka -o $$@
endef
$(foreach t,$(UNIT_SRCS),$(eval $(call unit_rule,$(t))))

.PHONY: unit
unit: $(UNIT_BINS)
	@for t in $(UNIT_BINS); do echo "$$t"; $$t || exit 1; done

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
