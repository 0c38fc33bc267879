/* Who may take part in a meeting of several hosts, and how those fail that may not or differ. */
#include "tests/engine/meet_rig.h"

enum { BYTES = 4096, SHORT_MS = 1500 };

static enum key_role far_role;
static bool far_other_keys;
static size_t far_more_bytes;
static bool far_other_place;

/* Meets once, and ends with the status; the second host comes with what the test gave it. */
static int once_life(struct rig *rig, int rank)
{
    struct meet *meet = NULL;
    struct error err = {0};
    struct rig own = *rig;
    bool far = rig->place.host_of[rank] != 0;
    enum key_role role = far ? far_role : KEY_HEAD;
    struct rig *used = rig;
    if (far && (far_other_keys || far_more_bytes || far_other_place)) {
        while (!rig->listens)
            usleep(1000);
        own = *rig;
        used = &own;
        used->bytes += far_more_bytes;
        if (far_other_keys)
            strcat(used->keys, "-b");
        if (far_other_place && rank == rig->ranks - 1)
            used->place.host_of[1] = 1;
    }
    enum status status = rig_meet_as(used, rank, role, &meet, &err);
    memcpy(rig->text[rank], err.text, sizeof err.text);
    rig_leave(meet);
    return (int)status;
}

static struct rig *keys_rig(const char *hosts)
{
    struct rig *rig = rig_open(hosts, BYTES);
    struct error err;
    snprintf(rig->keys, sizeof rig->keys, "/tmp/foldmill-meet-%d", (int)getpid());
    cr_assert(keys_make(rig->keys, false, &err) == STATUS_OK, "%s", err.text);
    rig->timeout_ms = SHORT_MS;
    return rig;
}

static void keys_remove(struct rig *rig)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s %s-b", rig->keys, rig->keys);
    cr_assert(system(command) == 0, "keys are removed");
    rig_close(rig);
}

static void ends(struct rig *rig, int rank, enum status wanted, const char *text)
{
    int code = rig_code(rig, rank);
    cr_assert(code == (int)wanted, "rank %d ended with %s: %s", rank,
              status_name((enum status)code), rig->text[rank]);
    cr_assert(!text || strstr(rig->text[rank], text), "rank %d says: %s", rank, rig->text[rank]);
}

Test(meet_keys, a_sink_may_come, .timeout = 60)
{
    struct rig *rig = keys_rig("01");
    rig->timeout_ms = 20000;
    far_role = KEY_SINK;
    rig_start(rig, once_life);
    ends(rig, 0, STATUS_OK, NULL);
    ends(rig, 1, STATUS_OK, NULL);
    keys_remove(rig);
}

Test(meet_keys, a_worker_may_not, .timeout = 60)
{
    struct rig *rig = keys_rig("01");
    far_role = KEY_WORKER;
    rig_start(rig, once_life);
    ends(rig, 0, STATUS_BUSY, "rank 1 (on host 1) did not come in time");
    ends(rig, 1, STATUS_REFUSED, "copy sink.key");
    keys_remove(rig);
}

/* Keys of another job: the handshake fails, and both sides say that nobody came. */
Test(meet_keys, a_stranger_may_not, .timeout = 60)
{
    struct rig *rig = keys_rig("01");
    struct error err;
    char other[96];
    snprintf(other, sizeof other, "%s-b", rig->keys);
    cr_assert(keys_make(other, false, &err) == STATUS_OK, "%s", err.text);
    far_role = KEY_SINK;
    far_other_keys = true;
    rig_start(rig, once_life);
    ends(rig, 0, STATUS_BUSY, "rank 1 (on host 1) did not come in time");
    ends(rig, 1, STATUS_BUSY, "are these its keys?");
    keys_remove(rig);
}

Test(meet_keys, a_host_with_other_numbers_is_told_at_once, .timeout = 60)
{
    struct rig *rig = rig_open("001", BYTES);
    far_more_bytes = 1 << 20;
    rig_start(rig, once_life);
    int64_t since = clock_ms();
    ends(rig, 0, STATUS_BUSY, "other numbers of ranks, hosts or bytes");
    ends(rig, 1, STATUS_BUSY, "other numbers of ranks, hosts or bytes");
    ends(rig, 2, STATUS_BUSY, "other numbers of ranks, hosts or bytes");
    cr_assert(clock_ms() - since < 10000, "at once");
    rig_close(rig);
}

/* The last of them thinks that rank 1 is elsewhere. */
Test(meet_keys, a_host_with_another_place_is_told_at_once, .timeout = 60)
{
    struct rig *rig = rig_open("0012", BYTES);
    far_other_place = true;
    rig_start(rig, once_life);
    for (int rank = 0; rank < 4; rank++)
        ends(rig, rank, STATUS_BUSY, "other numbers of ranks, hosts or bytes");
    rig_close(rig);
}

Test(meet_keys, places_are_checked)
{
    struct meet *meet;
    struct error err;
    struct meet_place place = {.hosts = 2, .host_of = {1, 0}};
    cr_assert(meet_open_far("/tmp/x", 1, 1, 2, 64, 100, &place, NULL, &meet, &err) ==
                  STATUS_INVALID,
              "rank 0 is not on host 0");
    place = (struct meet_place){.hosts = 3, .host_of = {0, 2}};
    cr_assert(meet_open_far("/tmp/x", 1, 0, 2, 64, 100, &place, NULL, &meet, &err) ==
                  STATUS_INVALID,
              "nobody is on host 1");
    place = (struct meet_place){.hosts = 2, .host = 1, .host_of = {0, 1}};
    cr_assert(meet_open_far("/tmp/x", 1, 0, 2, 64, 100, &place, NULL, &meet, &err) ==
                      STATUS_INVALID &&
                  strstr(err.text, "this one on host 1"),
              "%s", err.text);
}

Test(meet_keys, addresses_follow_the_dispatcher)
{
    char text[LINK_ADDRESS_MAX];
    struct error err;
    cr_assert(meet_link_address("tcp://head:5001", 0, text, &err) == STATUS_OK &&
                  strcmp(text, "tcp://head:5002") == 0,
              "%s", text);
    cr_assert(meet_link_address("tcp://[::1]:5001", 3, text, &err) == STATUS_OK &&
                  strcmp(text, "tcp://[::1]:5005") == 0,
              "%s", text);
    cr_assert(meet_link_address("tcp://head:65535", 0, text, &err) == STATUS_INVALID, "no port");
    cr_assert(meet_link_address("ipc:///tmp/x", 0, text, &err) == STATUS_INVALID, "no network");
}
