/* Who may speak to whom over the network: one CURVE key pair for each role of a job. A folder of
 * keys holds `head.key`, `sink.key` and `worker.key` (role, public key, secret key) and `public`
 * (the public keys of all roles: the list of those that are allowed). A node needs `public` and
 * the file of its own role, nothing else. Secrets are never printed, never in arguments or
 * environment, and are wiped from memory after use. */
#ifndef FOLDMILL_KEYS_H
#define FOLDMILL_KEYS_H

#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stdbool.h>

/* What a key entitles to. The order is that of the files. */
enum key_role {
    KEY_NONE,   /* no key was asked for: a socket of this node, or --insecure */
    KEY_HEAD,   /* the node of the coordinator: may say everything */
    KEY_SINK,   /* a node with trainers or stores: asks, commits, gives work to workers */
    KEY_WORKER, /* a node that computes: takes work, gives results, and nothing else */
    KEY_ROLES
};

enum { KEY_TEXT = 40 }; /* bytes of a key as text (Z85), without the NUL */

struct keys {
    enum key_role role;                       /* of the secret */
    char public_key[KEY_ROLES][KEY_TEXT + 1]; /* of all roles; [KEY_NONE] is empty */
    char secret[KEY_TEXT + 1];
};

/* "head", "sink", "worker"; "none". */
const char *key_role_name(enum key_role role);
/* The file of a role's key pair; of KEY_NONE: of the list of public keys. */
const char *keys_file_name(enum key_role role);
/* KEY_NONE: there is no such role. */
enum key_role key_role_of(struct span name);

/* Makes new key pairs and puts them on disk as the folder path (0700, files 0600): all of them or
 * none. A folder that is there and not empty is kept (STATUS_BUSY), unless force is set and there
 * is nothing in it but keys. STATUS_IO. */
enum status keys_make(const char *path, bool force, struct error *err);

/* Reads the public keys and the secret of one role. STATUS_REFUSED: somebody else than the owner
 * could read or change them (the text says which chmod mends it); a mounted Kubernetes secret,
 * which belongs to root, may be readable by its group. STATUS_MISS: a file is not there;
 * STATUS_INVALID: not a file of keys. */
enum status keys_load(const char *path, enum key_role role, struct keys *keys, struct error *err);

/* What keys_load would say about the folder and each file that is there, without reading them;
 * for the preflight. */
enum status keys_check(const char *path, struct error *err);

/* Parses the text of a key file, or of the public list (role KEY_NONE). For keys_load and tests. */
enum status keys_parse(struct span text, enum key_role role, struct keys *keys, struct error *err);

/* The role that owns a public key of 32 bytes; KEY_NONE: nobody. */
enum key_role keys_find(const struct keys *keys, const unsigned char raw[32]);

/* Overwrites the secret. */
void keys_wipe(struct keys *keys);

#endif
