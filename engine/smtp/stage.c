/*
 * stage.c - how far a delivery had come, as events name it.
 */
#include "engine/smtp/stage.h"

#include "engine/base/panic.h"

const char *smtp_stage_name(enum smtp_stage stage)
{
    static const char *const names[SMTP_STAGE_COUNT] = {
        [SMTP_STAGE_DNS] = "dns",       [SMTP_STAGE_CONNECT] = "connect",
        [SMTP_STAGE_BANNER] = "banner", [SMTP_STAGE_EHLO] = "ehlo",
        [SMTP_STAGE_TLS] = "tls",       [SMTP_STAGE_AUTH] = "auth",
        [SMTP_STAGE_MAIL] = "mail",     [SMTP_STAGE_RCPT] = "rcpt",
        [SMTP_STAGE_DATA] = "data",     [SMTP_STAGE_BODY] = "body",
        [SMTP_STAGE_DOT] = "dot",
    };

    ASSERT(stage < SMTP_STAGE_COUNT);
    return names[stage];
}
