/*
 * proxy.h - between client and Redis, to lose answers and break connections at will.
 *
 * Moved along by proxy_pump() in the loop of the test; no thread.
 */
#ifndef VOLLEY_TEST_QUEUE_PROXY_H
#define VOLLEY_TEST_QUEUE_PROXY_H

#include "tests/unit/queue/server.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { PROXY_PAIRS = 16 };

struct proxy {
    char path[96];
    struct redis_url url;
    const char *target;
    int listener;
    bool swallow; /* answers are thrown away */
    bool refuse;  /* new connections end at once */
    struct {
        int client;
        int server;
    } pair[PROXY_PAIRS];
};

static inline int unix_socket(const char *path, bool listening)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    if (listening) {
        assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
        assert_int_equal(listen(fd, PROXY_PAIRS), 0);
    } else if (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static inline void proxy_init(struct proxy *p, const struct server *server)
{
    struct buf why = BUF_EMPTY;

    memset(p, 0, sizeof(*p));
    snprintf(p->path, sizeof(p->path), "%s/proxy", server->dir);
    assert_int_equal(redis_url_parse(&p->url, slice_cstr(p->path), &why), 0);
    p->target = server->path;
    unlink(p->path);
    p->listener = unix_socket(p->path, true);
    for (int i = 0; i < PROXY_PAIRS; i++) {
        p->pair[i].client = -1;
        p->pair[i].server = -1;
    }
}

static inline void pair_close(struct proxy *p, int i)
{
    if (p->pair[i].client >= 0) {
        close(p->pair[i].client);
        close(p->pair[i].server);
        p->pair[i].client = -1;
    }
}

/* Breaks every connection. */
static inline void proxy_cut(struct proxy *p)
{
    for (int i = 0; i < PROXY_PAIRS; i++) {
        pair_close(p, i);
    }
}

static inline void proxy_accept(struct proxy *p)
{
    int client, i = 0;

    while ((client = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        int server = p->refuse ? -1 : unix_socket(p->target, false);
        while (i < PROXY_PAIRS && p->pair[i].client >= 0) {
            i++;
        }
        if (server < 0) {
            close(client);
            continue;
        }
        assert_true(i < PROXY_PAIRS);
        p->pair[i].client = client;
        p->pair[i].server = server;
    }
}

/* Moves what has come.  False when the side has ended. */
static inline bool proxy_move(int from, int to, bool swallow)
{
    char bytes[65536];
    ssize_t n;

    while ((n = recv(from, bytes, sizeof(bytes), 0)) > 0) {
        for (ssize_t at = 0; !swallow && at < n;) {
            ssize_t sent = send(to, bytes + at, (size_t)(n - at), MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN) {
                return false;
            }
            at += sent > 0 ? sent : 0;
        }
    }
    return n < 0 && errno == EAGAIN;
}

static inline void proxy_pump(struct proxy *p)
{
    proxy_accept(p);
    for (int i = 0; i < PROXY_PAIRS; i++) {
        if (p->pair[i].client >= 0 &&
            (!proxy_move(p->pair[i].client, p->pair[i].server, false) ||
             !proxy_move(p->pair[i].server, p->pair[i].client, p->swallow))) {
            pair_close(p, i);
        }
    }
}

static inline void proxy_fini(struct proxy *p)
{
    proxy_cut(p);
    close(p->listener);
    unlink(p->path);
    redis_url_fini(&p->url);
}

#endif
