/* What a program of the user's own answers to a sample (the stage exec; the protocol stands in
 * stages/README.md): a frame becomes fields, a refusal or nothing. */
#ifndef STAGES_EXEC_ANSWER_H
#define STAGES_EXEC_ANSWER_H

#include "engine/port.h"
#include "engine/sample.h"
#include "stages/bio/coprocess.h"

/* What a greeting and its answer begin with. */
#define EXEC_GREETING "foldmill-exec 1\n"

/* The port that `adds` writes down: fields, with blanks or commas between them. Lies in arena. */
struct port answer_port(const char *adds, struct arena *arena);

/* Takes the next word off the front: blanks and commas between words, not inside of brackets. */
bool answer_word(struct span *rest, struct span *word);

/* Whether it is a greeting; STATUS_INVALID with what it is. */
enum status answer_greeting(const struct frame *answer, struct error *err);

/* Adds the answer's fields to out, in arena; scratch holds what is unpacked. Only fields that
 * `adds` names; whether they are all there and of its kinds and sizes is the port's check.
 * STATUS_EMPTY: no sample; STATUS_REFUSED: with the program's reason; STATUS_INVALID,
 * STATUS_CORRUPT, STATUS_LIMIT: it is no answer. */
enum status answer_take(const struct frame *answer, const char *adds, struct arena *scratch,
                        struct sample *out, struct arena *arena, struct error *err);

#endif
