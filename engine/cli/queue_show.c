/*
 * queue_show.c - `volley queue show`: everything about one job.
 */
#include "engine/base/json.h"
#include "engine/cli/find.h"
#include "engine/cli/jobview.h"
#include "engine/cli/queue.h"
#include "engine/cli/trail.h"

#include <string.h>

struct show_options {
    struct desk_options desk;
    const char *key, *tenant;
    uint64_t events, scan;
};

#define TARGET(member) .target = offsetof(struct show_options, member)

static const char *const description[] = {
    "Shows where a job is, all its fields, the attempts so far, and its latest events from the "
    "stream. ID is what the submission answered; with .N behind it the Nth recipient alone.",
    "A job that has ended is known by its events only, as long as the stream keeps them.", NULL};

static const struct args_option options[] = {
    {.name = "key",
     .kind = ARGS_TEXT,
     .value = "KEY",
     TARGET(key),
     .help = "Finds the job by its idempotency key instead of its id."},
    {.name = "tenant",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(tenant),
     .help = "The tenant of --key. Default: default."},
    {.name = "events",
     .kind = ARGS_COUNT,
     .value = "N",
     .max = 1000000,
     TARGET(events),
     .help = "How many entries of the stream, of up to 100 events each, are looked through for "
             "its events, the latest first. Default: 1000."},
    {.name = "scan",
     .kind = ARGS_COUNT,
     .value = "N",
     TARGET(scan),
     .help = "How many jobs are looked at one by one where nothing quicker found it. Default: "
             "200000."},
    DESK_JSON_OPTION,
    DESK_OPTIONS,
    {0}};

static const struct args_pair exit_codes[] = {
    {"0", "shown"},
    {"1", "there is no such job, or it was not found within --scan and --events"},
    {"2", "bad usage or configuration"},
    {"75", "Redis is away"},
    {0}};

static const struct args_pair examples[] = {
    {"volley queue show 01k3q8x4zr00000000d0v1m5tq", "A job:"},
    {"volley queue show --key welcome-4711", "The job that was submitted with this key:"},
    {0}};

const struct args_command queue_show_command = {
    .name = "volley queue show",
    .summary = "show one job: where it is, its fields, attempts and events",
    .synopsis = "ID | --key KEY [--tenant NAME] [OPTION]...",
    .description = description,
    .options = options,
    .operands_max = 1,
    .operand = "ID",
    .exit_codes = exit_codes,
    .examples = examples,
    .see_also = "volley-queue-list(1)",
};

/* What was found out. */
struct showing {
    struct desk *desk;
    char id[RECORD_ID_LEN_MAX + 1];
    char state[16]; /* of the idempotency key, when it was asked by one */
    int64_t created_ms, now_ms;
    struct find find;
    struct trail trail;
};

static struct job_place place_of(const struct found_job *job)
{
    return (struct job_place){
        .state = job->state, .source = slice_cstr(job->source), .due_ms = job->due_ms};
}

static void put_text(struct showing *s)
{
    struct buf *out = &s->desk->out;
    const struct find *f = &s->find;
    struct job_record r;
    struct table t;
    bool rows = f->count > 1;

    if (s->state[0] != '\0') {
        buf_printf(out, "job %s, last known as %s\n\n", s->id, s->state);
    }
    jobview_init(&t);
    for (size_t i = 0; i < f->count; i++) {
        struct slice record = slice_of(f->job[i].record, f->job[i].record_len);
        struct job_place place = place_of(&f->job[i]);
        bool readable = record_decode(&r, record) == 0;
        if (readable && f->count == 1) {
            jobview_put_text(out, &r, &place, s->now_ms);
        } else if (readable) {
            jobview_row(&t, &r, &place, s->now_ms);
        } else {
            jobview_broken_row(&t, record, &place);
            rows = true;
        }
    }
    if (rows) {
        table_put(out, &t, 0);
    }
    table_fini(&t);
    if (f->count == 0) {
        buf_printf(out, "job %s is not in the queue any more\n", s->id);
    }
    trail_put_text(out, &s->trail);
}

static void put_json(struct showing *s)
{
    struct buf *out = &s->desk->out;
    const struct find *f = &s->find;
    struct job_record r;

    json_object_open(out);
    json_put_cstr(out, "id", s->id);
    json_put_bool(out, "queued", f->count > 0);
    if (s->state[0] != '\0') {
        json_put_cstr(out, "key_state", s->state);
    }
    json_key(out, "jobs");
    json_array_open(out);
    for (size_t i = 0; i < f->count; i++) {
        struct slice record = slice_of(f->job[i].record, f->job[i].record_len);
        struct job_place place = place_of(&f->job[i]);
        if (record_decode(&r, record) == 0) {
            jobview_put_json(out, &r, &place, true);
        } else {
            jobview_put_broken_json(out, record, &place);
        }
    }
    json_array_close(out);
    trail_put_json(out, &s->trail);
    json_object_close(out);
    buf_putc(out, '\n');
}

/* A key's value is "<job> <digest> <state>". */
static int read_key(struct showing *s, const struct show_options *o)
{
    struct desk *d = s->desk;
    struct buf rest = BUF_EMPTY;
    const struct resp *reply;
    bool found = false;
    int code = -1;

    buf_printf(&rest, "key:%s:%s", o->tenant != NULL ? o->tenant : "default", o->key);
    for (unsigned p = 0; code < 0 && p < d->partitions && !found; p++) {
        desk_partition(d, p);
        desk_ask(d, "GET", buf_slice(&rest), NULL, 0);
        code = desk_take_good(d, &reply);
        struct slice value = code < 0 && reply->type == RESP_STRING ? reply->text : SLICE_NONE;
        struct slice id, digest, state = SLICE_NONE;
        int64_t time_ms;
        unsigned partition;
        if (slice_next(&value, ' ', &id) && desk_id_parse(id, &time_ms, &partition) == 0) {
            found = true;
            memcpy(s->id, id.ptr, id.len);
            slice_next(&value, ' ', &digest);
            slice_next(&value, ' ', &state);
            if (state.len < sizeof(s->state)) {
                memcpy(s->state, state.ptr != NULL ? state.ptr : "", state.len);
            }
        }
    }
    buf_fini(&rest);
    if (code < 0 && !found) {
        desk_say(d, "no job was submitted with the key \"%s\" in the last 24 hours", o->key);
        code = ARGS_EXIT_FAILED;
    }
    return code;
}

static int look(struct showing *s, const struct show_options *o)
{
    struct desk *d = s->desk;
    unsigned partition;
    int code = desk_now_ms(d, &s->now_ms);

    if (code < 0 && o->key != NULL) {
        code = read_key(s, o);
    }
    if (code >= 0) {
        return code;
    }
    int err = desk_id_parse(slice_of(s->id, RECORD_JOB_LEN), &s->created_ms, &partition);
    ASSERT(err == 0);
    if (partition >= d->partitions) {
        desk_say(d, "%s is a job of partition %u, and this queue has %u", s->id, partition,
                 d->partitions);
        return ARGS_EXIT_FAILED;
    }
    desk_partition(d, partition);
    find_init(&s->find, d, slice_cstr(s->id), o->scan);
    code = find_job(&s->find);
    if (code < 0) {
        code = trail_read(&s->trail, d, slice_cstr(s->id), s->created_ms, o->events);
    }
    if (code < 0 && s->find.count == 0 && s->trail.count == 0 && s->state[0] == '\0') {
        desk_say(d, "no job %s in the queue%s, and no event of it among the %llu entries looked at",
                 s->id, s->find.cut ? " as far as it was looked through (--scan goes further)" : "",
                 (unsigned long long)s->trail.looked);
        code = ARGS_EXIT_FAILED;
    }
    return code;
}

/* "id" or "id.n" as typed. */
static int read_id(struct showing *s, const char *text)
{
    struct slice id = slice_cstr(text);
    int64_t time_ms;
    unsigned partition;
    uint64_t n = 1;

    bool ok = id.len >= RECORD_JOB_LEN && id.len <= RECORD_ID_LEN_MAX &&
              desk_id_parse(slice_of(id.ptr, RECORD_JOB_LEN), &time_ms, &partition) == 0;
    if (ok && id.len > RECORD_JOB_LEN) {
        ok = id.ptr[RECORD_JOB_LEN] == '.' &&
             slice_u64(slice_from(id, RECORD_JOB_LEN + 1), &n) == 0 && n >= 1;
    }
    if (!ok) {
        return args_usage_error(&queue_show_command,
                                "\"%s\" is not a job's id: it has 26 characters of 0-9 and a-z, "
                                "perhaps with .N behind for a recipient",
                                text);
    }
    memcpy(s->id, id.ptr, id.len);
    return -1;
}

int cmd_queue_show(int argc, char **argv)
{
    struct show_options o = {.events = 1000, .scan = 200000};
    struct args_list operands = {NULL, 0};
    struct showing s = {.id = ""};
    struct desk d;
    int code = args_main(&queue_show_command, argc, argv, &o, &operands);

    if (code < 0 && (operands.count > 0) == (o.key != NULL)) {
        code = args_usage_error(&queue_show_command, "give the ID of a job, or --key");
    }
    if (code < 0 && o.key == NULL) {
        code = read_id(&s, operands.items[0]);
    }
    args_list_fini(&operands);
    if (code >= 0) {
        return code;
    }
    s.desk = &d;
    trail_init(&s.trail);
    code = desk_open(&d, &queue_show_command, &o.desk);
    code = code < 0 ? look(&s, &o) : code;
    if (code < 0 && d.json) {
        put_json(&s);
    } else if (code < 0) {
        put_text(&s);
    }
    find_fini(&s.find);
    trail_fini(&s.trail);
    return desk_close(&d, code);
}
