/* Histograms of distance by separation; see separation.h. */
#include "stages/bio/separation.h"

#include "engine/base/error.h"

#include <math.h>

static const double bin_first = 2.3125, bin_last = 21.6875;

int distance_bin(float squared)
{
    double step = (bin_last - bin_first) / (DISTANCE_BINS - 2), distance = sqrt((double)squared);
    int bin = (int)ceil((distance - bin_first) / step);
    if (bin < 0)
        bin = 0;
    if (bin > DISTANCE_BINS - 1)
        bin = DISTANCE_BINS - 1;
    return bin;
}

float distance_of_bin(int bin)
{
    double step = (bin_last - bin_first) / (DISTANCE_BINS - 2);
    double middle = bin_first + (bin - 0.5) * step;
    if (bin == 0)
        middle = bin_first;
    if (bin == DISTANCE_BINS - 1)
        middle = bin_last;
    return (float)middle;
}

void separation_open(struct separation *histogram, int limit, struct arena *arena)
{
    ASSERT_INT(limit, >=, 1);
    histogram->limit = limit;
    histogram->count = arena_zero(arena, (size_t)limit * DISTANCE_BINS, sizeof *histogram->count);
}

static float squared_distance(const float *a, const float *b)
{
    float x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];
    return x * x + y * y + z * z;
}

static const uint64_t *row_of(const struct separation *histogram, int separation)
{
    int row = separation < histogram->limit ? separation : histogram->limit - 1;
    return histogram->count + (size_t)row * DISTANCE_BINS;
}

void separation_add(struct separation *histogram, int length, const float *positions,
                    const float *mask)
{
    for (int i = 0; i < length; i++) {
        if (mask[i] == 0)
            continue;
        for (int j = i; j < length && j < i + histogram->limit; j++)
            if (mask[j] != 0)
                histogram->count[(size_t)(j - i) * DISTANCE_BINS +
                                 (size_t)distance_bin(squared_distance(positions + 3 * i,
                                                                       positions + 3 * j))]++;
    }
}

double separation_loss(const struct separation *histogram, int length, const float *positions,
                       const float *mask, double *pairs)
{
    double sum = 0, number = 0;
    for (int separation = 0; separation < length; separation++) {
        const uint64_t *row = row_of(histogram, separation);
        double total = 1, cost[DISTANCE_BINS], weight = separation == 0 ? 1 : 2;
        for (int bin = 0; bin < DISTANCE_BINS; bin++)
            total += (double)row[bin];
        for (int bin = 0; bin < DISTANCE_BINS; bin++)
            cost[bin] = log(total) - log((double)row[bin] + 1.0 / DISTANCE_BINS);
        for (int i = 0; i + separation < length; i++) {
            int j = i + separation;
            if (mask[i] == 0 || mask[j] == 0)
                continue;
            sum += weight * cost[distance_bin(squared_distance(positions + 3 * i,
                                                               positions + 3 * j))];
            number += weight;
        }
    }
    *pairs = number;
    return sum;
}

double profile_entropy(const int32_t *counts, int columns, int symbols)
{
    double sum = 0;
    int used = 0;
    for (int column = 0; column < columns; column++) {
        const int32_t *row = counts + (size_t)column * (size_t)symbols;
        double total = 0, entropy = 0;
        for (int symbol = 0; symbol < symbols; symbol++)
            total += row[symbol];
        if (total <= 0)
            continue;
        for (int symbol = 0; symbol < symbols; symbol++)
            if (row[symbol] > 0)
                entropy -= row[symbol] / total * log(row[symbol] / total);
        sum += entropy;
        used++;
    }
    return used ? sum / used : 0;
}
