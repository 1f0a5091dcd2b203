"""refuse_uring.py - runs a command for which io_uring_setup() fails, as in most containers.

    refuse_uring.py ERRNO COMMAND...

A seccomp filter answers the system call with ERRNO; container engines do the same with EPERM.
"""

import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_RET_ERRNO = 0x00050000
SYS_IO_URING_SETUP = 425

LOAD_NUMBER = (0x20, 0, 0, 0)  # A = the number of the call
RETURN = 0x06


def main():
    error = int(sys.argv[1])
    program = [LOAD_NUMBER, (0x15, 0, 1, SYS_IO_URING_SETUP),
               (RETURN, 0, 0, SECCOMP_RET_ERRNO | error), (RETURN, 0, 0, SECCOMP_RET_ALLOW)]
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    steps = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        sys.exit("refuse_uring: no_new_privs")
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) != 0:
        sys.exit(f"refuse_uring: seccomp: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
