#include "engine/io/backend.h"
#include <errno.h>
int uring_open(struct io *io, const struct io_options *options)
{
    (void)io;
    (void)options;
    return -ENOSYS;
}
