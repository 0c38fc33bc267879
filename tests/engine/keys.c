/* Keys: made whole, kept, refused when others can read them; and what a role may say. */
#include "engine/keys.h"
#include "engine/message.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

static char parent[] = "/tmp/foldmill-keys-XXXXXX";
static char folder[64], path[128];
static struct error err;

static void begin(void)
{
    cr_assert(mkdtemp(parent), "no folder");
    snprintf(folder, sizeof folder, "%s/keys", parent);
}

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void end(void)
{
    for (enum key_role role = KEY_NONE; role < KEY_ROLES; role++)
        unlink(in_folder(keys_file_name(role)));
    rmdir(folder);
    cr_assert(rmdir(parent) == 0, "something was left behind");
}

static mode_t mode_of(const char *name)
{
    struct stat info;
    cr_assert(stat(name, &info) == 0, "%s", name);
    return info.st_mode & 07777;
}

static void write_text(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0, "%s", name);
    chmod(name, 0600);
}

Test(keys, made_and_read_back)
{
    begin();
    umask(0); /* the modes are not left to it */
    cr_assert(keys_make(folder, false, &err) == STATUS_OK, "%s", err.text);
    cr_assert(mode_of(folder) == 0700, "the folder's mode");
    struct keys all[KEY_ROLES];
    for (enum key_role role = KEY_HEAD; role < KEY_ROLES; role++) {
        cr_assert(mode_of(in_folder(keys_file_name(role))) == 0600, "a file's mode");
        cr_assert(keys_load(folder, role, &all[role], &err) == STATUS_OK, "%s", err.text);
        cr_assert(all[role].role == role && strlen(all[role].secret) == KEY_TEXT, "a secret");
        unsigned char raw[32];
        cr_assert(zmq_z85_decode(raw, all[KEY_HEAD].public_key[role]), "Z85");
        cr_assert(keys_find(&all[KEY_HEAD], raw) == role, "the key's role");
        raw[3] ^= 1;
        cr_assert(keys_find(&all[KEY_HEAD], raw) == KEY_NONE, "another key has none");
        char derived[KEY_TEXT + 1];
        cr_assert(zmq_curve_public(derived, all[role].secret) == 0, "derive");
        cr_assert(strcmp(derived, all[role].public_key[role]) == 0, "a pair belongs together");
    }
    cr_assert(strcmp(all[KEY_HEAD].secret, all[KEY_WORKER].secret) != 0, "roles differ");
    keys_wipe(&all[KEY_HEAD]);
    static const char zeros[KEY_TEXT + 1];
    cr_assert(memcmp(all[KEY_HEAD].secret, zeros, sizeof zeros) == 0, "wiped");
    end();
}

Test(keys, are_kept_unless_forced)
{
    begin();
    struct keys first, second;
    cr_assert(mkdir(folder, 0755) == 0, "an empty folder may be there");
    cr_assert(keys_make(folder, false, &err) == STATUS_OK, "%s", err.text);
    cr_assert(mode_of(folder) == 0700, "the folder's mode");
    cr_assert(keys_load(folder, KEY_SINK, &first, &err) == STATUS_OK, "%s", err.text);
    cr_assert(keys_make(folder, false, &err) == STATUS_BUSY, "kept");
    cr_assert(strstr(err.text, "--force"), "names the way: %s", err.text);
    cr_assert(keys_load(folder, KEY_SINK, &second, &err) == STATUS_OK, "%s", err.text);
    cr_assert(strcmp(first.secret, second.secret) == 0, "the same");
    char slash[80];
    snprintf(slash, sizeof slash, "%s//", folder);
    cr_assert(keys_make(slash, true, &err) == STATUS_OK, "%s", err.text);
    cr_assert(keys_load(folder, KEY_SINK, &second, &err) == STATUS_OK, "%s", err.text);
    cr_assert(strcmp(first.secret, second.secret) != 0, "new ones");
    write_text(in_folder("thesis.tex"), "ten years");
    cr_assert(keys_make(folder, true, &err) == STATUS_BUSY, "a folder with other files");
    cr_assert(access(in_folder("thesis.tex"), F_OK) == 0, "which stay");
    unlink(in_folder("thesis.tex"));
    cr_assert(keys_make("/proc/nowhere/keys", false, &err) == STATUS_IO, "no such place");
    end();
}

Test(keys, a_node_needs_only_its_own)
{
    begin();
    struct keys keys;
    cr_assert(keys_make(folder, false, &err) == STATUS_OK, "%s", err.text);
    unlink(in_folder("head.key"));
    unlink(in_folder("sink.key"));
    cr_assert(keys_load(folder, KEY_WORKER, &keys, &err) == STATUS_OK, "%s", err.text);
    cr_assert(keys_check(folder, &err) == STATUS_OK, "%s", err.text);
    cr_assert(keys_load(folder, KEY_HEAD, &keys, &err) == STATUS_MISS, "the head's is not there");
    cr_assert(strstr(err.text, "head.key"), "named: %s", err.text);
    unlink(in_folder("public"));
    cr_assert(keys_load(folder, KEY_WORKER, &keys, &err) == STATUS_MISS, "nor is the list");
    end();
}

Test(keys, refused_when_others_can_read_them)
{
    begin();
    struct keys keys;
    cr_assert(keys_make(folder, false, &err) == STATUS_OK, "%s", err.text);
    static const mode_t bad[] = {0640, 0604, 0660, 0644, 0601};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        chmod(in_folder("sink.key"), bad[i]);
        cr_assert(keys_load(folder, KEY_SINK, &keys, &err) == STATUS_REFUSED, "mode %o", bad[i]);
        cr_assert(strstr(err.text, "chmod 600 ") && strstr(err.text, "sink.key"), "%s", err.text);
        cr_assert(keys_check(folder, &err) == STATUS_REFUSED, "mode %o", bad[i]);
        cr_assert(keys_load(folder, KEY_HEAD, &keys, &err) == STATUS_OK, "%s", err.text);
    }
    chmod(in_folder("sink.key"), 0400);
    cr_assert(keys_load(folder, KEY_SINK, &keys, &err) == STATUS_OK, "%s", err.text);
    chmod(folder, 0750);
    cr_assert(keys_load(folder, KEY_SINK, &keys, &err) == STATUS_REFUSED, "the folder");
    cr_assert(strstr(err.text, "chmod 700 "), "%s", err.text);
    chmod(folder, 0700);
    if (geteuid() == 0) {
        cr_assert(chown(in_folder("sink.key"), 12345, 12345) == 0, "chown");
        cr_assert(keys_load(folder, KEY_SINK, &keys, &err) == STATUS_REFUSED, "another's");
    }
    end();
}

#define KEY_A "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define KEY_B "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"

Test(keys, files_that_are_none)
{
    static const char *const bad[] = {
        "",
        "foldmill keys 2\nsink " KEY_A "\nsecret " KEY_B "\n",
        "foldmill keys 1\nsink " KEY_A "\n",
        "foldmill keys 1\nsecret " KEY_A "\n",
        "foldmill keys 1\nsink " KEY_A "\nsecret " KEY_B "x\n",
        "foldmill keys 1\nsink " KEY_A "\nsecret\n",
        "foldmill keys 1\nsink " KEY_A "\nsecret " KEY_B " more\n",
        "foldmill keys 1\nsink " KEY_A "\nsink " KEY_A "\nsecret " KEY_B "\n",
        "foldmill keys 1\nhead " KEY_A "\nsecret " KEY_B "\n",
        "foldmill keys 1\nsink rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]y\x80\x81\nsecret " KEY_B "\n",
    };
    struct keys keys = {0};
    struct span good = SPAN("foldmill keys 1\nsink " KEY_A "\n\nsecret " KEY_B "\n");
    cr_assert(keys_parse(good, KEY_SINK, &keys, &err) == STATUS_OK, "%s", err.text);
    cr_assert(strcmp(keys.secret, KEY_B) == 0, "read");
    cr_assert(keys_parse(good, KEY_HEAD, &keys, &err) == STATUS_INVALID, "of another role");
    cr_assert(keys_parse(good, KEY_NONE, &keys, &err) == STATUS_INVALID, "no list");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert(keys_parse(span_of(bad[i]), KEY_SINK, &keys, &err) == STATUS_INVALID, "%zu", i);
        cr_assert(!strstr(err.text, "JTKVSB"), "an error never shows a key: %s", err.text);
    }
}

static bool allowed(enum message_type type, uint16_t flags, enum key_role role)
{
    return message_allowed(&(struct message){.type = type, .flags = flags}, role);
}

Test(keys, what_a_worker_may_say)
{
    static const enum message_type never[] = {
        MESSAGE_WELCOME, MESSAGE_REFUSE, MESSAGE_CHALLENGE, MESSAGE_REQ,    MESSAGE_WORK,
        MESSAGE_DATA,    MESSAGE_FAIL,   MESSAGE_FREE,      MESSAGE_DIEDOK, MESSAGE_URGENT,
        MESSAGE_COMMIT,  MESSAGE_QPROP,  MESSAGE_QOK,       MESSAGE_START,  MESSAGE_STARTED,
        MESSAGE_CKPT,    MESSAGE_CKOK,   MESSAGE_DRAIN};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        cr_assert(!allowed(never[i], 0, KEY_WORKER), "%s", message_type_name(never[i]));
        cr_assert(allowed(never[i], 0, KEY_SINK) && allowed(never[i], 0, KEY_HEAD) &&
                      allowed(never[i], 0, KEY_NONE),
                  "%s", message_type_name(never[i]));
    }
    cr_assert(allowed(MESSAGE_OUT, 0, KEY_WORKER) && allowed(MESSAGE_HB, 0, KEY_WORKER) &&
                  allowed(MESSAGE_BYE, 0, KEY_WORKER),
              "its own words");
    cr_assert(!allowed(MESSAGE_BYE, MESSAGE_FINAL, KEY_WORKER), "a sink that has everything");
    for (enum peer_role role = PEER_WORKER; role <= PEER_AGENT; role++) {
        unsigned char bytes[HELLO_BYTES_MAX];
        struct hello hello = {.role = role, .version = MESSAGE_VERSION};
        struct message message = {.type = MESSAGE_HELLO, .payload = bytes};
        message.size = (uint32_t)hello_encode(&hello, bytes);
        cr_assert(message_allowed(&message, KEY_WORKER) == (role != PEER_SINK), "role %d", role);
        cr_assert(message_allowed(&message, KEY_SINK), "role %d", role);
    }
}
