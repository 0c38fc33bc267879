/* See decimal.h. */
#include "stages/bio/decimal.h"

enum { DIGITS_EXACT = 15, POWERS_EXACT = 22 };

bool decimal_parse(struct span text, double *value)
{
    static const double power[POWERS_EXACT + 1] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    };
    size_t at = 0;
    bool negative = text.size && text.data[0] == '-';
    at += negative;
    uint64_t number = 0;
    int digits = 0, fraction = 0;
    bool point = false;
    for (; at < text.size; at++) {
        unsigned digit = (unsigned char)text.data[at] - '0';
        if (digit <= 9) {
            number = number * 10 + digit;
            digits++;
            fraction += point;
        } else if (text.data[at] == '.' && !point) {
            point = true;
        } else {
            break;
        }
        if (digits > DIGITS_EXACT)
            break;
    }
    /* Both numbers are exact in double, so that the one division rounds correctly (Clinger 1990).
     */
    if (at == text.size && digits > 0 && digits <= DIGITS_EXACT) {
        double magnitude = (double)number / power[fraction];
        *value = negative ? -magnitude : magnitude;
        return true;
    }
    return text_double(text, value);
}
