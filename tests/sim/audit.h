/*
 * audit.h - figures that the engine keeps twice must agree.
 *
 * Looks into the delivery, as nothing else here does: connections by path, host and limit; jobs
 * by lane.  What is wrong there shows late from outside, as a site that is never called again.
 */
#ifndef VOLLEY_TESTS_SIM_AUDIT_H
#define VOLLEY_TESTS_SIM_AUDIT_H

struct deliver;

void audit(const struct deliver *d);

#endif
