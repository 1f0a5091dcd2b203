/*
 * net_private.h - what net.c and net_socket.c know of each other.
 */
#ifndef VOLLEY_TESTS_SIM_NET_PRIVATE_H
#define VOLLEY_TESTS_SIM_NET_PRIVATE_H

#include "tests/sim/net.h"

struct link *net_new(void);
struct link *net_of(const struct io_stream *s);
size_t net_index(int fd); /* of the link that a descriptor stands for */

/* When a piece that leaves in in_us arrives: never before an earlier one of its pipe. */
int64_t net_arrives_in(int64_t *free_us, const struct link *l, int64_t in_us);

/* The engine says nothing more, behind all that it wrote. */
void net_client_fin(struct link *l);

/* Of struct backend. */
void net_stream_write(struct io_stream *s);
void net_stream_read_start(struct io_stream *s);
void net_stream_read_more(struct io_stream *s);
void net_stream_read_stop(struct io_stream *s);

#endif
