/*
 * sink_args.c - the command line of volley-sink: the tables.
 */
#include "bench/sink_args.h"
#include "bench/magic.h"

#define AT(field) .target = offsetof(struct sink_args, field)

static const struct args_option options[] = {
    {.heading = "Listening"},
    {.name = "listen",
     .letter = 'l',
     .kind = ARGS_LIST,
     .value = "ADDRESS",
     AT(listen),
     .help = "Where to listen: 127.0.0.1:2525 (the default), [::1]:2525, *:2525, unix:PATH. Port 0 "
             "takes a free one. May be given several times."},
    {.name = "threads",
     .kind = ARGS_COUNT,
     .value = "N",
     AT(threads),
     .min = 1,
     .max = SINK_THREADS_MAX,
     .help = "Threads; each has its own listening socket and connections (1)."},
    {.name = "io",
     .kind = ARGS_CHOICE,
     .value = "auto|uring|epoll",
     AT(io),
     .help = "How to do I/O (auto: io_uring where the kernel allows it)."},
    {.name = "max-connections",
     .kind = ARGS_COUNT,
     .value = "N",
     AT(max_connections),
     .max = 10000000,
     .help = "Connections at once; further ones get 421 (no limit)."},
    {.name = "receive-buffer",
     .kind = ARGS_BYTES,
     .value = "SIZE",
     AT(receive_buffer),
     .max = 1 << 30,
     .help = "SO_RCVBUF of the connections: a small window puts pressure on senders."},
    {.name = "idle",
     .kind = ARGS_DURATION,
     .value = "TIME",
     AT(idle_us),
     .min = 1000,
     .max = INT64_C(86400000000),
     .help = "A client that says nothing for so long gets 421 (5m)."},

    {.heading = "What is offered"},
    {.name = "hostname",
     .kind = ARGS_TEXT,
     .value = "NAME",
     AT(hostname),
     .help = "The name in banner, EHLO answer and certificate (sink.example)."},
    {.name = "no-pipelining", AT(no_pipelining), .help = "Does not offer PIPELINING."},
    {.name = "no-chunking", AT(no_chunking), .help = "Does not offer CHUNKING (BDAT)."},
    {.name = "no-starttls", AT(no_starttls), .help = "Does not offer STARTTLS."},
    {.name = "no-8bitmime", AT(no_8bitmime), .help = "Does not offer 8BITMIME."},
    {.name = "no-smtputf8", AT(no_smtputf8), .help = "Does not offer SMTPUTF8."},
    {.name = "no-size", AT(no_size), .help = "Does not offer SIZE."},
    {.name = "no-dsn", AT(no_dsn), .help = "Does not offer DSN."},
    {.name = "no-enhanced", AT(no_enhanced), .help = "No enhanced status codes."},
    {.name = "keyword",
     .kind = ARGS_LIST,
     .value = "TEXT",
     AT(keyword),
     .help = "A further line in the EHLO answer, such as 'LIMITS RCPTMAX=10'."},
    {.name = "refuse-ahead",
     AT(refuse_ahead),
     .help = "Refuses (503) an envelope that comes right behind a message in one read, as Haraka "
             "does."},
    {.name = "size-limit",
     .kind = ARGS_BYTES,
     .value = "SIZE",
     AT(size_limit),
     .min = 1,
     .max = UINT64_C(1) << 40,
     .help = "Larger messages are refused (100MB)."},
    {.name = "max-recipients",
     .kind = ARGS_COUNT,
     .value = "N",
     AT(recipients_limit),
     .min = 1,
     .max = 100000,
     .help = "Of a transaction; then 452 (1000)."},
    {.name = "messages-per-connection",
     .kind = ARGS_TEXT,
     .value = "N[:close]",
     AT(messages_per_connection),
     .help = "After N messages answers 421 to the next MAIL, or with ':close' closes at once "
             "without a word."},

    {.heading = "TLS"},
    {.name = "tls",
     .kind = ARGS_CHOICE,
     .value = "self-signed|off",
     AT(tls),
     .help = "Where the certificate comes from; self-signed makes a fresh P-256 one (the "
             "default)."},
    {.name = "tls-cert",
     .kind = ARGS_TEXT,
     .value = "FILE",
     AT(tls_cert),
     .help = "Certificate chain (PEM) to use instead."},
    {.name = "tls-key", .kind = ARGS_TEXT, .value = "FILE", AT(tls_key), .help = "Its key (PEM)."},
    {.name = "tls-break",
     .kind = ARGS_CHOICE,
     .value = "no|refuse|handshake-reset|handshake-close|garbage|stall",
     AT(tls_break),
     .help = "refuse: STARTTLS is offered, then answered 454; the others answer 220 and then fail "
             "in the handshake."},

    {.heading = "Time and faults"},
    {.name = "latency",
     .kind = ARGS_DURATION,
     .value = "TIME",
     AT(latency_us),
     .max = INT64_C(600000000),
     .help = "Each answer leaves so much later, as over a long line; nobody else waits (0)."},
    {.name = "fault",
     .letter = 'f',
     .kind = ARGS_LIST,
     .value = "RULE",
     AT(fault),
     .help = "A scripted fault, see Rules below. May be given several times; the first rule that "
             "applies wins."},
    {.name = "faults",
     .kind = ARGS_LIST,
     .value = "FILE",
     AT(faults),
     .help = "A file of rules, one on a line; '#' starts a comment line."},
    {.name = "seed",
     .kind = ARGS_COUNT,
     .value = "N",
     AT(seed),
     .help = "Makes rules with p= repeatable (1)."},
    {.name = "no-magic", AT(no_magic), .help = "Recipients have no magic names."},

    {.heading = "What is kept and counted"},
    {.name = "store",
     .kind = ARGS_TEXT,
     .value = "DIR",
     AT(store),
     .help = "A maildir: each message becomes a file in DIR/new, with the envelope in "
             "Return-Path and X-Envelope-To fields."},
    {.name = "keep-last",
     .kind = ARGS_COUNT,
     .value = "N",
     AT(keep_last),
     .max = RECORD_KEEP_MAX,
     .help = "Keeps the last N messages and prints them at the end."},
    {.name = "events",
     .kind = ARGS_TEXT,
     .value = "FILE",
     AT(events),
     .help = "Appends a JSON line for each message; '-' is standard output."},
    {.name = "digest", AT(digest), .help = "With the CRC-32 of its content."},
    {.name = "count-ids",
     .kind = ARGS_TEXT,
     .value = "WHAT",
     AT(count_ids),
     .help = "Counts distinct and repeated values: 'rcpt' (recipients), a header field such as "
             "'Message-ID', or both as 'Message-ID+rcpt'."},
    {.name = "expect",
     .kind = ARGS_COUNT,
     .value = "N",
     AT(expect),
     .help = "Ends with exit code 0 after N messages; ended before, the exit code is 1."},
    {.name = "timeout",
     .kind = ARGS_DURATION,
     .value = "TIME",
     AT(timeout_us),
     .max = INT64_C(864000000000),
     .help = "Ends after this time, come what may."},
    {.name = "json", AT(json), .help = "Prints the statistics as one JSON object."},
    {.name = "man", AT(man), .hidden = true, .help = "Prints the manual page (roff)."},
    {0},
};

static const char *const description[] = {
    "A mail server for tests: it takes every message, looks at each byte of it, counts what it "
    "saw and throws it away. It prints 'listening ADDRESS' for each address when it is ready, "
    "and its statistics at the end (INT, TERM) or on USR1.",
    "It misbehaves when asked to: by rules (--fault), or by the names of recipients. What a "
    "client does wrong is answered as the RFCs say, and counted.",
    NULL,
};

static const struct args_section sections[] = {
    {"Rules are WHEN[,WHEN]... [CONDITION]... : ACTION[; ACTION]...  WHEN is one of",
     fault_help_when},
    {"Conditions of rules", fault_help_conditions},
    {"Actions of rules", fault_help_actions},
    {"Magic recipients (before '@', '-' or '+')", magic_help},
    {0},
};

static const struct args_pair exit_codes[] = {
    {"0", "stopped, or the messages that --expect names came"},
    {"1", "could not listen, or ended before --expect was met"},
    {"2", "bad usage"},
    {0},
};

static const struct args_pair examples[] = {
    {"volley-sink --fault 'rcpt to=*@full.example: reply 452 4.2.2 Mailbox full'",
     "One domain whose mailboxes are full:"},
    {"volley-sink --latency 50ms --fault 'dot p=2%: reply 421 4.7.0 Slow down; close'",
     "A far server that now and then has enough:"},
    {"volley-sink --count-ids rcpt --expect 20000 --json",
     "Proof that 20,000 recipients got one message each:"},
    {0},
};

const struct args_command sink_command = {
    .name = "volley-sink",
    .summary = "test destination for mail",
    .synopsis = "[OPTION]...",
    .description = description,
    .options = options,
    .sections = sections,
    .exit_codes = exit_codes,
    .examples = examples,
    .see_also = "volley-bench(1), volley-run(1)",
};

void sink_args_init(struct sink_args *args)
{
    *args = (struct sink_args){
        .threads = 1, .hostname = "sink.example", .idle_us = INT64_C(300000000), .seed = 1};
}

void sink_args_fini(struct sink_args *args)
{
    args_list_fini(&args->listen);
    args_list_fini(&args->keyword);
    args_list_fini(&args->fault);
    args_list_fini(&args->faults);
}
