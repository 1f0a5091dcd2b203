/*
 * test_openssl.c - against another implementation: OpenSSL's s_server.
 *
 * It also does what BoringSSL's server cannot: ask to renegotiate.
 */
#include "tests/unit/tls/pair.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000 };

struct peer {
    pid_t pid;
    int in, out; /* its standard input, and output */
    uint16_t port;
    char dir[32];
};

struct link {
    int fd;
    struct tls_stream *tls;
    struct buf plain, out;
};

static struct tls_context *ctx;
static struct tls_sessions *sessions;

static void file_write(const struct peer *p, const char *name, const struct buf *b)
{
    char path[64];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", p->dir, name);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(b->ptr, 1, b->len, f), b->len);
    fclose(f);
}

/* Reads "ACCEPT 127.0.0.1:43211" off its output. */
static void port_read(struct peer *p)
{
    char text[512];
    size_t len = 0;

    for (;;) {
        char *accept_at;
        struct pollfd fd = {p->out, POLLIN, 0};

        assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
        assert_true(read(p->out, text + len, 1) == 1 && ++len < sizeof(text) - 1);
        text[len] = '\0';
        accept_at = strstr(text, "ACCEPT ");
        if (accept_at != NULL && text[len - 1] == '\n') {
            p->port = (uint16_t)strtoul(strrchr(accept_at, ':') + 1, NULL, 10);
            return;
        }
    }
}

static void peer_start(struct peer *p, const char *version, const char *mode)
{
    struct tls_certificate_options options = {.host = SLICE("mx.example")};
    struct buf cert = BUF_EMPTY, key = BUF_EMPTY;
    int to[2], from[2];
    pid_t parent = getpid();

    memcpy(p->dir, "/tmp/volley-tls-XXXXXX", sizeof("/tmp/volley-tls-XXXXXX"));
    assert_non_null(mkdtemp(p->dir));
    assert_int_equal(tls_certificate_make(&options, &cert, &key), 0);
    file_write(p, "cert.pem", &cert);
    file_write(p, "key.pem", &key);
    buf_fini(&cert);
    buf_fini(&key);
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(to[0], 0);
        dup2(from[1], 1);
        dup2(open("/dev/null", O_WRONLY), 2);
        close(to[1]);
        close(from[0]);
        if (chdir(p->dir) == 0 && getppid() == parent) {
            execlp("openssl", "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem",
                   "-key", "key.pem", version, mode, NULL);
        }
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    p->in = to[1];
    p->out = from[0];
    port_read(p);
}

static void peer_stop(struct peer *p)
{
    char path[64];

    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    close(p->in);
    close(p->out);
    snprintf(path, sizeof(path), "%s/cert.pem", p->dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/key.pem", p->dir);
    unlink(path);
    rmdir(p->dir);
}

static void link_flush(struct link *l)
{
    size_t at = 0;

    while (at < l->out.len) {
        ssize_t sent = send(l->fd, l->out.ptr + at, l->out.len - at, MSG_NOSIGNAL);

        if (sent <= 0) {
            break; /* the read that follows tells */
        }
        at += (size_t)sent;
    }
    buf_reset(&l->out);
}

/* One read from the socket; what tls_stream_feed() said. */
static int link_read(struct link *l)
{
    struct pollfd fd = {l->fd, POLLIN, 0};
    char bytes[4096];
    ssize_t len;
    int err;

    assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
    len = recv(l->fd, bytes, sizeof(bytes), 0);
    if (len <= 0) {
        return tls_stream_end(l->tls) < 0 ? ERR_CLOSED : 0;
    }
    err = tls_stream_feed(l->tls, slice_of(bytes, (size_t)len), &l->plain, &l->out);
    link_flush(l);
    return err;
}

static void link_open(struct link *l, const struct peer *p)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(p->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct tls_stream_options options = {.host = SLICE("mx.example"), .session_key = SLICE("k")};

    memset(l, 0, sizeof(*l));
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(l->fd, (struct sockaddr *)&to, sizeof(to)), 0);
    l->tls = tls_stream_new(ctx, &options);
    assert_int_equal(tls_stream_start(l->tls, &l->out), 0);
    link_flush(l);
    while (tls_stream_state(l->tls) == TLS_HANDSHAKE) {
        assert_int_equal(link_read(l), 0);
    }
}

static void link_close(struct link *l)
{
    tls_stream_close(l->tls, &l->out);
    link_flush(l);
    close(l->fd);
    tls_stream_free(l->tls);
    buf_fini(&l->plain);
    buf_fini(&l->out);
}

static bool have_openssl(void)
{
    if (access("/usr/bin/openssl", X_OK) == 0) {
        return true;
    }
    print_message("not run: openssl is not installed (package openssl)\n");
    return false;
}

/* It sends each line back reversed. */
static void test_lines(void **state)
{
    static const char *const rows[][2] = {{"-tls1_2", "TLSv1.2"}, {"-tls1_3", "TLSv1.3"}};

    (void)state;
    for (size_t i = 0; have_openssl() && i < 2; i++) {
        struct peer p;

        peer_start(&p, rows[i][0], "-rev");
        for (int round = 0; round < 2; round++) {
            struct iovec iov = {"abcdef\n", 7};
            struct tls_info info;
            struct link l;

            link_open(&l, &p);
            assert_int_equal(tls_stream_write(l.tls, &iov, 1, &l.out), 0);
            link_flush(&l);
            while (l.plain.len < 7) {
                assert_int_equal(link_read(&l), 0);
            }
            assert_text(&l.plain, "fedcba\n");
            tls_stream_info(l.tls, &info);
            assert_string_equal(info.version, rows[i][1]);
            assert_int_equal(info.resumed, round == 1);
            link_close(&l);
        }
        peer_stop(&p);
        tls_sessions_free(sessions);
        tls_context_free(ctx);
        sessions = tls_sessions_new(0);
        ctx = tls_context_new_client(&(struct tls_client_options){.sessions = sessions});
    }
}

static void test_renegotiation_is_refused(void **state)
{
    struct peer p;
    struct link l;
    int err = 0;

    (void)state;
    if (!have_openssl()) {
        return;
    }
    peer_start(&p, "-tls1_2", "-no_ticket");
    link_open(&l, &p);
    assert_int_equal(write(p.in, "R\n", 2), 2);
    while (err == 0) {
        err = link_read(&l);
    }
    assert_int_equal(err, ERR_TLS);
    assert_string_equal(tls_stream_error(l.tls), "the peer asked to renegotiate, which is refused");
    link_close(&l);
    peer_stop(&p);
}

static int setup(void **state)
{
    (void)state;
    sessions = tls_sessions_new(0);
    ctx = tls_context_new_client(&(struct tls_client_options){.sessions = sessions});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tls_context_free(ctx);
    tls_sessions_free(sessions);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_renegotiation_is_refused),
    };

    return cmocka_run_group_tests_name("tls/openssl", tests, setup, teardown);
}
