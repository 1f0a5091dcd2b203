/*
 * kinds.h - the readers and writers of kinds_text.c, for the table in kinds.c.
 *
 * See struct conf_kind_info for what they take and answer.
 */
#ifndef VOLLEY_CONF_KINDS_H
#define VOLLEY_CONF_KINDS_H

#include "conf/schema.h"

int conf_read_text(struct conf_store *store, const struct conf_key *key, struct slice text,
                   void *field, const char **hint);
int conf_read_name(struct conf_store *store, const struct conf_key *key, struct slice text,
                   void *field, const char **hint);
int conf_read_host(struct conf_store *store, const struct conf_key *key, struct slice text,
                   void *field, const char **hint);
int conf_read_pattern(struct conf_store *store, const struct conf_key *key, struct slice text,
                      void *field, const char **hint);
int conf_read_path(struct conf_store *store, const struct conf_key *key, struct slice text,
                   void *field, const char **hint);
int conf_read_redis(struct conf_store *store, const struct conf_key *key, struct slice text,
                    void *field, const char **hint);
int conf_read_address(struct conf_store *store, const struct conf_key *key, struct slice text,
                      void *field, const char **hint);
int conf_read_endpoint(struct conf_store *store, const struct conf_key *key, struct slice text,
                       void *field, const char **hint);
void conf_put_text(struct buf *out, const struct conf_key *key, const void *field);
void conf_put_address(struct buf *out, const struct conf_key *key, const void *field);
void conf_put_endpoint(struct buf *out, const struct conf_key *key, const void *field);

#endif
