/*
 * demo_data.c - what the demonstration sends, and to whom.
 */
#include "engine/cli/demo_data.h"

#include "engine/base/err.h"

#include <errno.h>
#include <stdio.h>

__asm__(".pushsection .rodata\n"
        "cli_demo_letter: .incbin \"conf/demo/letter.eml\"\n"
        "cli_demo_letter_end: .byte 0\n"
        ".popsection\n");
extern const char cli_demo_letter[], cli_demo_letter_end[];

static const char *const names[] = {
    "Zoë Müller",          "Łukasz Wójcik",   "Søren Ørsted", "Chloé Lefèvre",  "José Ibáñez",
    "Γιώργος Παππάς",      "Дарья Иванова",   "田中 さくら",  "김민준",         "Anna Smith",
    "Iñaki Etxeberria",    "Åsa Lindström",   "Çağla Şahin",  "Nguyễn Thị Mai", "O'Brien, Seán",
    "Ana \"Nina\" Horvat", "Þóra Jónsdóttir",
};

static const char *const towns[] = {
    "Köln", "Łódź",      "Århus",   "Besançon", "San Sebastián", "Θεσσαλονίκη",
    "",     "Reykjavík", "Đà Nẵng", "Málaga",   "Zürich",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct slice demo_letter(void)
{
    return slice_of(cli_demo_letter, (size_t)(cli_demo_letter_end - cli_demo_letter));
}

/* RFC 4180: in quotes, quotes doubled. */
static void put_quoted(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text != '\0'; text++) {
        if (*text == '"') {
            fputc('"', f);
        }
        fputc(*text, f);
    }
    fputc('"', f);
}

int demo_write_list(const char *path, uint64_t recipients, uint64_t domains)
{
    FILE *f = fopen(path, "w");

    if (f == NULL) {
        return err_from_errno(errno);
    }
    fputs("email,name,city\n", f);
    for (uint64_t i = 0; i < recipients; i++) {
        fprintf(f, "reader%llu@domain%03llu.example,", (unsigned long long)(i + 1),
                (unsigned long long)(i % domains));
        put_quoted(f, names[i % COUNT(names)]);
        fputc(',', f);
        put_quoted(f, towns[i % COUNT(towns)]);
        fputc('\n', f);
    }
    bool failed = ferror(f) != 0;
    return fclose(f) != 0 || failed ? ERR_IO : 0;
}
