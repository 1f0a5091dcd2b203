/*
 * hosts.c - who lives in the simulated network, and how well it behaves.
 */
#include "tests/sim/hosts.h"

#include "engine/base/err.h"
#include "engine/base/panic.h"
#include "tests/sim/server.h"
#include "tests/sim/world.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static struct sim_host hosts[SIM_HOSTS_MAX];
static unsigned host_count;
static bool healed;
static bool local_errors;

static const char *const fault_names[FAULT_COUNT] = {
    [FAULT_NONE] = "none",
    [FAULT_REFUSED] = "refused",
    [FAULT_SILENT] = "silent",
    [FAULT_UNREACHABLE] = "unreachable",
    [FAULT_DOOR_554] = "door-554",
    [FAULT_DOOR_421] = "door-421",
    [FAULT_DOOR_NEVER] = "door-never",
    [FAULT_DOOR_LATE] = "door-late",
    [FAULT_DOOR_GARBAGE] = "door-garbage",
    [FAULT_DOOR_CLOSE] = "door-close",
    [FAULT_DOOR_RESET] = "door-reset",
    [FAULT_EHLO_500] = "ehlo-500",
    [FAULT_EHLO_421] = "ehlo-421",
    [FAULT_EHLO_CLOSE] = "ehlo-close",
    [FAULT_STARTTLS_454] = "starttls-454",
    [FAULT_STARTTLS_GARBAGE] = "starttls-garbage",
    [FAULT_STARTTLS_CLOSE] = "starttls-close",
    [FAULT_IN_CLOSE] = "in-close",
    [FAULT_IN_RESET] = "in-reset",
    [FAULT_IN_STALL] = "in-stall",
    [FAULT_OUT_CLOSE] = "out-close",
    [FAULT_OUT_RESET] = "out-reset",
    [FAULT_OUT_STALL] = "out-stall",
    [FAULT_COMMAND_421] = "command-421",
    [FAULT_COMMAND_421_STAY] = "command-421-stay",
    [FAULT_COMMAND_451] = "command-451",
    [FAULT_COMMAND_500] = "command-500",
    [FAULT_COMMAND_GARBAGE] = "command-garbage",
    [FAULT_COMMAND_LATE] = "command-late",
    [FAULT_COMMAND_EXTRA] = "command-extra",
    [FAULT_COMMAND_MISSING] = "command-missing",
    [FAULT_COMMAND_CLOSE] = "command-close",
    [FAULT_BODY_552] = "body-552",
    [FAULT_BODY_451] = "body-451",
    [FAULT_BODY_421] = "body-421",
    [FAULT_BODY_250] = "body-250",
    [FAULT_BODY_STALL] = "body-stall",
    [FAULT_END_LATE] = "end-late",
    [FAULT_END_NEVER] = "end-never",
    [FAULT_END_TAKEN_RESET] = "end-taken-reset",
    [FAULT_END_TAKEN_CLOSE] = "end-taken-close",
    [FAULT_END_TAKEN_GARBAGE] = "end-taken-garbage",
    [FAULT_END_TAKEN_421] = "end-taken-421",
    [FAULT_END_451] = "end-451",
    [FAULT_END_554] = "end-554",
    [FAULT_END_421] = "end-421",
    [FAULT_BDAT_500] = "bdat-500",
    [FAULT_IDLE_421] = "idle-421",
    [FAULT_IDLE_CLOSE] = "idle-close",
    [FAULT_IDLE_RESET] = "idle-reset",
};

const char *fault_name(enum fault fault)
{
    return fault_names[fault];
}

/* ---- characters ---- */

static void draw_manners(struct manners *m)
{
    static const int64_t delays_us[] = {20, 200, 2000, 25000, 150000};
    static const uint32_t pieces[] = {0, 0, 0, 1, 3, 40};
    static const uint32_t windows[] = {1 << 20, 1 << 20, 65536, 4096, 700};

    m->delay_us = delays_us[draw(5)];
    m->jitter_us = chance(50) ? 0 : m->delay_us / 2;
    m->piece = pieces[draw(6)];
    m->window = windows[draw(5)];
    m->held = chance(50);
}

static unsigned draw_ext(void)
{
    unsigned ext = 0;

    ext |= chance(80) ? EXT_PIPELINING : 0;
    ext |= chance(50) ? EXT_CHUNKING : 0;
    ext |= chance(80) ? EXT_8BITMIME : 0;
    ext |= chance(80) ? EXT_SIZE : 0;
    ext |= chance(80) ? EXT_ENHANCED : 0;
    ext |= chance(50) ? EXT_DSN : 0;
    ext |= chance(10) ? EXT_STARTTLS : 0;
    ext |= chance(15) ? EXT_LIMITS : 0;
    return ext;
}

static void draw_host(struct sim_host *h)
{
    static const unsigned faults_percent[] = {0, 10, 30, 60, 100};

    draw_manners(&h->manners);
    h->ext = draw_ext();
    h->rcpt_max = chance(25) ? 1 + (unsigned)draw(8) : 0;
    h->think_us = chance(50) ? 0 : draw_between(1, 50000);
    h->innocent = chance(30);
    h->faults_percent = faults_percent[draw(5)];
    if (h->innocent) {
        h->faults_percent = 0;
        h->rcpt_max = 0;
        h->think_us = draw_between(0, 1000);
        h->ext &= ~(unsigned)EXT_STARTTLS;
        h->manners.delay_us = draw_between(10, 5000);
        h->manners.jitter_us = 0;
        h->manners.window = 1 << 20;
    } else if (chance(25)) {
        h->down_from_us = world.now_us + draw_between(0, 120) * 1000000;
        h->down_until_us = h->down_from_us + draw_between(1, 600) * 1000000;
        h->down_silent = chance(50);
    }
}

void hosts_make(unsigned count, const char *only_ip, uint16_t only_port)
{
    ASSERT(count <= SIM_HOSTS_MAX);
    memset(hosts, 0, sizeof(hosts));
    host_count = count;
    healed = false;
    local_errors = chance(10);
    for (unsigned i = 0; i < count; i++) {
        struct sim_host *h = &hosts[i];
        h->index = i;
        snprintf(h->name, sizeof(h->name), "mx%u.hosts.test", i);
        h->port = only_ip != NULL ? only_port : 25;
        if (only_ip != NULL) {
            snprintf(h->ip, sizeof(h->ip), "%s", only_ip);
        } else {
            snprintf(h->ip, sizeof(h->ip), "20.0.0.%u", i + 1);
        }
        draw_host(h);
        trace("host %u: %s ext %x think %lld us delay %lld us piece %u window %u held %d faults "
              "%u%% rcpts %u",
              i, h->innocent ? "innocent" : "other", h->ext, (long long)h->think_us,
              (long long)h->manners.delay_us, h->manners.piece, h->manners.window, h->manners.held,
              h->faults_percent, h->rcpt_max);
    }
}

unsigned hosts_count(void)
{
    return host_count;
}

struct sim_host *hosts_at(unsigned i)
{
    ASSERT(i < host_count);
    return &hosts[i];
}

void hosts_heal(void)
{
    trace("everybody is well from now on");
    healed = true;
}

bool hosts_healed(void)
{
    return healed;
}

bool hosts_local_error(void)
{
    return local_errors && !healed && chance(3);
}

/* ---- a call ---- */

static struct sim_host *host_by_address(const struct sockaddr *to)
{
    char ip[64] = "";

    if (to->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)to;
        inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
    }
    for (unsigned i = 0; i < host_count; i++) {
        if (strcmp(hosts[i].ip, ip) == 0) {
            return &hosts[i];
        }
    }
    return NULL;
}

static enum fault draw_fault(const struct sim_host *h)
{
    bool down = world.now_us >= h->down_from_us && world.now_us < h->down_until_us;

    if (healed) {
        return FAULT_NONE;
    }
    if (down) {
        return h->down_silent ? FAULT_SILENT : FAULT_REFUSED;
    }
    return chance(h->faults_percent) ? (enum fault)(1 + draw(FAULT_COUNT - 1)) : FAULT_NONE;
}

enum hosts_call hosts_call(struct link *l, const struct sockaddr *to, socklen_t len, int64_t *in_us,
                           int *err)
{
    struct sim_host *h = host_by_address(to);
    enum fault fault;

    (void)len;
    *err = ERR_UNREACH;
    *in_us = 0;
    if (h == NULL) {
        trace("link %u: to nobody", l->id);
        return HOSTS_FAILS_AT_ONCE;
    }
    fault = draw_fault(h);
    l->host = h;
    l->manners = h->manners;
    l->server = server_new(l, h, fault);
    *in_us = 2 * h->manners.delay_us;
    trace("link %u: to host %u, fault %s", l->id, h->index, fault_name(fault));
    if (fault == FAULT_UNREACHABLE) {
        return HOSTS_FAILS_AT_ONCE;
    }
    *err = fault == FAULT_REFUSED ? ERR_REFUSED : 0;
    return fault == FAULT_SILENT ? HOSTS_SAYS_NOTHING : HOSTS_ANSWERS;
}
