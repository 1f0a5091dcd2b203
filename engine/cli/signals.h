/*
 * signals.h - Ctrl-C in a command that has something to finish.
 */
#ifndef VOLLEY_CLI_SIGNALS_H
#define VOLLEY_CLI_SIGNALS_H

#include <stdbool.h>

/* SIGINT and SIGTERM are noted from now on; the second one ends the process at once.  SIGPIPE
 * is ignored. */
void signals_catch(void);
bool signals_came(void);

#endif
