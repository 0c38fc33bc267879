/* Numbers of structure files: correctly rounded like text_double, and fast for the plain decimals
 * that coordinates are. */
#ifndef STAGES_BIO_DECIMAL_H
#define STAGES_BIO_DECIMAL_H

#include "engine/base/text.h"

/* The whole span is one finite decimal number. */
bool decimal_parse(struct span text, double *value);

#endif
