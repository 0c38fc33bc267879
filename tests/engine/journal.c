/* engine/journal: what was appended is there; torn tails are cut, damage is found, twins are
 * fenced. */
#include "engine/journal.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct records {
    char text[64][64];
    int count;
};

static enum status keep(void *user, struct span record, struct error *err)
{
    struct records *records = user;
    if (record.size >= sizeof records->text[0])
        return error_set(err, STATUS_LIMIT, "too much");
    if (records->count == 64) { /* fast disks write more between two kills: the last ones count */
        records->count--;
        memmove(records->text[0], records->text[1], sizeof records->text - sizeof *records->text);
    }
    memcpy(records->text[records->count], record.data, record.size);
    records->text[records->count++][record.size] = 0;
    return STATUS_OK;
}

static enum status write_all(void *user, struct journal *journal, struct error *err)
{
    struct records *records = user;
    for (int i = 0; i < records->count; i++) {
        enum status status = journal_add(journal, span_of(records->text[i]), err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* Opens and compacts, keeping everything. */
static struct journal *reopen(const char *folder, struct records *records)
{
    struct journal *journal;
    struct error err;
    *records = (struct records){.count = 0};
    cr_assert(journal_open(&journal, folder, keep, records, &err) == STATUS_OK, "%s", err.text);
    cr_assert(journal_compact(journal, write_all, records, &err) == STATUS_OK, "%s", err.text);
    return journal;
}

static void folder_make(char folder[64])
{
    strcpy(folder, "/tmp/foldmill_journal_XXXXXX");
    cr_assert(mkdtemp(folder));
}

static void folder_remove(const char *folder)
{
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert(system(command) == 0);
}

static void file_path(char path[400], const char *folder, unsigned epoch)
{
    snprintf(path, 400, "%s/journal.%010u", folder, epoch);
}

static void append(struct journal *journal, const char *text)
{
    struct error err;
    cr_assert(journal_append(journal, span_of(text), &err) == STATUS_OK, "%s", err.text);
}

Test(journal, what_was_appended_is_there)
{
    char folder[64];
    struct records records;
    folder_make(folder);
    struct journal *journal = reopen(folder, &records);
    cr_assert(records.count == 0 && journal_epoch(journal) == 1);
    append(journal, "one");
    append(journal, "two");
    journal_close(journal);
    journal = reopen(folder, &records);
    cr_assert(records.count == 2 && strcmp(records.text[1], "two") == 0);
    cr_assert(journal_epoch(journal) == 2);
    append(journal, "three");
    journal_close(journal);
    journal = reopen(folder, &records);
    cr_assert(records.count == 3 && strcmp(records.text[2], "three") == 0);
    journal_close(journal);
    int files = 0;
    DIR *listing = opendir(folder);
    for (struct dirent *entry = readdir(listing); entry; entry = readdir(listing))
        files += entry->d_name[0] != '.';
    closedir(listing);
    cr_assert(files == 2, "one mark and one file remain, not %d", files);
    folder_remove(folder);
}

/* Reads the whole file of epoch 1 with three records "one", "two", "three". */
static size_t three_records(char bytes[256])
{
    char folder[64], path[400];
    struct records records;
    folder_make(folder);
    struct journal *journal = reopen(folder, &records);
    append(journal, "one");
    append(journal, "two");
    append(journal, "three");
    journal_close(journal);
    file_path(path, folder, 1);
    FILE *file = fopen(path, "rb");
    cr_assert(file);
    size_t size = fread(bytes, 1, 256, file);
    fclose(file);
    folder_remove(folder);
    cr_assert(size == 16 + 3 * 16 + 11, "%zu", size);
    return size;
}

Test(journal, a_torn_tail_is_cut_at_every_byte)
{
    char bytes[256];
    size_t size = three_records(bytes), good;
    struct error err;
    for (size_t cut = 16; cut <= size; cut++) {
        struct records records = {.count = 0};
        enum status status = journal_scan((struct span){bytes, cut}, keep, &records, &good, &err);
        cr_assert(status == STATUS_OK, "cut at %zu: %s", cut, err.text);
        cr_assert(records.count == (cut >= 35) + (cut >= 54) + (cut >= size), "cut at %zu: %d", cut,
                  records.count);
    }
    /* The file had grown, but the last record's bytes never came. */
    memset(bytes + 54, 0, size - 54);
    struct records records = {.count = 0};
    cr_assert(journal_scan((struct span){bytes, size}, keep, &records, &good, &err) == STATUS_OK);
    cr_assert(records.count == 2 && good == 54);
}

Test(journal, damage_before_the_tail_is_an_error)
{
    char bytes[256];
    size_t size = three_records(bytes), good;
    struct error err;
    for (size_t at = 16; at < 54; at++)
        for (int bit = 0; bit < 8; bit++) {
            char kept = bytes[at];
            struct records records = {.count = 0};
            bytes[at] = (char)(kept ^ 1 << bit);
            cr_assert(journal_scan((struct span){bytes, size}, keep, &records, &good, &err) ==
                          STATUS_CORRUPT,
                      "byte %zu bit %d", at, bit);
            bytes[at] = kept;
        }
    for (size_t at = 0; at < 12; at++) {
        struct records records = {.count = 0};
        bytes[at] ^= 1;
        cr_assert(journal_scan((struct span){bytes, size}, keep, &records, &good, &err) ==
                  STATUS_INVALID);
        bytes[at] ^= 1;
    }
}

Test(journal, a_twin_is_fenced)
{
    char folder[64];
    struct records records;
    struct error err;
    folder_make(folder);
    struct journal *old = reopen(folder, &records);
    append(old, "kept");
    struct journal *new = reopen(folder, &records);
    cr_assert(records.count == 1);
    cr_assert(journal_append(old, SPAN("from the grave"), &err) == STATUS_BUSY);
    cr_assert(strstr(err.text, "taken over"), "%s", err.text);
    cr_assert(journal_append(old, SPAN("again"), &err) == STATUS_IO, "it takes nothing more");
    append(new, "from the living");
    /* A twin that wakes up inside its rewriting harms nothing either. */
    records = (struct records){.count = 0};
    cr_assert(journal_compact(old, write_all, &records, &err) == STATUS_BUSY);
    append(new, "and more");
    journal_close(new);
    journal_close(old);
    journal_close(reopen(folder, &records));
    cr_assert(records.count == 3 && strcmp(records.text[2], "and more") == 0, "%d", records.count);
    folder_remove(folder);
}

Test(journal, a_failed_write_is_reported_and_the_rest_survives)
{
    char folder[64];
    struct records records;
    struct error err;
    folder_make(folder);
    struct journal *journal = reopen(folder, &records);
    append(journal, "kept");
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 60; /* 16 + 16 + 4 are there: the next record is torn */
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    enum status status =
        journal_append(journal, SPAN("this record is too long for the disk"), &err);
    limit.rlim_cur = before;
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    cr_assert(status == STATUS_IO || status == STATUS_FULL);
    cr_assert(journal_append(journal, SPAN("later"), &err) == STATUS_IO, "it takes nothing more");
    journal_close(journal);
    journal_close(reopen(folder, &records));
    cr_assert(records.count == 1 && strcmp(records.text[0], "kept") == 0);
    folder_remove(folder);
}

/* The child says a number after its record is durable; it is killed at any moment. */
static void append_and_say(const char *folder, int pipe_end)
{
    struct records records;
    struct journal *journal = reopen(folder, &records);
    int number = records.count ? atoi(records.text[records.count - 1]) : 0;
    for (;;) {
        char text[32];
        struct error err;
        snprintf(text, sizeof text, "%d", ++number);
        if (journal_append(journal, span_of(text), &err) != STATUS_OK ||
            write(pipe_end, &number, sizeof number) != sizeof number)
            _exit(1);
        if (number % 20 == 0) { /* keeps the newest record only */
            struct records last = {.count = 1};
            strcpy(last.text[0], text);
            if (journal_compact(journal, write_all, &last, &err) != STATUS_OK)
                _exit(1);
        }
    }
}

Test(journal, kills_forget_nothing_that_was_answered)
{
    char folder[64];
    int answered = 0;
    folder_make(folder);
    /* A busy disk syncs few records in the time that a child has: then there are more rounds. */
    for (unsigned round = 0; round < 40 || (answered <= 40 && round < 1000); round++) {
        int ends[2], number;
        cr_assert(pipe(ends) == 0);
        pid_t child = fork();
        cr_assert(child >= 0);
        if (child == 0) {
            close(ends[0]);
            append_and_say(folder, ends[1]);
        }
        close(ends[1]);
        usleep(1000 + round * 1237 % 30000);
        kill(child, SIGKILL);
        while (read(ends[0], &number, sizeof number) == sizeof number)
            answered = number;
        close(ends[0]);
        cr_assert(waitpid(child, NULL, 0) == child);
        struct records records;
        journal_close(reopen(folder, &records));
        int last = records.count ? atoi(records.text[records.count - 1]) : 0;
        cr_assert(last == answered || last == answered + 1, "round %u: %d answered, %d found",
                  round, answered, last);
        answered = last;
    }
    cr_assert(answered > 40, "only %d records in all", answered);
    folder_remove(folder);
}

Test(journal, a_folder_that_is_not_there)
{
    struct journal *journal;
    struct records records = {.count = 0};
    struct error err;
    cr_assert(journal_open(&journal, "/nonexistent/run", keep, &records, &err) == STATUS_IO);
    cr_assert(strstr(err.text, "/nonexistent/run"), "%s", err.text);
}
