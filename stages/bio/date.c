/* Calendar days; see date.h. Days are counted from 0000-03-01, so that a leap day ends its year. */
#include "stages/bio/date.h"

#include <stdio.h>
#include <string.h>

enum { ERA_DAYS = 146097, FIRST_DAY = 306 /* 0001-01-01 */ };

static int number(const char *text, int digits)
{
    int value = 0;
    for (int i = 0; i < digits; i++)
        value = value * 10 + (text[i] - '0');
    return value;
}

static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
}

bool date_good(struct span date)
{
    static const int lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (date.size != DATE_BYTES || date.data[4] != '-' || date.data[7] != '-')
        return false;
    for (int i = 0; i < DATE_BYTES; i++)
        if (i != 4 && i != 7 && (date.data[i] < '0' || date.data[i] > '9'))
            return false;
    int year = number(date.data, 4), month = number(date.data + 5, 2);
    int day = number(date.data + 8, 2);
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > lengths[month - 1])
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month != 2 || day < 29 || leap;
}

void date_before(struct span date, int64_t days, char result[DATE_BYTES + 1])
{
    int64_t day = days_of(number(date.data, 4), number(date.data + 5, 2), number(date.data + 8, 2));
    day = day - days < FIRST_DAY ? FIRST_DAY : day - days;
    int64_t era = day / ERA_DAYS, of_era = day - era * ERA_DAYS;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153, of_month = of_year - (153 * month + 2) / 5 + 1;
    month += month < 10 ? 3 : -9;
    char text[64];
    snprintf(text, sizeof text, "%04lld-%02lld-%02lld",
             (long long)(year + era * 400 + (month <= 2)), (long long)month, (long long)of_month);
    memcpy(result, text, DATE_BYTES);
    result[DATE_BYTES] = 0;
}
