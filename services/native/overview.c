/* Overviews; see metrics/overview.py and metrics/overview_format.py. */

#include "packing.h"

#include <math.h>
#include <string.h>

enum { LANES = 4 };

enum {
    COUNTS,
    LEAST_STEP,
    GREATEST_STEP,
    STEP_OF_LEAST,
    STEP_OF_GREATEST,
    TIME_OF_LEAST,
    TIME_OF_GREATEST,
    LEAST_TIME,
    GREATEST_TIME,
    LEAST,
    GREATEST,
};

/* Where in a bucket the least and the greatest number are; where NaN is, if there is no number. */
typedef struct {
    size_t least, greatest, numbers;
} Extremes;

typedef struct {
    int64_t least, greatest;
} Bounds;

static double lesser(double one, double other) { return other < one ? other : one; }

static double greater(double one, double other) { return other > one ? other : one; }

/* In lanes, since each comparison would wait for the one before; NaN is left out unless it comes first. */
static Range range_of_lanes(const double *values, size_t count, bool *has_nan) {
    double least[LANES], greatest[LANES];
    int nans = 0;
    for (size_t lane = 0; lane < LANES; lane++) {
        least[lane] = greatest[lane] = values[0];
    }
    for (size_t i = 0; i + LANES <= count; i += LANES) {
        for (size_t lane = 0; lane < LANES; lane++) {
            double value = values[i + lane];
            least[lane] = lesser(least[lane], value);
            greatest[lane] = greater(greatest[lane], value);
            nans |= value != value;
        }
    }
    for (size_t i = count - count % LANES; i < count; i++) {
        least[0] = lesser(least[0], values[i]);
        greatest[0] = greater(greatest[0], values[i]);
        nans |= values[i] != values[i];
    }
    for (size_t lane = 1; lane < LANES; lane++) {
        least[0] = lesser(least[0], least[lane]);
        greatest[0] = greater(greatest[0], greatest[lane]);
    }
    *has_nan = nans;
    return (Range){least[0], greatest[0]};
}

static Range joined(Range range, double least, double greatest) {
    range.least = least >= range.least || least != least ? range.least : least;
    range.greatest = greatest <= range.greatest || greatest != greatest ? range.greatest : greatest;
    return range;
}

Range range_of(const double *values, size_t count) {
    Range range = {NAN, NAN};
    for (size_t i = 0; i < count; i++) {
        range = joined(range, values[i], values[i]);
    }
    return range;
}

static Extremes extremes_beside_nan(const double *values, size_t count) {
    Extremes extremes = {0, 0, 0};
    for (size_t i = 0; i < count; i++) {
        if (values[i] != values[i]) {
            continue;
        }
        if (extremes.numbers++ == 0) {
            extremes.least = extremes.greatest = i;
        }
        extremes.least = values[i] < values[extremes.least] ? i : extremes.least;
        extremes.greatest = values[i] > values[extremes.greatest] ? i : extremes.greatest;
    }
    return extremes;
}

static Extremes extremes_of(const double *values, size_t count) {
    bool has_nan;
    Range range = range_of_lanes(values, count, &has_nan);
    if (has_nan) {
        return extremes_beside_nan(values, count);
    }
    Extremes extremes = {0, 0, count};
    while (values[extremes.least] != range.least) {
        extremes.least++;
    }
    while (values[extremes.greatest] != range.greatest) {
        extremes.greatest++;
    }
    return extremes;
}

static Bounds bounds_of(const int64_t *values, size_t count) {
    Bounds bounds = {values[0], values[0]};
    for (size_t i = 1; i < count; i++) {
        bounds.least = values[i] < bounds.least ? values[i] : bounds.least;
        bounds.greatest = values[i] > bounds.greatest ? values[i] : bounds.greatest;
    }
    return bounds;
}

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Fills one row of a table that is stored column by column; steps and times are differences within the row. */
static Extremes describe_bucket(const Curve *curve, size_t start, size_t count, uint64_t *row, size_t buckets) {
    const int64_t *steps = curve->steps + start, *times = curve->times + start;
    const double *values = curve->values + start;
    Extremes extremes = extremes_of(values, count);
    Bounds step = bounds_of(steps, count), time = bounds_of(times, count);
    uint64_t first_step = (uint64_t)step.least, first_time = (uint64_t)time.least;
    row[COUNTS * buckets] = count | extremes.numbers << 16 | extremes.least << 32 | extremes.greatest << 48;
    row[LEAST_STEP * buckets] = first_step;
    row[GREATEST_STEP * buckets] = (uint64_t)step.greatest - first_step;
    row[STEP_OF_LEAST * buckets] = (uint64_t)steps[extremes.least] - first_step;
    row[STEP_OF_GREATEST * buckets] = (uint64_t)steps[extremes.greatest] - first_step;
    row[TIME_OF_LEAST * buckets] = (uint64_t)times[extremes.least] - first_time;
    row[TIME_OF_GREATEST * buckets] = (uint64_t)times[extremes.greatest] - first_time;
    row[LEAST_TIME * buckets] = first_time;
    row[GREATEST_TIME * buckets] = (uint64_t)time.greatest - first_time;
    row[LEAST * buckets] = bits_of(values[extremes.least]);
    row[GREATEST * buckets] = bits_of(values[extremes.greatest]);
    return extremes;
}

static void take_differences(uint64_t *column, size_t count) {
    for (size_t i = count - 1; i > 0; i--) {
        column[i] -= column[i - 1];
    }
}

WIDE Range pack_overview(Packing *packing, const Curve *curve) {
    size_t buckets = (curve->count + OVERVIEW_BUCKET_POINTS - 1) / OVERVIEW_BUCKET_POINTS;
    uint64_t *table = curve->numbers;
    Range range = {NAN, NAN};
    for (size_t bucket = 0; bucket < buckets; bucket++) {
        size_t start = bucket * OVERVIEW_BUCKET_POINTS, left = curve->count - start;
        size_t count = left < OVERVIEW_BUCKET_POINTS ? left : OVERVIEW_BUCKET_POINTS;
        Extremes extremes = describe_bucket(curve, start, count, table + bucket, buckets);
        range = joined(range, curve->values[start + extremes.least], curve->values[start + extremes.greatest]);
    }
    take_differences(table + LEAST_STEP * buckets, buckets);
    take_differences(table + LEAST_TIME * buckets, buckets);
    size_t column_bytes = buckets * sizeof *table;
    uint8_t *planes = extend(&packing->overviews, OVERVIEW_COLUMNS * column_bytes);
    for (size_t column = 0; planes != NULL && column < OVERVIEW_COLUMNS; column++) {
        split_planes(table + column * buckets, buckets, sizeof *table, planes + column * column_bytes);
    }
    return range;
}
