/* JSON files as streams of events (libyajl), of which only a block is ever in memory. */
#ifndef STAGES_LISTING_JSON_H
#define STAGES_LISTING_JSON_H

#include "engine/base/error.h"

#include <yajl/yajl_parse.h>

/* Feeds the file at path to the callbacks. A callback that returns 0 has set *err. wanted(user):
 * what the text must go on with, for errors; NULL: its end. STATUS_INVALID, with line: no JSON,
 * or it ends too early, or what a callback said; STATUS_IO. */
enum status json_read(const char *path, const yajl_callbacks *events, void *user,
                      const char *(*wanted)(const void *user), struct error *err);

#endif
