/* The part of the preflight about keys: who can read them, and whether CURVE keeps strangers out on
 * this machine, tried with a server on a free port of 127.0.0.1 and keys made for the trial. */
#include "engine/doctor.h"

#include "engine/base/text.h"
#include "engine/keys.h"
#include "engine/link.h"

#include <stdio.h>
#include <string.h>

static enum status try_curve(struct error *err)
{
    struct keys keys = {.role = KEY_HEAD};
    struct link *link;
    for (enum key_role role = KEY_HEAD; role < KEY_ROLES; role++) {
        char secret[KEY_TEXT + 1];
        if (zmq_curve_keypair(keys.public_key[role], secret) != 0)
            return error_set(err, STATUS_IO,
                             "this ZeroMQ makes no CURVE keys: install one with libsodium");
        if (role == KEY_HEAD)
            memcpy(keys.secret, secret, sizeof secret);
    }
    enum status status = link_context_open(err);
    if (status != STATUS_OK)
        return status;
    status = link_secure(&keys, err);
    keys_wipe(&keys);
    if (status == STATUS_OK) {
        struct link_options options = {.queue_max = 4};
        status = link_listen(&link, "tcp://127.0.0.1:0", options, err);
        if (status == STATUS_OK)
            link_close(link, 0);
    }
    link_context_close();
    return status;
}

void doctor_measure_keys(struct doctor_facts *facts)
{
    struct error err = {0};
    if (!facts->keys_path)
        return;
    facts->keys_bad = keys_check(facts->keys_path, &err) != STATUS_OK;
    snprintf(facts->keys_text, sizeof facts->keys_text, "%.*s", DOCTOR_NAMES_MAX - 1,
             facts->keys_bad ? err.text : "");
    facts->curve_bad = try_curve(&err) != STATUS_OK;
    snprintf(facts->curve_text, sizeof facts->curve_text, "%.*s", DOCTOR_NAMES_MAX - 1,
             facts->curve_bad ? err.text : "");
}
