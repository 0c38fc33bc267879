/* engine/delivery: the journal of what steps took, torn, rewritten and checked. */
#include "engine/delivery.h"

#include "engine/base/arena.h"
#include "engine/base/file.h"
#include "tests/engine/process.h"

static struct error err;

static struct delivery *open_journal(void)
{
    struct delivery *journal;
    cr_assert(delivery_open(&journal, process_path("j"), true, &err) == STATUS_OK, "%s", err.text);
    return journal;
}

static void write_row(struct delivery *journal, uint64_t step, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t seqs[] = {a, b, c};
    cr_assert(delivery_write(journal, step, seqs, 3, &err) == STATUS_OK, "%s", err.text);
}

static bool row_is(const struct delivery *journal, uint64_t step, uint64_t a, uint64_t b,
                   uint64_t c)
{
    uint64_t seqs[DELIVERY_TAKEN_MAX];
    return delivery_read(journal, step, seqs) == 3 && seqs[0] == a && seqs[1] == b && seqs[2] == c;
}

static bool file_is(const char *text)
{
    struct span content = process_read("j");
    return content.size == strlen(text) && memcmp(content.data, text, content.size) == 0;
}

Test(delivery, rows_come_back_and_later_ones_give_way)
{
    process_begin();
    char path[PATH_MAX];
    struct delivery *journal = open_journal();
    cr_assert(strcmp(delivery_path("r", "train", 3, path), "r/train.order.3.tsv") == 0);
    cr_assert(delivery_steps(journal) == 0 && !row_is(journal, 0, 0, 0, 0));
    write_row(journal, 0, 0, 1, 2);
    write_row(journal, 1, 4, 6, 7);
    write_row(journal, 2, 3, 5, 9);
    cr_assert(file_is("0\t0-2\n1\t4,6-7\n2\t3,5,9\n"));
    write_row(journal, 1, 4, 6, 7);
    cr_assert(delivery_steps(journal) == 3, "the same row changes nothing");
    delivery_close(journal);
    journal = open_journal();
    cr_assert(row_is(journal, 0, 0, 1, 2) && row_is(journal, 1, 4, 6, 7) &&
              row_is(journal, 2, 3, 5, 9));
    write_row(journal, 1, 3, 4, 5);
    cr_assert(delivery_steps(journal) == 2 && file_is("0\t0-2\n1\t3-5\n"));
    delivery_close(journal);
    process_end();
}

Test(delivery, what_is_torn_or_no_row_ends_it)
{
    static const char *const texts[] = {
        "0\t0-2\n1\t3,5",   "0\t0-2\n1\t3,5,\n",   "0\t0-2\n2\t3\n",    "0\t0-2\n1\t5,3\n",
        "0\t0-2\n1\t5,5\n", "0\t0-2\n\n",          "0\t0-2\n1\t3-3\n",  "0\t0-2\n1 3\n",
        "0\t0-2\n1\t-3\n",  "0\t0-2\n1\t0-4096\n", "0\t0-2\n1\t3-5\r\n"};
    process_begin();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        process_graph("j", texts[i]);
        struct delivery *journal = open_journal();
        cr_assert(delivery_steps(journal) == 1 && row_is(journal, 0, 0, 1, 2), "%s", texts[i]);
        write_row(journal, 1, 7, 8, 9);
        cr_assert(file_is("0\t0-2\n1\t7-9\n"));
        delivery_close(journal);
    }
    process_end();
}

Test(delivery, a_checkpoint_knows_its_rows)
{
    unsigned char note[DELIVERY_NOTE_BYTES];
    process_begin();
    struct delivery *journal = open_journal();
    struct span kept = {(const char *)note, sizeof note};
    cr_assert(delivery_sync(journal, 0, note, &err) == STATUS_OK);
    cr_assert(delivery_check(journal, kept, &err) == STATUS_OK);
    write_row(journal, 0, 0, 1, 3);
    write_row(journal, 1, 2, 4, 5);
    cr_assert(delivery_sync(journal, 2, note, &err) == STATUS_OK);
    write_row(journal, 2, 6, 7, 8);
    cr_assert(delivery_check(journal, kept, &err) == STATUS_OK, "%s", err.text);
    write_row(journal, 1, 2, 4, 6);
    cr_assert(delivery_check(journal, kept, &err) == STATUS_CORRUPT, "another row");
    write_row(journal, 0, 0, 1, 2);
    cr_assert(delivery_check(journal, kept, &err) == STATUS_CORRUPT, "too few");
    cr_assert(strstr(err.text, "bring the file back"), "%s", err.text);
    kept.size--;
    cr_assert(delivery_check(journal, kept, &err) == STATUS_CORRUPT);
    delivery_close(journal);
    cr_assert(delivery_open(&journal, process_path("none"), false, &err) == STATUS_MISS);
    process_end();
}
