/*
 * demo_data.h - what the demonstration sends, and to whom.
 */
#ifndef VOLLEY_CLI_DEMO_DATA_H
#define VOLLEY_CLI_DEMO_DATA_H

#include "engine/base/slice.h"

/* The letter, conf/demo/letter.eml as it stood when the program was built. */
struct slice demo_letter(void);

/* Writes a CSV file "email,name,city" of `recipients` rows in `domains` domains, with names
 * and towns beyond ASCII and some empty towns.  0 or ERR_*. */
int demo_write_list(const char *path, uint64_t recipients, uint64_t domains);

#endif
