/*
 * stage.h - how far a delivery had come, as events name it.
 */
#ifndef VOLLEY_SMTP_STAGE_H
#define VOLLEY_SMTP_STAGE_H

enum smtp_stage {
    SMTP_STAGE_DNS,
    SMTP_STAGE_CONNECT,
    SMTP_STAGE_BANNER,
    SMTP_STAGE_EHLO,
    SMTP_STAGE_TLS,
    SMTP_STAGE_AUTH,
    SMTP_STAGE_MAIL,
    SMTP_STAGE_RCPT,
    SMTP_STAGE_DATA,
    SMTP_STAGE_BODY, /* content on its way, its end not yet written */
    SMTP_STAGE_DOT,  /* the final dot, or BDAT LAST with all its octets, is written */
    SMTP_STAGE_COUNT
};

/* "dns", "connect", "banner", ... "dot". */
const char *smtp_stage_name(enum smtp_stage stage);

#endif
