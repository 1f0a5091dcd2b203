/*
 * main.c - the program `volley`.
 */
#include "engine/cli/commands.h"

#include <signal.h>

int main(int argc, char **argv)
{
    /* Broken pipes and connections are seen where they are written to. */
    signal(SIGPIPE, SIG_IGN);
    return command_main(argc, argv);
}
