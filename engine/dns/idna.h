/*
 * idna.h - domains as people write them, to domains as DNS knows them.
 */
#ifndef VOLLEY_DNS_IDNA_H
#define VOLLEY_DNS_IDNA_H

#include "engine/base/buf.h"

/* Appends the lower-case A-label form (IDNA 2008, UTS 46 non-transitional) of a UTF-8
 * domain, without final dot.  0, or ERR_INVALID when it is no domain name. */
int idna_to_ascii(struct slice domain, struct buf *out);

/* Appends the lower-case U-label form of an ASCII domain that has A-labels.  0, or ERR_INVALID
 * when there is none. */
int idna_to_unicode(struct slice domain, struct buf *out);

#endif
