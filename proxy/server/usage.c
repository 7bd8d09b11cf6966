/* SPDX-License-Identifier: Apache-2.0 */
/* The usage of all commands (usage.h). A command stands at the third column, alone or in a row with
 * others ("pause | resume UPSTREAM"); what it does follows after two spaces or in the next line.
 */
#include "server/usage.h"

#include "config/schema.h"
#include "server/dev_demo.h"
#include "server/gateway.h"

#define WORDS_MAX 64u
#define WORD_MAX 40u

static const char text[] =
    "usage: lintel COMMAND\n"
    "\n"
    "  run [-c FILE] [--user NAME] [--core-dumps]\n"
    "                                  serve; the file is $LINTEL_CONFIG or\n"
    "                                  " LT_CONFIG_FILE " unless named\n"
    "  run --dev [-c FILE | FILTER.lua [--set KEY=VALUE]... [--listen ADDRESS]]\n"
    "                                  ... for who writes filters: takes up what is saved,\n"
    "                                  shows errors; with a filter alone, in front of an\n"
    "                                  echo on " LT_DEV_DEMO_ADDRESS "\n"
    "  check [-c FILE] [--user NAME] [--json]\n"
    "                                  say everything that is wrong with a configuration\n"
    "  show config [-c FILE]           print it with all defaults and where they come from\n"
    "  show schema | reference         print all options\n"
    "  show causes | presets           print why a request can fail, with hints; what\n"
    "                                  suits which application server\n"
    "  show api [--lua]                print what filters may use; for their editor\n"
    "  help COMMAND | OPTION | CAUSE   explain a command, an option or a cause\n"
    "  help preset [NAME]              print what a preset sets, and why\n"
    "  status [--json]                 ask the running gateway how it is\n"
    "  show upstreams [--json]         ... and its upstreams and servers\n"
    "  drain | maintenance | remove UPSTREAM/SERVER [--wait[=SECONDS]]\n"
    "                                  send a server no new requests; nor checks of its\n"
    "                                  health; take it out of its upstream\n"
    "  ready UPSTREAM/SERVER           take it in again\n"
    "  add UPSTREAM/SERVER [--weight N] [--max N] [--backup]\n"
    "  weight UPSTREAM/SERVER N        change the servers of an upstream\n"
    "  pause | resume UPSTREAM         hold its requests; let them go on\n"
    "  limits show [KEY] | top [N]     ... how its limits are, or a key; who uses them up\n"
    "  limits reset KEY [--limit NAME] forget what a key has used\n"
    "  filters reload [FILE]           take up filter files that have changed\n"
    "        (from status on: [-c FILE | --admin ADDRESS] says where the gateway is)\n"
    "  test [OPTION...] FILE|FOLDER... run the tests of filters; `lintel help test`\n"
    "  filter doc NAME [--markdown]    print what a filter does and its settings\n"
    "  filter schema NAME              ... its settings as a JSON Schema\n"
    "  filter new NAME [FOLDER]        write a new filter and its test\n"
    "  version\n"
    "\n"
    "Signals to the process of `run`: HUP reads the configuration again, USR1 opens log\n"
    "files again, TERM and INT stop after what is in progress is done.\n";

void lt_usage_print(FILE *out)
{
    fputs(text, out);
}

/* ---- words ---- */

struct words {
    char v[WORDS_MAX][WORD_MAX];
    const char *names[WORDS_MAX]; /* the same */
    size_t n;
};

/* Adds the words of a line of usage, which ends before two spaces. */
static void add_words(struct words *words, const char *line)
{
    static const char between[] = " |[]=\n";
    size_t end = strcspn(line, "\n");
    const char *wide = strstr(line, "  ");
    if (wide != NULL && (size_t)(wide - line) < end) {
        end = (size_t)(wide - line);
    }
    for (const char *p = line; p < line + end;) {
        size_t n = strcspn(p, between);
        if (n > 0 && n < WORD_MAX && words->n < WORDS_MAX) {
            memcpy(words->v[words->n], p, n);
            words->v[words->n][n] = '\0';
            words->names[words->n] = words->v[words->n];
            words->n++;
        }
        p += n + 1;
    }
}

/* What follows the commands that a line of usage begins with; they are added to row unless that is
 * NULL. */
static const char *after_row(const char *line, struct words *row)
{
    for (;; line += 3) {
        char word[WORD_MAX];
        size_t n = strcspn(line, " \n");
        snprintf(word, sizeof(word), "%.*s", (int)n, line);
        if (row != NULL) {
            add_words(row, word);
        }
        line += n;
        if (strncmp(line, " | ", 3) != 0) {
            return line + (*line == ' ');
        }
    }
}

/* Whether a line of usage is of the command: it begins with it, or with a row that has it. */
static bool is_of(const char *line, const char *name)
{
    size_t len = strlen(name);
    for (;;) {
        if (strncmp(line, name, len) == 0 && (line[len] == ' ' || line[len] == '\n')) {
            return true;
        }
        line += strcspn(line, " \n");
        if (strncmp(line, " | ", 3) != 0) {
            return false;
        }
        line += 3;
    }
}

/* The next entry of the command after p: where it begins; *end is where the next one does. */
static const char *next_entry(const char *p, const char *name, const char **end)
{
    const char *found = NULL;
    for (; p != NULL && *p != '\0'; p = strchr(p, '\n'), p += p != NULL) {
        bool begins = strncmp(p, "  ", 2) == 0 && p[2] != ' ';
        if (found != NULL && (begins || strncmp(p, "        (", 9) == 0 || p[0] == '\n')) {
            *end = p;
            return found;
        }
        if (begins && is_of(p + 2, name)) {
            found = p;
        }
    }
    return NULL;
}

bool lt_usage_command(const char *name, const char *before, FILE *out)
{
    bool any = false;
    const char *end;
    for (const char *p = next_entry(text, name, &end); p != NULL; p = next_entry(end, name, &end)) {
        fprintf(out, "%s%.*s", any ? "" : before, (int)(end - p), p);
        any = true;
    }
    return any;
}

/* ---- strangers ---- */

static bool has(const struct words *words, const char *word)
{
    for (size_t i = 0; i < words->n; i++) {
        if (strcmp(words->v[i], word) == 0) {
            return true;
        }
    }
    return false;
}

static void say(const char *command, const char *word, const struct words *known)
{
    const char *close = lt_schema_closest(lt_str_c(word), known->names, known->n);
    fprintf(stderr, "lintel: %s%sthere is no \"%.60s\"%s%s%s\n", command,
            command[0] != '\0' ? ": " : "", word, close != NULL ? "; did you mean \"" : "",
            close != NULL ? close : "", close != NULL ? "\"?" : "");
}

/* Whether a word is written as it is, and does not stand for something. */
static bool is_literal(const char *word)
{
    return word[strspn(word, "abcdefghijklmnopqrstuvwxyz")] == '\0';
}

void lt_usage_stranger(int argc, char **argv)
{
    struct words known = {.n = 0}, first = {.n = 0};
    const char *end;
    for (const char *p = next_entry(text, argv[0], &end); p != NULL;
         p = next_entry(end, argv[0], &end)) {
        add_words(&known, after_row(p + 2, NULL));
    }
    for (size_t i = 0; i < known.n; i++) {
        if (is_literal(known.v[i])) {
            add_words(&first, known.v[i]);
        }
    }
    add_words(&known, "-c --config --admin --json --help -h");
    for (int i = 1; i < argc; i++) {
        char word[WORD_MAX];
        snprintf(word, sizeof(word), "%.*s", (int)strcspn(argv[i], "="), argv[i]);
        bool option = word[0] == '-';
        if (option ? !has(&known, word) : i == 1 && first.n > 0 && !has(&first, word)) {
            say(argv[0], argv[i], option ? &known : &first);
            return;
        }
    }
}

void lt_usage_unknown(const char *name)
{
    struct words commands = {.n = 0};
    for (const char *p = text; p != NULL && *p != '\0'; p = strchr(p, '\n'), p += p != NULL) {
        if (strncmp(p, "  ", 2) == 0 && p[2] != ' ') {
            (void)after_row(p + 2, &commands);
        }
    }
    say("", name, &commands);
    fputs("`lintel help` lists the commands\n", stderr);
}
