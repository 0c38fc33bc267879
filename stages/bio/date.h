/* Dates as the field writes them, "YYYY-MM-DD": texts that compare like the days they name. */
#ifndef STAGES_BIO_DATE_H
#define STAGES_BIO_DATE_H

#include "engine/base/text.h"

#include <stdint.h>

enum { DATE_BYTES = 10 };

/* A day of the Gregorian calendar, 0001-01-01 to 9999-12-31. */
bool date_good(struct span date);

/* The day so many days before a good date, with a NUL; not before 0001-01-01. */
void date_before(struct span date, int64_t days, char result[DATE_BYTES + 1]);

#endif
